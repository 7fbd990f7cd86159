package reply_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shoal-p2p/shoal/daemon/chat/reply"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func config(f reply.Format, tools ...string) reply.Config {
	n := 0
	return reply.Config{Format: f, Tools: tools, NewID: func() string { n++; return fmt.Sprintf("id%d", n) }}
}

// feed parses the pieces and checks what must hold of every stream.
func feed(t testing.TB, cfg reply.Config, pieces ...string) core.Message {
	t.Helper()
	n := 0
	cfg.NewID = func() string { n++; return fmt.Sprintf("id%d", n) }
	p := reply.New(cfg)
	var joined core.Message
	add := func(d core.Delta) {
		t.Helper()
		for _, s := range []string{d.Text, d.Reasoning} {
			if !utf8.ValidString(s) {
				t.Fatalf("a delta splits a character: %q", s)
			}
		}
		joined.Content += d.Text
		joined.ReasoningContent += d.Reasoning
		for _, c := range d.ToolCalls {
			if c.Index == len(joined.ToolCalls) {
				if c.ID == "" || c.Name == "" {
					t.Fatalf("call %d starts without id or name", c.Index)
				}
				joined.ToolCalls = append(joined.ToolCalls, core.ToolCall{ID: c.ID, Name: c.Name})
			}
			joined.ToolCalls[c.Index].Arguments += c.Arguments
		}
		if p.Settled() > p.Seen() || p.Settled() < 0 {
			t.Fatalf("settled %d of %d bytes", p.Settled(), p.Seen())
		}
	}
	for _, piece := range pieces {
		add(p.Write([]byte(piece)))
	}
	add(p.Close())
	joined.Role = "assistant"
	if got := p.Message(); !reflect.DeepEqual(got, joined) {
		t.Fatalf("message %+v, deltas %+v", got, joined)
	}
	return joined
}

func TestReply(t *testing.T) {
	type want = core.Message
	call := func(id, name, args string) core.ToolCall { return core.ToolCall{ID: id, Name: name, Arguments: args} }
	thinking, raw, stop := config(reply.JSON), config(reply.JSON), config(reply.JSON)
	thinking.Thinking, raw.Raw, stop.Stop = true, true, []string{"STOP", "\n\n", "é!"}
	for _, c := range []struct {
		name, text string
		cfg        reply.Config
		want       want
	}{
		{"text", "Hello, é漢😀!", config(reply.Hermes), want{Content: "Hello, é漢😀!"}},
		{"text with tools on offer", " a\n\nb ", config(reply.Hermes, "f"), want{Content: " a\n\nb "}},
		{"bad bytes", "a\xffb\xe6\xbc", config(reply.Hermes), want{Content: "a\uFFFDb\uFFFD\uFFFD"}},
		{"stop", "one STOP two", stop, want{Content: "one "}},
		{"almost a stop", "one STO\nSTO", stop, want{Content: "one STO\nSTO"}},
		{"stop of a letter", "aé?é! b", stop, want{Content: "aé?"}},
		{"reasoning", "<think>\nhm\n\nhm </think>\n\nYes.", config(reply.JSON), want{ReasoningContent: "hm\n\nhm", Content: "Yes."}},
		{"reasoning opened by the prompt", "hm</think>Yes.", thinking, want{ReasoningContent: "hm", Content: "Yes."}},
		{"reasoning opened twice", "<think>\nhm</think>Yes.", thinking, want{ReasoningContent: "hm", Content: "Yes."}},
		{"reasoning without an end", "hm, </thin", thinking, want{ReasoningContent: "hm, </thin"}},
		{"no reasoning in the middle", "The tag <think>x</think>", config(reply.JSON), want{Content: "The tag <think>x</think>"}},
		{"no reasoning in a completion", "<think>x</think>", raw, want{Content: "<think>x</think>"}},

		{"hermes", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}\\\"{\"}}\n</tool_call>", config(reply.Hermes, "f"), want{ToolCalls: []core.ToolCall{call("id1", "f", `{"a": "}\"{"}`)}}},
		{"hermes behind text", "<think>\n</think>\n\nLet me see.\n\n<tool_call>{\"arguments\":{},\"name\":\"other\"}</tool_call>", config(reply.Hermes, "f"), want{Content: "Let me see.", ToolCalls: []core.ToolCall{call("id1", "other", "{}")}}},
		{"hermes parallel", "<tool_call>{\"name\":\"f\",\"arguments\":{\"n\":1}}</tool_call>\n<tool_call>{\"name\":\"g\"}</tool_call> done", config(reply.Hermes, "f", "g"), want{Content: "done", ToolCalls: []core.ToolCall{call("id1", "f", `{"n":1}`), call("id2", "g", "{}")}}},
		{"hermes text in text", "<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}</tool_call>", config(reply.Hermes, "f"), want{ToolCalls: []core.ToolCall{call("id1", "f", `{"a":1}`)}}},
		{"hermes unfinished", "Hm <tool_call>\n{\"name\": \"f\", \"argu", config(reply.Hermes, "f"), want{Content: "Hm <tool_call>\n{\"name\": \"f\", \"argu"}},
		{"hermes cut in the arguments", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a", config(reply.Hermes, "f"), want{ToolCalls: []core.ToolCall{call("id1", "f", `{"a`)}}},
		{"hermes not a call", "<tool_call>nothing</tool_call>", config(reply.Hermes, "f"), want{Content: "<tool_call>nothing</tool_call>"}},
		{"hermes without tools", "<tool_call>{\"name\":\"f\"}", config(reply.Hermes), want{Content: "<tool_call>{\"name\":\"f\"}"}},

		{"llama", "{\"name\": \"f\", \"parameters\": {\"a\": [1, {\"b\": null}]}}", config(reply.Llama, "f"), want{ToolCalls: []core.ToolCall{call("id1", "f", `{"a": [1, {"b": null}]}`)}}},
		{"llama extra keys", "{\"type\": \"function\", \"n\": 1.5, \"ok\": true, \"name\": \"f\", \"parameters\": {}}", config(reply.Llama, "f"), want{ToolCalls: []core.ToolCall{call("id1", "f", "{}")}}},
		{"llama tag", "<|python_tag|>{\"name\": \"g\", \"parameters\": {}}; {\"name\": \"f\", \"parameters\": {\"x\":2}}", config(reply.Llama, "f"), want{ToolCalls: []core.ToolCall{call("id1", "g", "{}"), call("id2", "f", `{"x":2}`)}}},
		{"llama code", "<|python_tag|>print(1)", config(reply.Llama, "f"), want{Content: "<|python_tag|>print(1)"}},
		{"json that is no call", " {\"name\": \"Ada\", \"parameters\": {\"age\": 3}} ok", config(reply.Llama, "f"), want{Content: " {\"name\": \"Ada\", \"parameters\": {\"age\": 3}} ok"}},
		{"json in text", "Here: {\"name\": \"f\", \"parameters\": {}}", config(reply.Llama, "f"), want{Content: "Here: {\"name\": \"f\", \"parameters\": {}}"}},
		{"json without arguments", "{\"name\": \"f\"}", config(reply.JSON, "f"), want{Content: "{\"name\": \"f\"}"}},
		{"json list", "[{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"f\", \"arguments\": {\"a\": 1}}]", config(reply.JSON, "f"), want{ToolCalls: []core.ToolCall{call("id1", "f", "{}"), call("id2", "f", `{"a": 1}`)}}},
		{"list of numbers", "[1, 2]", config(reply.JSON, "f"), want{Content: "[1, 2]"}},

		{"mistral", "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"id\": \"x\"}, {\"name\": \"g\", \"arguments\": {}}]", config(reply.Mistral, "f"), want{ToolCalls: []core.ToolCall{call("id1", "f", `{"a": 1}`), call("id2", "g", "{}")}}},
		{"mistral new", "Well.[TOOL_CALLS]f[ARGS]{\"a\": \"]\"}[TOOL_CALLS]g[CALL_ID]abcdefghi[ARGS]{}", config(reply.Mistral, "f"), want{Content: "Well.", ToolCalls: []core.ToolCall{call("id1", "f", `{"a": "]"}`), call("abcdefghi", "g", "{}")}}},
		{"mistral not a call", "[TOOL_CALLS] are nice", config(reply.Mistral, "f"), want{Content: "[TOOL_CALLS] are nice"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Role = "assistant"
			if got := feed(t, c.cfg, c.text); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			anySplit(t, c.cfg, c.text)
		})
	}
}

// anySplit checks that it does not matter how the text comes in pieces.
func anySplit(t testing.TB, cfg reply.Config, text string) {
	t.Helper()
	want := feed(t, cfg, text)
	splits := [][]string{strings.Split(text, "")}
	var bytes []string
	for i := range len(text) {
		bytes = append(bytes, text[i:i+1])
	}
	splits = append(splits, bytes)
	rng := rand.New(rand.NewPCG(1, uint64(len(text))))
	for range 20 {
		var pieces []string
		for rest := text; rest != ""; {
			n := min(1+rng.IntN(9), len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		splits = append(splits, pieces)
	}
	for _, pieces := range splits {
		if got := feed(t, cfg, pieces...); !reflect.DeepEqual(got, want) {
			t.Fatalf("in pieces %q\ngot  %+v\nwant %+v", pieces, got, want)
		}
	}
}

// Text streams as soon as it can mean nothing else.
func TestNothingIsHeldLongerThanNeeded(t *testing.T) {
	cfg := config(reply.Hermes, "f")
	cfg.Stop = []string{"STOP"}
	p := reply.New(cfg)
	for _, c := range []struct{ in, out string }{
		{"Hello", "Hello"}, {" ST", " "}, {"AY", "STAY"}, {"<tool", ""}, {"ing>", "<tooling>"}, {"\xc3", ""}, {"\xa9", "é"},
	} {
		if got := p.Write([]byte(c.in)).Text; got != c.out {
			t.Errorf("%q: got %q, want %q", c.in, got, c.out)
		}
	}
	p = reply.New(cfg)
	var args []string
	for _, in := range []string{`<tool_call>{"name":"f","arguments":{"a"`, `: "b`, `c"}`, `}</tool_call>`} {
		for _, c := range p.Write([]byte(in)).ToolCalls {
			args = append(args, c.Arguments)
		}
	}
	if want := []string{"", `{"a"`, `: "b`, `c"}`}; !reflect.DeepEqual(args, want) {
		t.Errorf("arguments came as %q, want %q", args, want)
	}
}

func TestFormatOf(t *testing.T) {
	for _, c := range []struct {
		template, arch string
		want           reply.Format
	}{
		{"…<tool_call>…", "qwen3", reply.Hermes},
		{"[TOOL_CALLS]", "llama", reply.Mistral},
		{"[TOOL_CALLS] [ARGS]", "llama", reply.MistralArgs},
		{"", "qwen2", reply.Hermes},
		{"<|start_header_id|>", "llama", reply.Llama},
		{"", "llama", reply.JSON},
	} {
		if got := reply.FormatOf(c.template, c.arch); got != c.want {
			t.Errorf("%q, %q: got %d, want %d", c.template, c.arch, got, c.want)
		}
	}
}

func FuzzParser(f *testing.F) {
	for _, s := range []string{
		"<think>a</think><tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>", "[TOOL_CALLS]f[ARGS]{}", "[{\"name\":\"f\",\"arguments\":{}}]",
		"<|python_tag|>{\"name\":\"f\",\"parameters\":{\"a\":\"\\\"\"}};", "é\xff<tool_call>STOP", "{\"name\":\"f\",\"arguments\":\"{}\",\"arguments\":{}}",
	} {
		for format := range 5 {
			f.Add(s, uint8(format), true)
		}
	}
	f.Fuzz(func(t *testing.T, text string, format uint8, thinking bool) {
		if len(text) > 4096 {
			return
		}
		cfg := config(reply.Format(format%5), "f")
		cfg.Stop = []string{"STOP", "ST", "{{"}
		cfg.Thinking = thinking
		anySplit(t, cfg, text)
	})
}
