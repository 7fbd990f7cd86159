package template_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/chat/template"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func said(text string) template.Input {
	return template.Input{Messages: []core.Message{{Role: "user", Content: text}}}
}

// Whichever form of content a template knows, what the user says is in the prompt, or there is no prompt.
func TestTheUserIsHeard(t *testing.T) {
	const words = "Tell me of a whale. "
	for _, c := range []struct{ source, want string }{
		{"{% for m in messages %}<{{ m.role }}>{% for p in m.content %}{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}{% endfor %}", "<user>" + words},
		{"{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}", words},
		{"{% for m in messages %}[{{ m.role }}]{{ m.content[0].text }}{% endfor %}", "[user]" + words},
		{"{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}{% endfor %}", words},
		{"{% for m in messages %}{{ m.content|upper }}{% endfor %}", strings.ToUpper(words)}, // changed, but heard
		{"{{ messages[0].content|tojson }}", `"` + words + `"`},
	} {
		got, err := render(t, c.source, said(words))
		if err != nil || strings.Join(got, "") != c.want {
			t.Errorf("%s: got %q, %v\nwant %q", c.source, got, err, c.want)
		}
	}
	for _, source := range []string{"x", "{{ bos_token }}{{ messages|length }}", "{{ messages[0].text }}"} {
		if got, err := render(t, source, said(words)); core.CodeOf(err) != core.CodeUnsupported {
			t.Errorf("%s: got %q, %v", source, got, err)
		}
	}
}

// A call in the history that has no arguments, or broken ones.
func TestArgumentsThatAreNoObject(t *testing.T) {
	const walks = "{% for m in messages %}{{ m.content }}{% for t in m.tool_calls or [] %}{{ t.function.name }}({% for k, v in t.function.arguments.items() %}{{ k }}={{ v }}{% endfor %}){% endfor %}{% endfor %}"
	history := func(arguments string) template.Input {
		in := said("q")
		in.Messages = append(in.Messages, core.Message{Role: "assistant", Content: "a", ToolCalls: []core.ToolCall{{ID: "1", Name: "ok", Arguments: "{}"}, {ID: "2", Name: "now", Arguments: arguments}}})
		return in
	}
	for arguments, want := range map[string]string{
		`{"zone": "CET"}`: "qaok()now(zone=CET)", "": "qaok()now()", " \n": "qaok()now()", "null": "qaok()now()", "{}": "qaok()now()",
	} {
		if got, err := render(t, walks, history(arguments)); err != nil || strings.Join(got, "") != want {
			t.Errorf("%q: got %q, %v", arguments, got, err)
		}
	}
	for _, arguments := range []string{`{"zone": "C`, "[1]", `"x"`, "1"} {
		_, err := render(t, walks, history(arguments))
		const place = "messages[1].tool_calls[1].function.arguments"
		e, ok := err.(*core.Error)
		if !ok || e.Code != core.CodeInvalidRequest || e.Param != place || !strings.Contains(e.Msg, place) {
			t.Errorf("%q: got %v", arguments, err)
		}
		if got, err := render(t, "{{ messages[0].content }}{{ messages[1].tool_calls[1].function.arguments }}", history(arguments)); err != nil {
			t.Errorf("%q as text: got %q, %v", arguments, got, err)
		}
	}
}

// Numbers come back to the model as it wrote them; the right texts are those of Python's json.dumps and str.
func TestNumbersOfTheHistory(t *testing.T) {
	for in, want := range map[string]string{
		"2512292042121000001": "2512292042121000001", "12345678.9": "12345678.9", "1719400000.25": "1719400000.25", "1999999.5": "1999999.5",
		"123456789012345678901234567890": "123456789012345678901234567890", "1.0": "1.0", "1e5": "100000.0", "0.0001": "0.0001",
		"1e16": "1e+16", "0.00001": "1e-05", "-0.0": "-0.0", "1e400": "",
	} {
		call := said("q")
		call.Messages = append(call.Messages, core.Message{Role: "assistant", Content: "a", ToolCalls: []core.ToolCall{{ID: "1", Name: "f", Arguments: `{"n":` + in + `}`}}})
		call.Tools = []core.Tool{{Name: "f", Parameters: json.RawMessage(`{"maximum":` + strings.ReplaceAll(in, "1e400", "0") + `}`)}}
		got, err := render(t, "{{ messages[0].content }} {{ messages[1].tool_calls[0].function.arguments|tojson }} {{ messages[1].tool_calls[0].function.arguments }} {{ tools[0].function.parameters.maximum }}", call)
		if want == "" { // no number here: the call stays the text that it was
			want = `q "{\"n\":1e400}" {"n":1e400} 0`
		} else {
			want = "q {\"n\": " + want + "} {'n': " + want + "} " + want
		}
		if err != nil || strings.Join(got, "") != want {
			t.Errorf("%s: got %q, %v\nwant %q", in, got, err, want)
		}
	}
}
