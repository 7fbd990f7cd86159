package template

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/chat/jinja"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Config is what a model brings for its prompts.
type Config struct {
	Source string // tokenizer.chat_template; empty for none
	BOS    string // text of the begin-of-text token; may be empty
	EOS    string // text of the end-of-text token; may be empty
	ChatML bool   // the vocabulary has <|im_start|>: what to fall back on when there is no template
}

// Template is a model's chat template. It is safe for concurrent use.
type Template struct {
	parsed   *jinja.Template
	bos, eos string
	source   string
}

// New parses the model's template, or stands in for one that is missing. The error has code core.CodeUnsupported.
func New(cfg Config) (*Template, error) {
	source := cfg.Source
	switch {
	case source != "":
	case cfg.ChatML:
		source = chatML
	default:
		source = neutral
	}
	parsed, err := jinja.Parse(source)
	if err != nil {
		return nil, err
	}
	return &Template{parsed, cfg.BOS, cfg.EOS, source}, nil
}

// The templates of models that bring none.
const (
	chatML = `{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content or '' }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`

	neutral = `{{ bos_token }}{% for m in messages %}{{ m.role | capitalize }}: {{ m.content or '' }}

{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}`
)

// Source is the template's text.
func (t *Template) Source() string { return t.source }

// Input is one conversation to render.
type Input struct {
	Messages []core.Message
	Tools    []core.Tool
	Generate bool           // end with the head of the assistant's turn
	Args     map[string]any // extra variables, such as enable_thinking
	Now      time.Time
}

// Render makes the prompt. What the request said is marked as the user's in it; roles and the template's own text
// are not. A conversation that the template refuses is a core.CodeInvalidRequest.
func (t *Template) Render(ctx context.Context, in Input) (jinja.Text, error) {
	var first error
	for _, h := range habitsFor(in) {
		text, err := t.render(ctx, in, h)
		if err == nil || core.CodeOf(err) != core.CodeInvalidRequest || errors.Is(err, jinja.ErrRaised) {
			return text, err
		}
		if first == nil {
			first = err
		}
	}
	return jinja.Text{}, first
}

// habits are matters on which templates disagree. The zero value is what most expect; a template that breaks on it
// is tried with the others.
type habits struct {
	argumentText bool // a call's arguments are the text of an object, not an object
	emptyContent bool // a message that only calls has "" as content, not none
	emptyTools   bool // without tools there is an empty list, not none
}

func habitsFor(in Input) []habits {
	all := []habits{{}}
	if slices.ContainsFunc(in.Messages, hasCalls) {
		all = append(all, habits{emptyContent: true}, habits{argumentText: true}, habits{argumentText: true, emptyContent: true})
	}
	if len(in.Tools) == 0 {
		for _, h := range all {
			h.emptyTools = true
			all = append(all, h)
		}
	}
	return all
}

func hasCalls(m core.Message) bool { return len(m.ToolCalls) > 0 }

func (t *Template) render(ctx context.Context, in Input, h habits) (jinja.Text, error) {
	vars := jinja.NewDict(16)
	for name, v := range in.Args {
		vars.SetString(name, fromGo(v, 0))
	}
	messages := &jinja.List{}
	for i := range in.Messages {
		m, err := message(&in.Messages[i], h)
		if err != nil {
			return jinja.Text{}, err
		}
		messages.Items = append(messages.Items, m)
	}
	tools, err := tools(in.Tools, h)
	if err != nil {
		return jinja.Text{}, err
	}
	vars.SetString("messages", messages)
	vars.SetString("tools", tools)
	vars.SetString("documents", nil)
	vars.SetString("add_generation_prompt", in.Generate)
	vars.SetString("bos_token", jinja.Plain(t.bos))
	vars.SetString("eos_token", jinja.Plain(t.eos))
	return t.parsed.Render(ctx, vars, in.Now)
}

// message makes the dict that templates expect.
func message(m *core.Message, h habits) (any, error) {
	switch m.Role {
	case "system", "developer", "user", "assistant", "tool":
	default:
		return nil, core.Errorf(core.CodeInvalidRequest, "there is no role %q", m.Role).WithParam("messages")
	}
	d := jinja.NewDict(6)
	d.SetString("role", jinja.Plain(m.Role))
	d.SetString("content", jinja.User(m.Content))
	if m.Content == "" && hasCalls(*m) && !h.emptyContent {
		d.SetString("content", nil)
	}
	if m.ReasoningContent != "" {
		d.SetString("reasoning_content", jinja.User(m.ReasoningContent))
	}
	if m.Name != "" {
		d.SetString("name", jinja.User(m.Name))
	}
	if hasCalls(*m) {
		calls := &jinja.List{}
		for _, c := range m.ToolCalls {
			calls.Items = append(calls.Items, toolCall(c, h))
		}
		d.SetString("tool_calls", calls)
	}
	if m.ToolCallID != "" {
		d.SetString("tool_call_id", jinja.User(m.ToolCallID))
	}
	return d, nil
}

func toolCall(c core.ToolCall, h habits) any {
	f := jinja.NewDict(2)
	f.SetString("name", jinja.User(c.Name))
	f.SetString("arguments", jinja.User(c.Arguments))
	if v, err := jinja.FromJSON([]byte(c.Arguments)); err == nil && !h.argumentText {
		f.SetString("arguments", v)
	}
	d := jinja.NewDict(3)
	d.SetString("id", jinja.User(c.ID))
	d.SetString("type", jinja.Plain("function"))
	d.SetString("function", f)
	return d
}

// tools makes the list that templates expect.
func tools(all []core.Tool, h habits) (any, error) {
	if len(all) == 0 && !h.emptyTools {
		return nil, nil
	}
	l := &jinja.List{}
	for _, t := range all {
		f := jinja.NewDict(3)
		f.SetString("name", jinja.User(t.Name))
		if t.Description != "" {
			f.SetString("description", jinja.User(t.Description))
		}
		parameters := t.Parameters
		if parameters == nil {
			parameters = json.RawMessage(`{"type":"object","properties":{}}`)
		}
		v, err := jinja.FromJSON(parameters)
		if err != nil {
			return nil, core.Errorf(core.CodeInvalidRequest, "parameters of tool %q: %w", t.Name, err).WithParam("tools")
		}
		f.SetString("parameters", v)
		d := jinja.NewDict(2)
		d.SetString("type", jinja.Plain("function"))
		d.SetString("function", f)
		l.Items = append(l.Items, d)
	}
	return l, nil
}

// fromGo turns what encoding/json gives into a template's value. Beyond a sane depth there is nothing.
func fromGo(v any, depth int) any {
	const deepest = 32
	if depth > deepest {
		return nil
	}
	switch v := v.(type) {
	case string:
		return jinja.User(v)
	case int:
		return int64(v)
	case bool, int64, float64:
		return v
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		l := &jinja.List{}
		for _, item := range v {
			l.Items = append(l.Items, fromGo(item, depth+1))
		}
		return l
	case map[string]any:
		d := jinja.NewDict(len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			d.Set(jinja.User(key), fromGo(v[key], depth+1))
		}
		return d
	}
	return nil
}
