package grammar_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/chat/grammar"
	"github.com/shoal-p2p/shoal/daemon/chat/reply"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestSchema(t *testing.T) {
	for _, c := range []struct {
		schema  string
		yes, no []string
	}{
		{`true`, []string{`1`, `"a"`, `[1, {"b": null}]`, `{}`}, []string{``, `01`, `{a:1}`, `[1,]`, `"\x"`, "\"\n\""}},
		{`{}`, []string{`null`, `-1.5e-3`, `"\u00e9 é"`}, []string{`nul`, `+1`, `1.`}},
		{`{"type":"string"}`, []string{`""`, `"a\"b"`, `"é😀"`, `"\n\u12aF"`}, []string{`a`, `"`, `"a"b"`, `"\ud800"`}},
		{`{"type":"integer"}`, []string{`0`, `-12`, `1234567890123456`}, []string{`1.0`, `01`, `-`, `00`}},
		{`{"type":"number"}`, []string{`0`, `-1.25`, `3e10`}, []string{`.5`, `1.`, `NaN`}},
		{`{"type":"number","minimum":0}`, []string{`0`, `1.5`}, []string{`-1`}},
		{`{"type":"number","minimum":0,"maximum":1}`, []string{`0`, `0.0`, `0.75`, `1`, `1.0`}, []string{`-0.5`, `1.01`, `2`, `10`}},
		{`{"type":"number","exclusiveMinimum":0}`, []string{`0.001`, `1`, `12.50`, `100`}, []string{`0`, `0.0`, `-1`}},
		{`{"type":"number","exclusiveMaximum":-2,"minimum":-12}`, []string{`-2.01`, `-3`, `-11.9`, `-12`, `-12.0`}, []string{`-2`, `-2.0`, `-12.1`, `0`, `3`}},
		{`{"type":"number","minimum":-1.0,"exclusiveMaximum":0}`, []string{`-1`, `-0.5`}, []string{`0`, `-1.5`, `0.5`}},
		{`{"type":"number","minimum":3,"maximum":3e0}`, []string{`3`, `3.0`}, []string{`3.1`, `2`}},
		{`{"type":"number","minimum":-1e300,"maximum":1e300,"format":"double"}`, []string{`1e10`, `-5`}, nil},
		{`{"type":"integer","minimum":-9007199254740991,"maximum":9007199254740991}`, []string{`0`, `-9007199254740991`, `9007199254740991`}, []string{`9007199254740992`, `-9007199254740992`}},
		{`{"type":"integer","exclusiveMinimum":0,"maximum":9007199254740991,"multipleOf":1}`, []string{`1`, `9007199254740991`}, []string{`0`, `-1`, `9007199254740992`}},
		{`{"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807}`, []string{`-9223372036854775808`, `9223372036854775807`, `7`}, []string{`9223372036854775808`, `-9223372036854775809`}},
		{`{"type":"integer","minimum":-1e30,"maximum":1e400,"format":"int64"}`, []string{`5`, `-5`}, []string{`1.5`}},
		{`{"type":"string","format":"uri"}`, []string{`"https://example.org/x"`, `""`}, []string{`1`}},
		{`{"type":"string","format":"date","minLength":3}`, []string{`"abc"`}, []string{`"ab"`}},
		{`{"type":"string","maxLength":65536,"contentMediaType":"text/html"}`, []string{`"abc"`}, []string{`1`}},
		{`{"type":"array","items":{"type":"null"},"maxItems":10000,"uniqueItems":false}`, []string{`[null,null]`}, []string{`[1]`}},
		{`{"type":"string","nullable":true}`, []string{`"a"`, `null`}, []string{`1`}},
		{`{"type":"object","propertyNames":{"type":"string"},"additionalProperties":{"type":"null"}}`, []string{`{"a":null}`}, []string{`{"a":1}`}},
		{`{"type":"boolean","description":"d"}`, []string{`true`, `false`}, []string{`True`}},
		{`{"type":["string","null"],"minLength":2}`, []string{`null`, `"ab"`}, []string{`"a"`, `1`}},
		{`{"enum":["a\"b",1,null,{"k":[1]}]}`, []string{`"a\"b"`, `1`, `null`, `{"k":[1]}`}, []string{`"a"`, `2`}},
		{`{"type":"string","enum":["red",1]}`, []string{`"red"`}, []string{`1`, `red`}},
		{`{"const":"<é>"}`, []string{`"<é>"`}, []string{`"<e>"`, `"\u003cé\u003e"`}},
		{
			`{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},"c":{"type":"null"}},"required":["b"]}`,
			[]string{`{"b":"x"}`, `{"a":1,"b":"x"}`, `{ "a": 1, "b": "x", "c": null }`, `{"b":"x","c":null}`, "{\n  \"b\": \"x\"\n}"},
			[]string{`{}`, `{"a":1}`, `{"b":"x","a":1}`, `{"b":"x",}`, `{"b":"x","d":1}`, `{"b":1}`, `{,"b":"x"}`},
		},
		{
			`{"properties":{"a":true},"additionalProperties":{"type":"integer"}}`,
			[]string{`{}`, `{"a":"x"}`, `{"a":"x","b":1,"aa":2}`, `{"b":1}`, `{"":1}`},
			[]string{`{"b":"x"}`, `{"a":"x","a":1}`, `{"b":1,}`},
		},
		{`{"type":"object","additionalProperties":{"type":"integer"}}`, []string{`{}`, `{"x":1,"y":2}`}, []string{`{"x":"y"}`}},
		{`{"type":"object"}`, []string{`{}`, `{"a":[{}]}`}, []string{`[]`}},
		{`{"type":"object","additionalProperties":false}`, []string{`{}`}, []string{`{"a":1}`}},
		{`{"type":"object","required":["k"]}`, []string{`{"k":[1]}`}, []string{`{}`}},
		{`{"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3}`, []string{`[1,2]`, `[1, 2, 3]`}, []string{`[1]`, `[1,2,3,4]`, `[]`, `[1,"a"]`}},
		{`{"type":"array","maxItems":1}`, []string{`[]`, `["x"]`}, []string{`[1,2]`}},
		{`{"type":"array"}`, []string{`[]`, `[1,[2]]`}, []string{`{}`}},
		{`{"type":"array","maxItems":0}`, []string{`[]`}, []string{`[1]`}},
		{`{"prefixItems":[{"type":"string"},{"type":"integer"}],"items":false}`, []string{`["a", 1]`}, []string{`["a"]`, `["a",1,2]`, `[1,"a"]`}},
		{`{"type":"string","minLength":1,"maxLength":3}`, []string{`"a"`, `"é\n😀"`}, []string{`""`, `"abcd"`}},
		{`{"type":"string","pattern":"^[a-z]{2,3}-\\d+$"}`, []string{`"ab-1"`, `"abc-123"`}, []string{`"a-1"`, `"ab-"`, `"wxab-1"`}},
		{`{"type":"string","pattern":"b+"}`, []string{`"abba"`, `"b"`}, []string{`"aa"`}},
		{`{"type":"string","pattern":"^(\"|\\\\|\\n|[^a])$"}`, []string{`"\""`, `"\\"`, `"\n"`, `"b"`, `"é"`}, []string{`"a"`, `"""`}},
		{`{"type":"string","pattern":"^(?i:Ab)?.\\.x$"}`, []string{`"aB1.x"`, `"z.x"`}, []string{`"ac1.x"`, `"zzx"`}},
		{`{"type":"string","format":"date-time"}`, []string{`"2026-07-09T08:05:03Z"`, `"2026-12-31T23:59:59.123+02:00"`}, []string{`"2026-13-09T08:05:03Z"`, `"2026-07-09"`, `"2026-07-09T24:00:00Z"`}},
		{`{"type":"string","format":"date"}`, []string{`"2026-07-09"`}, []string{`"2026-7-9"`}},
		{`{"type":"string","format":"uuid"}`, []string{`"123e4567-e89b-12d3-a456-426614174000"`}, []string{`"123"`}},
		{`{"type":"string","format":"email"}`, []string{`"a.b+c@d-e.example.org"`}, []string{`"a@b"`, `"@b.org"`}},
		{`{"type":"string","format":"ipv4"}`, []string{`"192.168.0.255"`}, []string{`"256.1.1.1"`, `"1.1.1"`}},
		{`{"anyOf":[{"type":"string"},{"type":"integer","minimum":5}]}`, []string{`"x"`, `7`}, []string{`4`, `null`}},
		{`{"oneOf":[{"type":"null"},{"type":"boolean"}],"title":"t"}`, []string{`null`, `true`}, []string{`1`}},
		{
			`{"type":"object","properties":{"k":{"const":"a"}},"anyOf":[{"required":["k"]},{"properties":{"n":{"type":"null"}},"required":["n"]}]}`,
			[]string{`{"k":"a"}`, `{"k":"a","n":null}`, `{"n":null}`},
			[]string{`{}`},
		},
		{
			`{"allOf":[{"type":"object","properties":{"a":{"type":"integer","minimum":1}},"required":["a"]},{"properties":{"a":{"minimum":3,"maximum":4},"b":{"type":"null"}}}]}`,
			[]string{`{"a":3}`, `{"a":4,"b":null}`},
			[]string{`{"a":2}`, `{"b":null}`},
		},
		{
			`{"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["v"]}}}`,
			[]string{`{"v":1}`, `{"v":1,"next":{"v":2,"next":null}}`},
			[]string{`{"v":1,"next":{}}`},
		},
		{`{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#"}}},"required":["kids"]}`, []string{`{"kids":[{"kids":[]},{"kids":[]}]}`}, []string{`{"kids":[1]}`}},
		{`{"properties":{"x":{"allOf":[{"$ref":"#/definitions/pos"}],"description":"d"}},"required":["x"],"definitions":{"pos":{"type":"integer","exclusiveMinimum":0}}}`, []string{`{"x":1}`}, []string{`{"x":0}`}},
	} {
		g, err := grammar.Schema(t.Context(), []byte(c.schema), grammar.Options{})
		if err != nil {
			t.Errorf("%s: %v", c.schema, err)
			continue
		}
		checkMatches(t, c.schema, g, c.yes, c.no)
		for _, y := range c.yes {
			if !json.Valid([]byte(y)) {
				t.Errorf("the test's own %s is not JSON", y)
			}
		}
	}
}

func checkMatches(t *testing.T, what, g string, yes, no []string) {
	t.Helper()
	parsed := parseGBNF(t, g)
	for _, y := range yes {
		if !parsed.matches(y) {
			t.Errorf("%s: %s does not match\n%s", what, y, g)
		}
	}
	for _, n := range no {
		if parsed.matches(n) {
			t.Errorf("%s: %s matches\n%s", what, n, g)
		}
	}
}

// Every number in the range matches, and none around it.
func TestIntegerRanges(t *testing.T) {
	for _, r := range [][2]int{{0, 0}, {0, 9}, {1, 10}, {5, 123}, {-7, 7}, {-120, -15}, {99, 1001}, {-1, 0}, {17, 17}, {190, 210}, {-2000, 1234}} {
		g, err := grammar.Schema(t.Context(), fmt.Appendf(nil, `{"type":"integer","minimum":%d,"maximum":%d}`, r[0], r[1]), grammar.Options{})
		if err != nil {
			t.Fatal(err)
		}
		parsed := parseGBNF(t, g)
		for n := r[0] - 150; n <= r[1]+150; n++ {
			if got, want := parsed.matches(fmt.Sprint(n)), r[0] <= n && n <= r[1]; got != want {
				t.Fatalf("%d in %v: %t\n%s", n, r, got, g)
			}
		}
	}
	for _, c := range []struct {
		bound   string
		yes, no []string
	}{
		{`"minimum":13`, []string{"13", "99", "100", "123456"}, []string{"12", "0", "-13", "013"}},
		{`"minimum":0`, []string{"0", "7", "10"}, []string{"-1", "00"}},
		{`"minimum":-5`, []string{"-5", "0", "10"}, []string{"-6", "-10"}},
		{`"maximum":20`, []string{"20", "0", "-5", "-99999"}, []string{"21", "100"}},
		{`"maximum":-3`, []string{"-3", "-10"}, []string{"-2", "0", "3"}},
		{`"exclusiveMinimum":2,"exclusiveMaximum":4`, []string{"3"}, []string{"2", "4"}},
	} {
		g, err := grammar.Schema(t.Context(), []byte(`{"type":"integer",`+c.bound+`}`), grammar.Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkMatches(t, c.bound, g, c.yes, c.no)
	}
}

func TestWhatCannotBeKeptIsNamed(t *testing.T) {
	for schema, word := range map[string]string{
		`{"not":{}}`: "not",
		`{"type":"object","patternProperties":{}}`:          "patternProperties",
		`{"type":"object","minProperties":1}`:               "minProperties",
		`{"type":"array","uniqueItems":true}`:               "uniqueItems",
		`{"type":"string","pattern":"\\bx"}`:                "pattern",
		`{"type":"string","pattern":"(a*)*"}`:               "pattern",
		`{"type":"string","pattern":"x","minLength":1}`:     "minLength",
		`{"type":"string","maxLength":9999}`:                "maxLength",
		`{"type":"number","maximum":1.5}`:                   "maximum",
		`{"type":"integer","multipleOf":3}`:                 "multipleOf",
		`{"type":"integer","minLength":3}`:                  "minLength",
		`{"type":"integer","minimum":1e30}`:                 "minimum",
		`{"enum":["a"],"minLength":3}`:                      "minLength",
		`{"if":{},"then":{}}`:                               "if",
		`{"$ref":"https://example.org/x"}`:                  "$ref",
		`{"type":"object","propertyNames":{"minLength":2}}`: "propertyNames",
		`{"type":"number","multipleOf":1}`:                  "multipleOf",
		`{"allOf":[{"properties":{"a":true},"additionalProperties":false},{"properties":{"b":true}}]}`: "additionalProperties",
	} {
		_, err := grammar.Schema(t.Context(), []byte(schema), grammar.Options{})
		if core.CodeOf(err) != core.CodeUnsupported || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: got %v", schema, err)
		}
	}
	for _, schema := range []string{
		``, `1`, `{`, `{} {}`, `{"type":"thing"}`, `{"$ref":"#"}`, `{"$ref":"#/$defs/x"}`, `{"anyOf":[]}`, `{"enum":[]}`, `{"anyOf":[{"$ref":"#"},{"type":"null"}]}`,
		`{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}`, `{"type":"array","minItems":3,"maxItems":1}`,
		`{"type":"integer","minimum":3,"maximum":1}`, strings.Repeat(`{"items":`, 100) + "{}" + strings.Repeat("}", 100), strings.Repeat("[", 100000),
		`{"allOf":[{"$ref":"#"}]}`, `{"type":"string","minLength":"1"}`, `{"properties":[]}`, `{"allOf":[{"type":"string"},{"type":"null"}]}`,
	} {
		if _, err := grammar.Schema(t.Context(), []byte(schema), grammar.Options{}); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("%.60s: got %v", schema, err)
		}
	}
	if _, err := grammar.Schema(t.Context(), []byte(`"`+strings.Repeat("x", 1<<20)+`"`), grammar.Options{}); core.CodeOf(err) != core.CodeTooLarge {
		t.Errorf("got %v", err)
	}
}

func TestObjectAndThinking(t *testing.T) {
	checkMatches(t, "object", grammar.Object(grammar.Options{}), []string{`{}`, `{"a": [1, "b"]}`}, []string{`[]`, ` {}`, `</think>{}`})
	checkMatches(t, "thinking", grammar.Object(grammar.Options{Thinking: true}),
		[]string{"</think>{}", "hm, 1 << 2 or </b></td>?\n</think>\n\n{\"a\":1}"}, []string{`{}`, `hm {}`})
}

func TestToolCalls(t *testing.T) {
	tools := []core.Tool{
		{Name: "add", Parameters: json.RawMessage(`{"type":"object","properties":{"a":{"$ref":"#/$defs/n"}},"required":["a"],"$defs":{"n":{"type":"integer"}}}`)},
		{Name: "now"},
	}
	for _, c := range []struct {
		f       reply.Format
		name    string
		yes, no []string
	}{
		{reply.Hermes, "", []string{"<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>", "<tool_call>\n{\"name\":\"now\",\"arguments\":{}}\n</tool_call>\n<tool_call>\n{\"name\":\"add\",\"arguments\":{\"a\":2}}\n</tool_call>"}, []string{"", "{\"name\": \"add\"}", "<tool_call>\n{\"name\": \"add\", \"arguments\": {}}\n</tool_call>"}},
		{reply.Hermes, "now", []string{"<tool_call>\n{\"name\": \"now\", \"arguments\": {\"x\":1}}\n</tool_call>"}, []string{"<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>"}},
		{reply.Llama, "", []string{`{"name": "add", "parameters": {"a": 1}}`}, []string{`{"name": "add", "arguments": {"a": 1}}`}},
		{reply.JSON, "", []string{`{"name": "add", "arguments": {"a": 1}}`}, []string{`{"name": "sub", "arguments": {}}`}},
		{reply.Mistral, "", []string{`[TOOL_CALLS][{"name": "add", "arguments": {"a": 1}}, {"name": "now", "arguments": {}}]`}, []string{`[TOOL_CALLS][]`}},
		{reply.MistralArgs, "", []string{`[TOOL_CALLS]add[ARGS]{"a": 1}[TOOL_CALLS]now[ARGS]{}`}, []string{`[TOOL_CALLS]sub[ARGS]{}`}},
	} {
		g, err := grammar.ToolCalls(t.Context(), c.f, tools, c.name, grammar.Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkMatches(t, fmt.Sprint(c.f), g, c.yes, c.no)
		for _, y := range c.yes { // what the grammar allows, the parser reads
			p := reply.New(reply.Config{Format: c.f, Tools: []string{"add", "now"}, NewID: func() string { return "id" }})
			p.Write([]byte(y))
			p.Close()
			if m := p.Message(); len(m.ToolCalls) != strings.Count(y, `"name"`)+strings.Count(y, "[ARGS]") || m.Content != "" {
				t.Errorf("%s is read as %+v", y, m)
			}
		}
	}
	either, err := grammar.Either(t.Context(), reply.Hermes, tools, []byte(`{"$ref":"#/$defs/n","$defs":{"n":{"type":"string"}}}`), grammar.Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkMatches(t, "either", either, []string{`"text"`, "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"}, []string{`1`, `{}`})
	if _, err := grammar.ToolCalls(t.Context(), reply.Hermes, tools, "sub", grammar.Options{}); core.CodeOf(err) != core.CodeInvalidRequest {
		t.Errorf("got %v", err)
	}
}

func FuzzSchema(f *testing.F) {
	for _, s := range []string{
		`{"type":"object","properties":{"a":{"type":["integer","null"],"minimum":-3}},"required":["a"],"additionalProperties":{"enum":[1]}}`,
		`{"anyOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"type":"array","items":{"$ref":"#"},"maxItems":3}}}`,
		`{"type":"string","pattern":"^(a|[^b-d]{2,}|\\w?)+$"}`, `{"allOf":[{"type":"string"},{"minLength":3}]}`, `{"const":{"a":[1.5,"\u0000"]}}`,
	} {
		f.Add([]byte(s))
	}
	f.Add([]byte(doubled(30)))
	f.Fuzz(func(t *testing.T, schema []byte) {
		g, err := grammar.Schema(t.Context(), schema, grammar.Options{})
		if err != nil {
			if core.CodeOf(err) == core.CodeInternal {
				t.Fatalf("error without a code: %v", err)
			}
			return
		}
		if len(g) > 2<<20 {
			t.Fatalf("grammar of %d bytes", len(g))
		}
		if !json.Valid(schema) {
			t.Fatal("made of bad JSON")
		}
		if len(g) < 1<<16 {
			_ = parseGBNF(t, g).matches(`{"a":1}`)
		}
	})
}
