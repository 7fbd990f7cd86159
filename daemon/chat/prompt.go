package chat

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/shoal-p2p/shoal/daemon/chat/grammar"
	"github.com/shoal-p2p/shoal/daemon/chat/template"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/gbnf"
)

// prompt is what the engine is to continue.
type prompt struct {
	tokens   []int32
	text     string // as the model sees it; "" when it came as tokens
	thinking bool   // it ends inside of <think>
}

// makePrompt renders and tokenizes what a request asks to continue.
func (p *prepared) makePrompt(ctx context.Context, r template.Renderer, req *core.GenerateRequest) (out prompt, err error) {
	switch {
	case req.Messages != nil:
		out, err = p.conversation(ctx, r, req)
	case req.PromptIDs != nil:
		out.tokens = req.PromptIDs
	default: // whoever sends a bare prompt writes its markers too
		out.text = req.Prompt
		out.tokens, err = p.Runner.Tokenize(ctx, req.Prompt, true, true)
	}
	if err == nil && len(out.tokens) == 0 {
		err = core.Errorf(core.CodeInvalidRequest, "the prompt is empty").WithParam("prompt")
	}
	return out, err
}

// conversation renders the messages. The template's segments are tokenized one by one, so that what a user wrote
// never becomes a control token.
func (p *prepared) conversation(ctx context.Context, r template.Renderer, req *core.GenerateRequest) (prompt, error) {
	in := template.Input{Messages: req.Messages, Tools: offered(req), AddGenerationPrompt: true, Args: req.TemplateArgs, Now: time.Now()}
	segments, err := r.Render(ctx, p.source, in)
	if err != nil {
		return prompt{}, err
	}
	out := prompt{text: strings.Join(segments, "")}
	out.thinking = strings.HasSuffix(strings.TrimRightFunc(out.text, unicode.IsSpace), "<think>")
	first := true
	for _, s := range segments {
		if s == "" {
			continue
		}
		begin := first && (p.BOS == "" || !strings.HasPrefix(s, p.BOS)) // or the text would begin twice
		tokens, err := p.Runner.Tokenize(ctx, s, begin, true)
		if err != nil {
			return prompt{}, err
		}
		out.tokens = append(out.tokens, tokens...)
		first = false
	}
	return out, nil
}

// offered are the tools that the model may call.
func offered(req *core.GenerateRequest) []core.Tool {
	if req.ToolChoice == "none" || req.Messages == nil {
		return nil
	}
	return req.Tools
}

// grammar is the GBNF that the answer must keep to, or "".
func (p *prepared) grammar(ctx context.Context, req *core.GenerateRequest, thinking bool) (string, error) {
	o := grammar.Options{Thinking: thinking}
	tools := offered(req)
	switch req.ToolChoice {
	case "", "auto", "none":
	case "required":
		text, err := grammar.ToolCalls(ctx, p.format, tools, "", o)
		return text, naming(err, "tools")
	default:
		text, err := grammar.ToolCalls(ctx, p.format, tools, req.ToolChoice, o)
		return text, naming(err, "tools")
	}
	schema := req.Format.Schema
	switch req.Format.Kind {
	case "", "text":
		if g := req.Sampling.Grammar; g != "" {
			return g, gbnf.Check(g)
		}
		return "", nil
	case "grammar":
		return req.Format.GBNF, gbnf.Check(req.Format.GBNF)
	case "json_object":
		schema = nil
	case "json_schema":
		if schema == nil {
			return "", core.Errorf(core.CodeInvalidRequest, "the JSON schema is missing").WithParam("response_format")
		}
	default:
		return "", core.Errorf(core.CodeInvalidRequest, "there is no response format %q", req.Format.Kind).WithParam("response_format")
	}
	switch {
	case len(tools) > 0:
		text, err := grammar.Either(ctx, p.format, tools, schema, o)
		return text, naming(err, "response_format")
	case schema == nil:
		return grammar.Object(o), nil
	}
	text, err := grammar.Schema(ctx, schema, o)
	return text, naming(err, "response_format")
}

// naming says which field of the request is at fault, unless err does.
func naming(err error, param string) error {
	if e, ok := errors.AsType[*core.Error](err); ok && e.Param == "" {
		return e.WithParam(param)
	}
	return err
}
