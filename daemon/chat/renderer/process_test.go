package renderer_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/daemon/chat/renderer"
	"github.com/shoal-p2p/shoal/daemon/chat/template"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// The tests' own program is the renderer too.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{renderer.Argument}) {
		os.Exit(renderer.Serve(os.Stdin, os.Stdout, os.Exit))
	}
	if slices.Equal(os.Args[1:], []string{stuck}) {
		_, _ = os.Stdout.WriteString("R")
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// stuck is the argument for a renderer that takes a question and never answers.
const stuck = "stuck"

func sourceOf(text string) template.Source {
	return template.Source{Text: text, BOS: "<BOS>", EOS: "<EOS>"}
}

func process(t testing.TB, l renderer.Limits) *renderer.Process {
	t.Helper()
	p := renderer.NewProcess(renderer.ProcessConfig{Command: []string{os.Args[0], renderer.Argument}, Limits: l, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(p.Close)
	return p
}

// bomb doubles a text with every line.
func bomb(lines int) string {
	var b strings.Builder
	b.WriteString("{% set v0 = 'abcdefgh' %}")
	for i := 1; i <= lines; i++ {
		fmt.Fprintf(&b, "{%% set v%d %%}{{ v%d }}{{ v%d }}{%% endset %%}\n", i, i-1, i-1)
	}
	fmt.Fprintf(&b, "{{ v%d|length }}", lines)
	return b.String()
}

// nested is open with %d replaced by its depth, n times, then inside, then end as often.
func nested(n int, open, inside, end string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.NewReplacer("$i", fmt.Sprint(i), "$j", fmt.Sprint(i+1)).Replace(open))
	}
	return b.String() + strings.ReplaceAll(inside, "$n", fmt.Sprint(n)) + strings.Repeat(end, n)
}

// memoryBombs take half a GiB or more unless somebody stops them; what takes all there is would also stop a test whose
// guard is missing.
func memoryBombs() map[string]string {
	const much = "{% set s = 'x' * 4000000 %}"
	return map[string]string{
		"captured":   bomb(25),
		"modest":     bomb(23),
		"with":       "{% set v0 = 'abcdefgh' %}" + nested(25, "{% with v$j = v$i ~ v$i %}", "{{ v$n|length }}", "{% endwith %}"),
		"for":        "{% set v0 = 'abcdefgh' %}" + nested(25, "{% for v$j in [v$i ~ v$i] %}", "{{ v$n|length }}", "{% endfor %}"),
		"lists":      nested(25, "{% with v$j = (v$i or ['x']) + (v$i or ['x']) %}", "{{ v$n|length }}", "{% endwith %}"),
		"macros":     "{% macro f(x, n) %}{% if n %}{{ f(x ~ x, n - 1) }}{% else %}{{ x }}{% endif %}{% endmacro %}{% set y = f('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 22) %}{{ y|length }}",
		"repeat":     "{{ ('x' * 1000000000000)|length }}",
		"characters": much + "{% set l = s|list %}{% set m = (s ~ s)|list %}{{ (l + m)|length }}",
		"replace":    "{% set n = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(20) %}{% set n.s = n.s.replace('a', n.s) %}{% endfor %}",
		"joined":     much + "{% for i in range(5) %}{% set x = [s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s]|join(s) %}{% endfor %}",
		"recursion":  "{% set n = namespace() %}{% set n.n = n %}{{ n.n|string }}",
		"json":       nested(25, "{% with v$j = [v$i, v$i] %}", "{{ v$n|tojson|length }}", "{% endwith %}"),
	}
}

// F1 and its kind: what a render makes is bounded by memory that is measured, not by what somebody thought of.
func TestMemoryOfARenderIsBounded(t *testing.T) {
	const limit = 96 << 20
	p := process(t, renderer.Limits{Time: time.Minute, Memory: limit})
	before := allocated()
	for name, source := range memoryBombs() {
		_, err := p.Render(t.Context(), sourceOf(source), template.Input{})
		if core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	if made := allocated() - before; made > 32<<20 {
		t.Errorf("this process made %d MiB beside it", made>>20)
	}
	if peak := childrenPeak(); peak > 2*limit+512<<20 { // a busy PC is slow to look, but the system is not
		t.Errorf("a renderer had %d MiB, the limit is %d", peak>>20, limit>>20)
	}
	if _, err := p.Render(t.Context(), sourceOf("ok"), template.Input{}); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

// allocated is what this process has put on its heap so far, in bytes.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// F2 and its kind: a render ends when its time is over, whatever it does.
func TestTimeOfARenderIsBounded(t *testing.T) {
	const much = "{% set s = 'x' * 4000000 %}"
	p := process(t, renderer.Limits{Time: 50 * time.Millisecond, Memory: 512 << 20})
	for name, source := range map[string]string{
		"filters": "{% for a in range(99999) %}{{ range(99999)|list|length }}{% endfor %}",
		"letters": much + "{% for a in range(99999) %}{% set x = s|upper|lower|title|capitalize %}{% endfor %}",
		"joins":   much + "{% set x = s" + strings.Repeat(" ~ s", 60) + " %}{% set y = x == x ~ 'a' %}" + strings.Repeat("{% set y = s|upper|lower|title|capitalize %}", 50),
		"shared":  "{% set a = [1] %}" + strings.Repeat("{% set a = [a, a] %}", 34) + "{{ a == a }}",
		"loops":   "{% for a in range(99999) %}{% for b in range(99999) %}{% if a in range(9999)|list %}{% endif %}{% endfor %}{% endfor %}",
	} {
		_, err := p.Render(t.Context(), sourceOf(source), template.Input{})
		if core.CodeOf(err) != core.CodeTimeout {
			t.Errorf("%s: %v, want %s", name, err, core.CodeTimeout)
		}
	}
}

// The node does not depend on the renderer's own clock.
func TestRendererThatNeverAnswers(t *testing.T) {
	p := renderer.NewProcess(renderer.ProcessConfig{
		Command: []string{os.Args[0], stuck}, Limits: renderer.Limits{Time: 50 * time.Millisecond, Memory: 1 << 30}, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := p.Render(ctx, sourceOf("x"), template.Input{}); core.CodeOf(err) != core.CodeTimeout {
		t.Errorf("got %v", err)
	}
}

// A render ends with its client, and another one can be made at once.
func TestRenderEndsWithItsClient(t *testing.T) {
	p := process(t, renderer.Limits{Time: 20 * time.Second, Memory: 512 << 20})
	endless := sourceOf("{% for a in range(99999) %}{{ range(99999)|list|length }}{% endfor %}")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var wait sync.WaitGroup
	for range 5 { // two render, three wait
		wait.Go(func() {
			if _, err := p.Render(ctx, endless, template.Input{}); core.CodeOf(err) != core.CodeCancelled {
				t.Errorf("got %v", err)
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		wait.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(8 * time.Second):
		t.Fatal("it still renders though its clients have left")
	}
	if got, err := p.Render(t.Context(), sourceOf("{{ messages[0].content }}"), template.Input{Messages: []core.Message{{Role: "user", Content: "hi"}}}); err != nil || strings.Join(got, "") != "hi" {
		t.Errorf("got %q, %v", got, err)
	}
}

// What goes to a renderer arrives as it is, and what it says comes back so.
func TestProcessRendersAsInside(t *testing.T) {
	p, inside := process(t, renderer.Limits{}), &renderer.Inside{}
	in := template.Input{
		Messages: []core.Message{{Role: "user", Content: "<é漢😀>\n"}, {Role: "assistant", ToolCalls: []core.ToolCall{{ID: "1", Name: "f", Arguments: `{"n":12345678901234567890,"f":0.5}`}}}},
		Tools:    []core.Tool{{Name: "f", Parameters: []byte(`{"type":"object"}`)}}, AddGenerationPrompt: true,
		Args: map[string]any{"n": 9007199254740993, "on": true}, Now: time.Date(2026, 7, 9, 8, 5, 3, 0, time.UTC),
	}
	for _, text := range []string{
		"{{ messages|tojson }}{{ tools|tojson }}{{ n }}{{ on }}{{ strftime_now('%H:%M') }}{{ bos_token }}{{ add_generation_prompt }}",
		"{{ raise_exception('no') }}", "{% if %}", "{{ 'a'.encode() }}", "\xff{{ 1 }}",
	} {
		source := sourceOf(text)
		source.Control = []string{"<é"}
		want, wantErr := inside.Render(t.Context(), source, in)
		got, err := p.Render(t.Context(), source, in)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) || core.CodeOf(err) != core.CodeOf(wantErr) || strings.ToValidUTF8(strings.Join(want, "|"), "\uFFFD") != strings.Join(got, "|") {
			t.Errorf("%q: got %q, %v\nwant %q, %v", text, got, err, want, wantErr)
		}
	}
}

// A process that ended while it waited, by whatever hand, costs nobody a request.
func TestWarmProcessThatDied(t *testing.T) {
	p := process(t, renderer.Limits{})
	for range 3 {
		if _, err := p.Render(t.Context(), sourceOf("ok"), template.Input{}); err != nil {
			t.Fatal(err)
		}
		if n := p.KillWarm(); n != 1 {
			t.Fatalf("%d processes are warm, want 1", n)
		}
	}
}

func TestProgramThatIsNoRenderer(t *testing.T) {
	for _, command := range []string{"/nowhere/at/all", os.Args[0]} {
		p := renderer.NewProcess(renderer.ProcessConfig{Command: []string{command, "-test.run=^$"}, Log: slog.New(slog.DiscardHandler)})
		if _, err := p.Render(t.Context(), sourceOf("ok"), template.Input{}); core.CodeOf(err) != core.CodeInternal {
			t.Errorf("%s: %v", command, err)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("{% for m in messages %}{{ m.content.strip() | upper }}{% endfor %}", "hi")
	f.Add("{% macro f(a, b='x') -%}{{ a[1:] ~ b }}{%- endmacro %}{{ f(messages[0]['content'].split(',')[0]) }}", "a,b")
	f.Add("{% set ns = namespace(a=1) %}{% set ns.a = {'x': [1]} %}{{ ns.a | tojson(indent=2) }}", "\x00")
	p := process(f, renderer.Limits{Time: 100 * time.Millisecond, Memory: 64 << 20})
	f.Fuzz(func(t *testing.T, source, content string) {
		segments, err := p.Render(t.Context(), sourceOf(source), template.Input{Messages: []core.Message{{Role: "user", Content: content}}})
		if size := len(strings.Join(segments, "")); err == nil && size > 8<<20 {
			t.Errorf("%d bytes", size)
		}
		if err != nil && core.CodeOf(err) == core.CodeInternal {
			t.Error(err)
		}
	})
}

// FuzzServe gives a renderer what is no question of a node.
func FuzzServe(f *testing.F) {
	for _, body := range []string{`{"Limits":{"Time":1000000000,"Memory":100000000},"Template":"eA==","Args":"e30="}`, `{}`, `[]`, ``} {
		f.Add(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, sent []byte) {
		renderer.Serve(bytes.NewReader(sent), io.Discard, func(int) {})
	})
}
