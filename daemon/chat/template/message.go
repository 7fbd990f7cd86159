package template

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mitsuhiko/minijinja/minijinja-go/v2/value"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// cut marks where a user's text is split so that it does not hold a control token: a private character, which no
// text of a user keeps.
const cut = "\uf8ff"

// newGuard makes the replacer that cuts control tokens in the text of users.
func newGuard(control []string) *strings.Replacer {
	pairs := []string{cut, "\ufffd"}
	for _, c := range control {
		for i := range c {
			if i > 0 { // after the first character
				pairs = append(pairs, c, c[:i]+cut+c[i:])
				break
			}
		}
	}
	return strings.NewReplacer(pairs...)
}

// user makes a value of what somebody wrote.
func (t *Template) user(s string) value.Value { return value.FromString(t.guard.Replace(s)) }

func (t *Template) messages(o orders, all []core.Message, h habits) (value.Value, error) {
	list := make([]value.Value, len(all))
	for i := range all {
		m := &all[i]
		switch m.Role {
		case "system", "developer", "user", "assistant", "tool":
		default:
			return value.Undefined(), core.Errorf(core.CodeInvalidRequest, "there is no role %q", m.Role).WithParam("messages")
		}
		list[i] = o.value(t.message(o, m, h))
	}
	return value.FromSlice(list), nil
}

// parts are a message's content as a list, as models with eyes have it.
func (t *Template) parts(o orders, content string) value.Value {
	if content == "" {
		return value.FromSlice([]value.Value{})
	}
	d := newDict()
	d.set("type", value.FromString("text"))
	d.set("text", t.user(content))
	return value.FromSlice([]value.Value{o.value(d)})
}

// message makes the dict that templates expect.
func (t *Template) message(o orders, m *core.Message, h habits) *dict {
	d := newDict()
	d.set("role", value.FromString(m.Role))
	d.set("content", t.user(m.Content))
	if h.parts {
		d.set("content", t.parts(o, m.Content))
	}
	if m.Content == "" && len(m.ToolCalls) > 0 && !h.emptyContent {
		d.set("content", value.None())
	}
	if m.ReasoningContent != "" {
		d.set("reasoning_content", t.user(m.ReasoningContent))
	}
	if m.Name != "" {
		d.set("name", t.user(m.Name))
	}
	if len(m.ToolCalls) > 0 {
		calls := make([]value.Value, len(m.ToolCalls))
		for i, c := range m.ToolCalls {
			calls[i] = t.toolCall(o, c, h)
		}
		d.set("tool_calls", value.FromSlice(calls))
	}
	if m.ToolCallID != "" {
		d.set("tool_call_id", t.user(m.ToolCallID))
	}
	return d
}

func (t *Template) toolCall(o orders, c core.ToolCall, h habits) value.Value {
	f := newDict()
	f.set("name", t.user(c.Name))
	if noArguments(c.Arguments) {
		c.Arguments = "{}"
	}
	f.set("arguments", t.user(c.Arguments))
	if v, err := t.fromJSON(o, []byte(c.Arguments)); err == nil && !h.argumentText {
		f.set("arguments", v)
	}
	d := newDict()
	d.set("id", t.user(c.ID))
	d.set("type", value.FromString("function"))
	d.set("function", o.value(f))
	return o.value(d)
}

// noArguments tells whether a client wrote nothing for the arguments of a function that has none.
func noArguments(s string) bool {
	s = strings.TrimSpace(s)
	return s == "" || s == "null"
}

// badArguments names the first call of the conversation whose arguments are no JSON object, or is "".
func badArguments(all []core.Message) string {
	for i := range all {
		for j, c := range all[i].ToolCalls {
			var o map[string]json.RawMessage
			if !noArguments(c.Arguments) && json.Unmarshal([]byte(c.Arguments), &o) != nil {
				return fmt.Sprintf("messages[%d].tool_calls[%d].function.arguments", i, j)
			}
		}
	}
	return ""
}

// tools makes the list that templates expect.
func (t *Template) tools(o orders, all []core.Tool, h habits) (value.Value, error) {
	if len(all) == 0 && !h.emptyTools {
		return value.None(), nil
	}
	list := make([]value.Value, len(all))
	for i, tool := range all {
		f := newDict()
		f.set("name", t.user(tool.Name))
		if tool.Description != "" {
			f.set("description", t.user(tool.Description))
		}
		parameters := tool.Parameters
		if parameters == nil {
			parameters = json.RawMessage(`{"type":"object","properties":{}}`)
		}
		v, err := t.fromJSON(o, parameters)
		if err != nil {
			return value.Undefined(), core.Errorf(core.CodeInvalidRequest, "parameters of tool %q: %w", tool.Name, err).WithParam("tools")
		}
		f.set("parameters", v)
		d := newDict()
		d.set("type", value.FromString("function"))
		d.set("function", o.value(f))
		list[i] = o.value(d)
	}
	return value.FromSlice(list), nil
}
