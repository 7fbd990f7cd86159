package jinja_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/chat/jinja"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func render(src string, vars *jinja.Dict) (jinja.Text, error) {
	t, err := jinja.Parse(src)
	if err != nil {
		return jinja.Text{}, err
	}
	if vars == nil {
		vars = jinja.NewDict(0)
	}
	return t.Render(context.Background(), vars, time.Unix(0, 0).UTC())
}

// Hostile templates end with an error, soon, and do not take the process down.
func TestHostileTemplatesAreBounded(t *testing.T) {
	loops := strings.Repeat("{% for i in range(100000) %}", 4)
	for name, src := range map[string]string{
		"recursive macro":     "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
		"mutual macros":       "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ b() }}",
		"nested loops":        loops + strings.Repeat("{% endfor %}", 4),
		"nested output":       loops + "xxxxxxxxxxxxxxxxxxxxxxxxxxxx" + strings.Repeat("{% endfor %}", 4),
		"doubling":            "{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
		"repeat text":         "{{ 'x' * 9999999999 }}",
		"repeat list":         "{{ ([0] * 9999999999) | length }}",
		"repeat repeated":     "{% set a = 'x' * 1000000 %}{{ (a * 1000000) | length }}",
		"big range":           "{{ range(9999999999) | list }}",
		"big indent":          "{{ 'x' | indent(9999999999, true) }}",
		"big json indent":     "{{ [1] | tojson(indent=9999999999) }}",
		"big center":          "{{ 'x' | center(9999999999) }}",
		"big width":           "{{ '%999999999d' % 1 }}",
		"replace growth":      "{% set a = 'x' * 100000 %}{{ a.replace('x', a) | length }}",
		"join growth":         "{% set a = 'x' * 100000 %}{{ a.join(range(100000)) | length }}",
		"deep parentheses":    "{{ " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000) + " }}",
		"deep brackets":       "{{ " + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + " }}",
		"deep not":            "{{ " + strings.Repeat("not ", 200_000) + "1 }}",
		"deep minus":          "{{ " + strings.Repeat("- ", 200_000) + "1 }}",
		"long sum":            "{{ 1" + strings.Repeat("+1", 200_000) + " }}",
		"long filters":        "{{ 'x'" + strings.Repeat("|trim", 100_000) + " }}",
		"long attributes":     "{{ x" + strings.Repeat(".a", 200_000) + " }}",
		"deep if":             strings.Repeat("{% if 1 %}", 50_000),
		"long elif":           "{% if 0 %}" + strings.Repeat("{% elif 0 %}", 50_000) + "{% endif %}",
		"value in itself":     "{% set n = namespace() %}{% set n.n = n %}{{ n }}",
		"list in itself":      "{% set n = namespace() %}{% for i in range(9000) %}{% set n.n = [n.n] %}{% endfor %}{{ n.n }}",
		"deep json":           "{% set n = namespace(n=1) %}{% for i in range(9000) %}{% set n.n = [n.n] %}{% endfor %}{{ n.n | tojson }}",
		"recursive loop":      "{% set n = namespace(n=[1]) %}{% for i in n.n recursive %}{{ loop(n.n) }}{% endfor %}",
		"caller":              "{% macro m() %}{{ caller() }}{% endmacro %}{% macro k() %}{% call m() %}{{ k() }}{% endcall %}{% endmacro %}{{ k() }}",
		"include":             "{% include '/etc/passwd' %}",
		"import":              "{% import '/etc/passwd' as x %}",
		"dunder":              "{{ ''.__class__.__mro__ }}",
		"append":              "{{ [].append(1) }}",
		"division by zero":    "{{ 1 // 0 }}",
		"smallest by minus 1": "{{ (-9223372036854775807 - 1) // -1 }}",
		"number out of range": "{{ 99999999999999999999 }}",
		"unclosed tag":        "{{ 'a' ",
		"unclosed block":      "{% for a in b %}",
		"stray end":           "{% endfor %}",
		"break without loop":  "{% break %}",
		"unknown filter":      "{{ 1 | nothing }}",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			out, err := render(src, nil)
			if code := core.CodeOf(err); code != core.CodeInvalidRequest && code != core.CodeUnsupported {
				t.Errorf("got %.40q, %v", out, err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestRenderStopsWithItsContext(t *testing.T) {
	tmpl, err := jinja.Parse("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tmpl.Render(ctx, jinja.NewDict(0), time.Now()); core.CodeOf(err) != core.CodeCancelled {
		t.Errorf("got %v", err)
	}
}

// Each expression's result must have exactly the upper-case letters, which stand for what a user wrote, marked.
func TestOriginFollowsText(t *testing.T) {
	vars := jinja.NewDict(2)
	vars.SetString("u", jinja.User(" AB,C "))
	vars.SetString("d", func() any { v, _ := jinja.FromJSON([]byte(`{"K":["V\n",1]}`)); return v }())
	for src, want := range map[string]string{
		"a{{ u }}b":                                   "a[ AB,C ]b",
		"{{ u | trim }}":                              "[AB,C]",
		"{{ u.strip() ~ 'x' }}":                       "[AB,C]x",
		"{{ u.split(',')[0] + '-' + u[4:] }}":         "[ AB]-[C ]",
		"{{ u.strip()[1] }}{{ u.strip()[::-1] }}":     "[BC,BA]",
		"{{ 'x%sy' % u }}{{ 'p{}q'.format(u) }}":      "x[ AB,C ]yp[ AB,C ]q",
		"{{ [u, 1] | tojson }}":                       `["[ AB,C ]", 1]`,
		"{{ d | tojson }}":                            `{"[K]": ["[V\n]", 1]}`,
		"{{ u.replace(',', 'x') | trim }}":            "[AB]x[C]",
		"{{ 'yxz'.replace('x', u.strip()) }}":         "y[AB,C]z",
		"{{ [u, 'x'] | join('+') }}":                  "[ AB,C ]+x",
		"{% set s %}x{{ u }}{% endset %}{{ s }}":      "x[ AB,C ]",
		"{{ u if u is string else '' }}":              "[ AB,C ]",
		"{{ u.strip().removeprefix('A') }}":           "[B,C]",
		"{% for c in u.strip() %}{{ c }}{% endfor %}": "[AB,C]",
		"{{ 'abc' | upper }}":                         "ABC",
		"{{ u | lower | trim }}":                      "[ab,c]",
		"{{ ('x' ~ u) | upper }}":                     "[X AB,C ]",
	} {
		got, err := render(src, vars)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		var b strings.Builder
		at := 0
		for _, s := range got.UserSpans() {
			b.WriteString(got.String()[at:s.Start] + "[" + got.String()[s.Start:s.End] + "]")
			at = s.End
		}
		b.WriteString(got.String()[at:])
		if marked := strings.ReplaceAll(b.String(), "][", ""); marked != want {
			t.Errorf("%s: got %q, want %q", src, marked, want)
		}
	}
}

func FuzzRender(f *testing.F) {
	for _, src := range []string{
		"{% for k, v in d.items() recursive %}{{ loop.cycle(k, v) }}{{ loop(v) }}{% else %}{% endfor %}",
		"{%- macro m(a, b=[1, {'x': 2.5}]) -%}{{ a ~ b | tojson(indent=2) }}{%- endmacro -%}{% call m(u) %}{% endcall %}",
		"{{ u[::-1] }}{{ u[1:-1] }}{{ u.split('a', 1) }}{{ '%5.2f' % 1 }}{{ '{}'.format(u) }}",
		"{% set ns = namespace(a=1) %}{% set ns.a = ns.a + 2 ** 3 // -2 %}{% raw %}{{{% endraw %}{# c #}",
		"{{ u | indent(2) | replace('a', 'b') | default('x', true) }}{{ d | dictsort }}{{ u is in d }}",
		"{{ strftime_now('%-d %b %Y') }}{{ raise_exception('no') }}",
	} {
		f.Add(src, "text é")
	}
	f.Fuzz(func(t *testing.T, src, user string) {
		vars := jinja.NewDict(2)
		vars.SetString("u", jinja.User(user))
		d := jinja.NewDict(1)
		d.Set(jinja.User(user), jinja.User(user))
		vars.SetString("d", d)
		out, err := render(src, vars)
		if err != nil {
			if core.CodeOf(err) == core.CodeInternal {
				t.Fatalf("error without a code: %v", err)
			}
			return
		}
		if len(out.String()) > jinja.MaxOutput {
			t.Fatalf("%d bytes", len(out.String()))
		}
		last := 0
		for _, s := range out.UserSpans() {
			if s.Start < last || s.End <= s.Start || s.End > len(out.String()) {
				t.Fatalf("bad spans %v of %q", out.UserSpans(), out)
			}
			last = s.End
		}
	})
}
