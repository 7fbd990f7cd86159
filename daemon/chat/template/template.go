package template

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/mitsuhiko/minijinja/minijinja-go/v2"
	"github.com/mitsuhiko/minijinja/minijinja-go/v2/value"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Source is a model's chat template with what the model's vocabulary says about its prompts.
type Source struct {
	Text     string
	BOS, EOS string   // texts of the begin-of-text and end-of-text tokens; may be empty
	Control  []string // texts of the control tokens, which the text of a user must never become
}

// Renderer makes prompts. It is safe for concurrent use. The errors are those of New and Template.Render, and
// core.CodeCancelled when ctx ends.
type Renderer interface {
	Render(ctx context.Context, source Source, in Input) ([]string, error)
}

// Template is a parsed Source. It is safe for concurrent use.
type Template struct {
	source Source
	parsed *minijinja.Template
	guard  *strings.Replacer
}

// Of tells whether t was made of source.
func (t *Template) Of(source *Source) bool {
	own := &t.source
	return own.Text == source.Text && own.BOS == source.BOS && own.EOS == source.EOS && slices.Equal(own.Control, source.Control)
}

// New parses a model's template. The error has code core.CodeUnsupported.
func New(source Source) (*Template, error) {
	rewritten, err := rewrite(source.Text)
	if err != nil {
		return nil, err
	}
	parsed, err := environment().TemplateFromString(rewritten)
	if err != nil {
		return nil, core.Errorf(core.CodeUnsupported, "parse the model's chat template: %w", err)
	}
	return &Template{source, parsed, newGuard(source.Control)}, nil
}

// The templates of models that bring none.
const (
	chatML = `{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + (m.content or '') + '<|im_end|>\n' }}{% endfor %}` +
		`{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`
	neutral = `{{ bos_token }}{% for m in messages %}{{ m.role | capitalize + ': ' + (m.content or '') + '\n\n' }}{% endfor %}` +
		`{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}`
)

// Fallback is the template of a model that brings none: ChatML if its vocabulary has the markers, else plain words.
func Fallback(control []string) string {
	for _, c := range control {
		if c == "<|im_start|>" {
			return chatML
		}
	}
	return neutral
}

// Input is one conversation to render.
type Input struct {
	Messages            []core.Message
	Tools               []core.Tool
	AddGenerationPrompt bool           // end with the head of the assistant's turn
	Args                map[string]any // extra variables, such as enable_thinking
	Now                 time.Time      // for templates that ask for the date
}

// Render makes the prompt, as segments whose tokens follow each other: each is to be tokenized with its markers read
// as tokens. Where a user wrote a control token's text, it lies across two segments and so cannot become the token.
// A conversation that the template refuses is a core.CodeInvalidRequest, and core.CodeTimeout is that ctx ended. Text
// and steps are bounded, time and memory are not: a stranger's template belongs into a process of its own, see chat/renderer.
func (t *Template) Render(ctx context.Context, in Input) ([]string, error) {
	var first error
	for _, h := range habitsFor(in) {
		text, err := t.render(ctx, in, h)
		if err == nil && !t.heard(ctx, text, in, h) {
			err = core.Errorf(core.CodeUnsupported, "the model's chat template leaves out what the user says")
		}
		if err == nil {
			return strings.Split(text, cut), nil
		}
		if ctx.Err() != nil {
			return nil, errTooSlow()
		}
		if _, refused := asRefusal(err); refused {
			return nil, err
		}
		if first == nil {
			first = err
		}
	}
	if path := badArguments(in.Messages); path != "" {
		return nil, core.Errorf(core.CodeInvalidRequest, "%s is no JSON object, which the model's chat template needs", path).WithParam(path)
	}
	return nil, first
}

// probe stands for the text of a user. No template and no filter makes it by itself.
const probe = "shoal7qzx"

// heard tells whether the last words of the user are in the prompt, or would be if the template did not change them.
func (t *Template) heard(ctx context.Context, text string, in Input, h habits) bool {
	for i, m := range slices.Backward(in.Messages) {
		if m.Role != "user" {
			continue
		}
		words := strings.TrimSpace(m.Content)
		if words == "" || strings.Contains(strings.ReplaceAll(text, cut, ""), strings.ReplaceAll(words, cut, "\ufffd")) {
			return true
		}
		in.Messages = slices.Clone(in.Messages)
		in.Messages[i].Content = probe
		text, err := t.render(ctx, in, h)
		return err == nil && strings.Contains(strings.ToLower(text), probe)
	}
	return true
}

// habits are matters on which templates disagree. The zero value is what most expect; a template that breaks on it
// is tried with the others.
type habits struct {
	argumentText bool // a call's arguments are the text of an object, not an object
	emptyContent bool // a message that only calls has "" as content, not none
	emptyTools   bool // without tools there is an empty list, not none
	parts        bool // a content is a list of parts, not a text
}

func habitsFor(in Input) []habits {
	all := []habits{{}}
	for _, m := range in.Messages {
		if len(m.ToolCalls) > 0 {
			all = append(all, habits{emptyContent: true}, habits{argumentText: true}, habits{argumentText: true, emptyContent: true})
			break
		}
	}
	if len(in.Tools) == 0 {
		for _, h := range all {
			h.emptyTools = true
			all = append(all, h)
		}
	}
	for _, h := range all {
		h.parts = true
		all = append(all, h)
	}
	return all
}

func (t *Template) render(ctx context.Context, in Input, h habits) (text string, err error) {
	defer func() {
		if r := recover(); r != nil { // a template is a stranger's: whatever it trips over is its error, not ours
			err = core.Errorf(core.CodeInvalidRequest, "the model's chat template broke: %v", r)
		}
	}()
	state := &renderState{orders: orders{}, now: in.Now}
	variables, err := t.variables(state.orders, in, h)
	if err != nil {
		return "", err
	}
	var out boundedText
	if err := t.parsed.RenderToWriteCtx(context.WithValue(ctx, stateKey{}, state), variables, &out); err != nil {
		if refusal, ok := asRefusal(err); ok {
			return "", refusal
		}
		return "", core.Errorf(core.CodeInvalidRequest, "render the model's chat template: %w", err)
	}
	return out.String(), nil
}

func (t *Template) variables(o orders, in Input, h habits) (map[string]value.Value, error) {
	messages, err := t.messages(o, in.Messages, h)
	if err != nil {
		return nil, err
	}
	tools, err := t.tools(o, in.Tools, h)
	if err != nil {
		return nil, err
	}
	variables := map[string]value.Value{}
	for name, v := range in.Args {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, core.Errorf(core.CodeInvalidRequest, "template argument %s: %w", name, err)
		}
		if variables[name], err = t.fromJSON(o, raw); err != nil {
			return nil, err
		}
	}
	variables["messages"] = messages
	variables["tools"] = tools
	variables["documents"] = value.None()
	variables["add_generation_prompt"] = value.FromBool(in.AddGenerationPrompt)
	variables["bos_token"] = value.FromString(t.source.BOS)
	variables["eos_token"] = value.FromString(t.source.EOS)
	return variables, nil
}
