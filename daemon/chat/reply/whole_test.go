package reply_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/chat/reply"
)

// Stop strings are for text: they do not look into a call, wherever in it they would stand.
func TestStopStringsLeaveCallsAlone(t *testing.T) {
	const call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"path\": \"a.md\", \"text\": \"x\"}}\n</tool_call>"
	for _, stop := range []string{"a.md", `"x"`, "}", "</tool_call>", "\n", "{", "<tool", "f"} {
		cfg := config(reply.Hermes, "f")
		cfg.Stop = []string{stop}
		p := reply.New(cfg)
		p.Write([]byte(call))
		p.Close()
		m := p.Message()
		if len(m.ToolCalls) != 1 || !p.Whole(0) || m.ToolCalls[0].Arguments != `{"path": "a.md", "text": "x"}` || m.Content != "" {
			t.Errorf("stop %q: %+v", stop, m)
		}
		anySplit(t, cfg, call)
	}
	cfg := config(reply.Hermes, "f")
	cfg.Stop = []string{"STOP", "}"}
	for text, want := range map[string]string{
		"a STOP " + call: "a ", "a<tool_call>{not a call} STOP": "a<tool_call>{not a call", call + " b STOP c": "b ",
	} {
		if m := feed(t, cfg, text); m.Content != want {
			t.Errorf("%q: %+v", text, m)
		}
		anySplit(t, cfg, text)
	}
}

// Arguments of a whole call are a JSON object; what models often get wrong is mended, the rest is no call.
func TestArgumentsAreJSON(t *testing.T) {
	for in, want := range map[string]string{
		`{"a": 1, "b": "x",}`:                   `{"a": 1, "b": "x"}`,
		`{"a": [1, 2, ], "b": {"c": true , } }`: `{"a": [1, 2 ], "b": {"c": true  } }`,
		"{\"a\": \"x\ny\tz\"}":                  `{"a": "x\ny\tz"}`,
		`{"a": True, "b": None, "c": [False]}`:  `{"a": true, "b": null, "c": [false]}`,
		`{"a": "\d+\\ \" \u00e9"}`:              `{"a": "\\d+\\ \" \u00e9"}`,
		`{}`:                                    `{}`, `{"é": -1.5e3}`: `{"é": -1.5e3}`,
		`{"a": 1 "b": 2}`: "", `{"a": undefined}`: "", `{a: 1}`: "", `{"a": [1}`: "", `{"a": "\u12x4"}`: "", `{"a": 01}`: "", `{,}`: "", `{"a":}`: "", `{"a": ` + strings.Repeat("1", 500) + `}`: "", "{\"a\": \"\x01\"}": "",
	} {
		text := `<tool_call>{"name": "f", "arguments": ` + in + `}</tool_call>`
		p := reply.New(config(reply.Hermes, "f"))
		p.Write([]byte(text))
		p.Close()
		m := p.Message()
		var whole []string
		for i, c := range m.ToolCalls {
			if p.Whole(i) {
				whole = append(whole, c.Arguments)
			}
		}
		switch {
		case want == "" && (len(whole) > 0 || m.Content != text):
			t.Errorf("%s: %q and content %q, want the text", in, whole, m.Content)
		case want != "" && (!reflect.DeepEqual(whole, []string{want}) || !json.Valid([]byte(want))):
			t.Errorf("%s: %q, want %q", in, whole, want)
		}
		anySplit(t, config(reply.Hermes, "f"), text)
	}
}

// A call that the reply's end cuts is not whole.
func TestCutCallIsNotWhole(t *testing.T) {
	p := reply.New(config(reply.Hermes, "f"))
	p.Write([]byte(`<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call><tool_call>{"name": "f", "arguments": {"a": `))
	p.Close()
	if n := len(p.Message().ToolCalls); n != 2 || !p.Whole(0) || p.Whole(1) {
		t.Errorf("%d calls", n)
	}
}
