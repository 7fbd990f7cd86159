package openai

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Request is a decoded request for completions, chat or plain.
type Request struct {
	core.GenerateRequest
	Prompts        []Prompt // of a plain completion: one reply for each
	N              int      // replies to each prompt
	Stream         bool
	IncludeUsage   bool   // a stream ends with a chunk of token counts
	SingleToolCall bool   // at most one tool call may be returned
	Caller         string // the caller's own name for its user, which keeps prefix caches apart
	Chat           bool   // the reply has the shape of chat completions
}

// Prompt is one prompt of a plain completion: a text or, if not nil, tokens.
type Prompt struct {
	Text   string
	Tokens []int32
}

type chatBody struct {
	samplingParams
	Model               string          `json:"model"`
	Messages            json.RawMessage `json:"messages"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	Logprobs            bool            `json:"logprobs"`
	TopLogprobs         *int            `json:"top_logprobs"`
	ResponseFormat      json.RawMessage `json:"response_format"`
	Tools               json.RawMessage `json:"tools"`
	ToolChoice          json.RawMessage `json:"tool_choice"`
	ParallelToolCalls   *bool           `json:"parallel_tool_calls"`
	ReasoningEffort     string          `json:"reasoning_effort"`
	TemplateArgs        json.RawMessage `json:"chat_template_kwargs"`
	User                string          `json:"user"`
}

var chatRules = with(commonRules, map[string]rule{
	"functions":          only("the old function calls are not supported; use tools"),
	"function_call":      only("the old function calls are not supported; use tool_choice", `"none"`),
	"modalities":         only("replies are text only", `["text"]`),
	"audio":              only("replies are text only"),
	"prediction":         harmless, // would only make the reply faster
	"web_search_options": only("this node does not search the web"),
	"verbosity":          only("the model decides how long it answers; ask for it in the prompt", `"medium"`),
})

func with(base, more map[string]rule) map[string]rule {
	all := maps.Clone(base)
	maps.Copy(all, more)
	return all
}

// ChatRequest reads the body of POST /v1/chat/completions.
func ChatRequest(raw []byte) (*Request, error) {
	var in chatBody
	if err := body(raw, &in, chatRules); err != nil {
		return nil, err
	}
	if err := checkModel(in.Model); err != nil {
		return nil, err
	}
	req := &Request{Chat: true, N: or(in.N, 1), Stream: in.Stream, Caller: in.User}
	req.IncludeUsage = in.StreamOptions != nil && in.StreamOptions.IncludeUsage
	req.Model = in.Model
	req.Stop = in.Stop
	req.SingleToolCall = !or(in.ParallelToolCalls, true)
	var err error
	if req.Messages, err = messages(in.Messages); err != nil {
		return nil, err
	}
	if req.Sampling, err = in.chatSampling(); err != nil {
		return nil, err
	}
	if req.MaxTokens, err = in.limit(); err != nil {
		return nil, err
	}
	if req.Tools, err = tools(in.Tools); err != nil {
		return nil, err
	}
	if req.ToolChoice, err = toolChoice(in.ToolChoice, req.Tools); err != nil {
		return nil, err
	}
	if req.Format, err = format(in.ResponseFormat, in.Grammar); err != nil {
		return nil, err
	}
	req.TemplateArgs, err = in.templateArgs()
	return req, err
}

func (in *chatBody) chatSampling() (core.Sampling, error) {
	s, err := in.sampling()
	if err != nil {
		return s, err
	}
	if in.TopLogprobs != nil && !in.Logprobs {
		return s, refuse("top_logprobs", "top_logprobs may only be sent with logprobs: true")
	}
	s.Logprobs = in.Logprobs
	s.TopLogprobs = or(in.TopLogprobs, 0)
	return s, between("top_logprobs", in.TopLogprobs, 0, core.MaxLogprobs)
}

func (in *chatBody) limit() (int, error) {
	if in.MaxTokens != nil && in.MaxCompletionTokens != nil && *in.MaxTokens != *in.MaxCompletionTokens {
		return 0, refuse("max_tokens", "max_tokens and max_completion_tokens differ; send one of them")
	}
	if err := between("max_tokens", in.MaxTokens, 1, maxTokens); err != nil {
		return 0, err
	}
	if err := between("max_completion_tokens", in.MaxCompletionTokens, 1, maxTokens); err != nil {
		return 0, err
	}
	return or(in.MaxCompletionTokens, or(in.MaxTokens, 0)), nil
}

// templateArgs are what the chat template sees besides the messages. The effort goes to templates that know it;
// "none" also switches thinking off where a template has that switch.
func (in *chatBody) templateArgs() (map[string]any, error) {
	var args map[string]any
	if len(in.TemplateArgs) > maxTemplateArgs {
		return nil, refuse("chat_template_kwargs", "chat_template_kwargs may have at most %d bytes", maxTemplateArgs)
	}
	if !isNull(in.TemplateArgs) {
		if err := json.Unmarshal(in.TemplateArgs, &args); err != nil {
			return nil, jsonError(err, "chat_template_kwargs")
		}
	}
	if in.ReasoningEffort == "" {
		return args, nil
	}
	if !slices.Contains([]string{"none", "minimal", "low", "medium", "high", "xhigh"}, in.ReasoningEffort) {
		return nil, refuse("reasoning_effort", "reasoning_effort must be none, minimal, low, medium, high or xhigh")
	}
	if args == nil {
		args = map[string]any{}
	}
	args["reasoning_effort"] = in.ReasoningEffort
	if in.ReasoningEffort == "none" {
		args["enable_thinking"] = false
	}
	return args, nil
}

// format reads response_format, or the grammar extension, which may not be sent with it.
func format(raw json.RawMessage, grammar string) (core.Format, error) {
	if isNull(raw) {
		if grammar != "" {
			return core.Format{Kind: "grammar", GBNF: grammar}, nil
		}
		return core.Format{}, nil
	}
	var in struct {
		Type       string          `json:"type"`
		JSONSchema json.RawMessage `json:"json_schema"`
	}
	if err := decode(raw, &in, "response_format", nil); err != nil {
		return core.Format{}, err
	}
	if grammar != "" && in.Type != "text" {
		return core.Format{}, refuse("grammar", "grammar and response_format cannot be used together")
	}
	switch in.Type {
	case "text":
		if grammar != "" {
			return core.Format{Kind: "grammar", GBNF: grammar}, nil
		}
		return core.Format{Kind: "text"}, nil
	case "json_object":
		return core.Format{Kind: "json_object"}, nil
	case "json_schema":
		return schemaFormat(in.JSONSchema)
	}
	return core.Format{}, refuse("response_format.type", "response_format.type must be text, json_object or json_schema")
}

func schemaFormat(raw json.RawMessage) (core.Format, error) {
	const path = "response_format.json_schema"
	var in struct {
		Schema json.RawMessage `json:"schema"`
	}
	if err := decode(raw, &in, path, map[string]rule{"name": harmless, "description": harmless, "strict": harmless}); err != nil {
		return core.Format{}, err
	}
	if !isObject(in.Schema) {
		return core.Format{}, refuse(path+".schema", "%s.schema must be a JSON schema object", path)
	}
	return core.Format{Kind: "json_schema", Schema: in.Schema}, nil
}

// isObject tells whether valid JSON is an object.
func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }
