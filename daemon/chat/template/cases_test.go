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

// What chat templates take from Python beyond Jinja. The right texts are Python's.
func TestPythonInTemplates(t *testing.T) {
	for _, c := range []struct{ before, expression, want string }{
		{"{% set l = [] %}{% for m in messages %}{% set _ = l.append(m.content) %}{% endfor %}", "l|join('|')", "hello"},
		{"{% set l = [] %}{% set _ = l.append('a') %}", "l|tojson", `["a"]`},
		{"{% set l = ['a'] -%}\n{%- set _ = l.append('b') -%}", "(l|length) ~ l[1] ~ l[-1:]|join", "2bb"},
		{"{% set l = [] %}{{ l.append(1) or '' }}{% if l %}x{% endif %}{% for x in l %}{{ x }}{% endfor %}", "1 in l and 2 not in l", "x1True"},
		{"{% set l = ['a', 'b'] %}{% set _ = l.pop() %}", "l|join(',')", "a"},
		{"{% set l = [1, 2, 3] %}{% set x = l.pop(0) %}", "x ~ l", "1[2, 3]"},
		{"{% set l = [3] %}{% set _ = l.insert(0, 1) %}{% set _ = l.extend([4, 5]) %}{% set _ = l.remove(4) %}", "l + [6]", "[1, 3, 5, 6]"},
		{"{% set ns = namespace() %}{% set ns.l = [] %}{% set _ = ns.l.append('x') %}", "ns.l|join", "x"},
		{"{% set l = [1] %}{% set _ = l.append(2) %}{% set m = l %}{% set l = [] %}", "m ~ l", "[1, 2][]"},
		{"{% set d = {'a': 1} %}{% set _ = d.update({'b': 2}) %}", "d", "{'a': 1, 'b': 2}"},
		{"{% set d = {'b': 1} %}{% set _ = d.update(a=2) %}{% set _ = d.setdefault('c', 3) %}", "d|tojson", `{"b": 1, "a": 2, "c": 3}`},
		{"{% set d = {'a': 1, 'default': 2}.copy() %}{% set _ = d.pop('default', none) %}", "d|length", "1"},
		{"", "'%s: %s' % (messages[0].role, messages[0].content)", "user: hello"},
		{"", "'%d%% of %.2f, %5s|%-5s|%05d %r' % (50, 1.5, 'a', 'b', 42, 'c')", "50% of 1.50,     a|b    |00042 'c'"},
		{"", "'%s' % messages[0].content|upper", "HELLO"},
		{"", "'%(x)s' % {'x': 7}", "7"},
		{"", "7 % 4 + 2 * 3 % 4", "5"},
		{"", "messages[0].content|length % 3", "2"},
		{"{% if loop is not defined and 3 % 2 == 1 %}odd{% endif %}", "'a' ~ '%s' % 'b' ~ 'c'", "oddabc"},
		{"", "'{}: {}'.format(messages[0].role, messages[0].content)", "user: hello"},
		{"", "'{1}{0}{{}}{x!r}{y:.1f}{z:>3}{w:<3}|'.format('a', 'b', x='q', y=2, z='c', w='d')", "ba{}'q'2.0  cd  |"},
		{"", "'=' * 5", "====="},
		{"", "2 * 3", "6"},
		{"", "'a.b.c'.rsplit('.', 2)[0]", "a"},
		{"", "'a.b.c.d'.rsplit('.', 2)", "['a.b', 'c', 'd']"},
		{"", "'a b'.split(' ')[1].title()", "B"},
		{"", "messages[1:]|length ~ [1, 2].index(2) ~ [1, 1].count(1)", "012"},
		{"{% for m in messages[1:] %}x{% else %}none{% endfor %}", "{'a': [1, none, true, \"it's\", 'x\n']}", `none{'a': [1, None, True, "it's", 'x\n']}`},
	} {
		got, err := render(t, c.before+"{{ "+c.expression+" }}{# #}{{ messages[0].content[:0] }}", template.Input{Messages: []core.Message{{Role: "user", Content: "hello"}}})
		if err != nil && strings.Contains(err.Error(), "leaves out") { // such as 2 * 3
			got, err = render(t, c.before+"{{ "+c.expression+" }}", template.Input{Messages: []core.Message{{Role: "assistant", Content: "hello"}}})
			got = []string{strings.ReplaceAll(strings.Join(got, ""), "assistant", "user")}
		}
		if err != nil || strings.Join(got, "") != c.want {
			t.Errorf("%s %s: got %q, %v\nwant %q", c.before, c.expression, strings.Join(got, ""), err, c.want)
		}
	}
}

// A template is rewritten in time that grows with its length and no faster: its links and brackets are written once.
func TestLongTemplatesAreRewrittenOnce(t *testing.T) {
	long := "{{ x" + strings.Repeat(".a", 60_000) + " }}"
	short := "{{ x" + strings.Repeat(".a", 6_000) + " }}"
	cost := func(source string) float64 {
		before := allocated()
		_, _ = template.New(sourceOf(source))
		return float64(allocated() - before)
	}
	if a, b := cost(short), cost(long); b > 40*a {
		t.Errorf("10 times the length takes %.0f times the memory", b/a)
	}
}

// What is bounded beside time and memory ends with a reason, at once and wherever it is rendered. Without the bound
// each of these renders, or says something else.
func TestStepsAndOutputAreBounded(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"steps", "{% for a in range(2000) %}{% for b in range(600) %}{% if b %}{% endif %}{% endfor %}{% endfor %}", "fuel"},
		{"output", "{% for a in range(9000) %}" + strings.Repeat("x", 1000) + "{% endfor %}", "too long"},
		{"source", strings.Repeat("x", 300<<10), "larger than"},
		{"brackets", "{{ " + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "|length }}", "nested deeper"},
		{"macros", "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(200) }}", "recursion"},
		{"tags", strings.Repeat("{{ 1 }}", 4002), "more than 4000 tags"},
	} {
		if _, err := render(t, c.source, template.Input{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want a word of %q", c.name, err, c.want)
		}
	}
}
