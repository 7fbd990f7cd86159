package enginetest

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

func testTrim(t *testing.T, s *suite) {
	c := s.open(t)
	if !c.canTrim() {
		t.Skip("the model's sequences cannot be trimmed")
	}
	prompt := s.prompt(t, c)
	want := c.greedy(t, 0, prompt, 8)
	cut := len(prompt) - 2
	c.trim(t, 0, int32(cut))
	if got := c.continued(t, 0, cut, prompt[cut:], 8); !slices.Equal(got, want) {
		t.Errorf("after a trim %v, before %v", got, want)
	}
}

func testTrimAll(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	want := c.greedy(t, 0, prompt, 4)
	c.greedy(t, 1, slices.Concat(prompt[1:], prompt[:1]), 4)
	c.trim(t, 1, 0)
	if got := c.greedy(t, 1, prompt, 4); !slices.Equal(got, want) {
		t.Errorf("in a used sequence %v, in a fresh one %v", got, want)
	}
}

func testCopy(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	want := c.greedy(t, 0, prompt, 4)
	n := len(prompt) - 1
	c.trim(t, 0, 0)
	c.must(t, c.step(t.Context(), rows(0, 0, prompt[:n], false)))
	b := rows(2, n, prompt[n:], true)
	b.Ops = []engine.Op{{Kind: engine.OpCopy, Seq: 2, From: int32(n), Source: 0}}
	out := c.must(t, c.step(t.Context(), b))
	got := append([]int32{out.Samples[0].Token}, c.continued(t, 2, n+1, []int32{out.Samples[0].Token}, 3)...)
	if !slices.Equal(got, want) {
		t.Errorf("from a copy %v, without %v", got, want)
	}
	if got := c.continued(t, 0, n, prompt[n:], 4); !slices.Equal(got, want) {
		t.Errorf("the source of a copy gives %v, want %v", got, want)
	}
}

func (c *chain) canTrim() bool {
	return !slices.ContainsFunc(c.windows, func(w engine.Window) bool { return !w.Shape().CanTrim })
}

func testRefusesBadRows(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	want := c.greedy(t, 0, prompt, 4)
	c.trim(t, 0, 0)
	c.must(t, c.step(t.Context(), rows(0, 0, prompt[:2], false)))
	for name, b := range map[string]*engine.Batch{
		"gap":               rows(0, 3, prompt[2:3], true),
		"again":             rows(0, 1, prompt[1:2], true),
		"gap inside":        {Rows: slices.Concat(rows(0, 2, prompt[2:3], false).Rows, rows(0, 4, prompt[3:4], true).Rows)},
		"negative position": rows(1, -1, prompt[:1], true),
		"no such sequence":  rows(4, 0, prompt[:1], true),
		"negative sequence": rows(-1, 0, prompt[:1], true),
		"too many rows":     rows(1, 0, slices.Repeat(prompt[:1], 65), true),
		"no such token":     rows(1, 0, []int32{int32(c.last().Shape().Vocabulary)}, true),
		"negative token":    rows(1, 0, []int32{-1}, true),
		"operation":         {Ops: []engine.Op{{Kind: 99}}},
		"operation's seq":   {Ops: []engine.Op{trim(4, 0)}},
	} {
		if o := c.step(t.Context(), b); o.err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
	if got := c.continued(t, 0, 2, prompt[2:], 4); !slices.Equal(got, want) {
		t.Errorf("after refused batches %v, want %v", got, want)
	}
}

func testRefusesBadHidden(t *testing.T, s *suite) {
	c := s.open(t)
	if len(c.windows) == 1 {
		t.Skip("one window takes no hidden states")
	}
	prompt := s.prompt(t, c)
	want := c.greedy(t, 0, prompt, 4)
	c.trim(t, 0, 0)
	b := rows(0, 0, prompt, true)
	out, err := c.windows[0].Step(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]float64{"NaN": math.NaN(), "infinity": math.Inf(1), "minus infinity": math.Inf(-1)} {
		bad := *b
		bad.Hidden = slices.Clone(out.Hidden)
		bad.Hidden[len(bad.Hidden)/2] = float32(value)
		if _, err := c.windows[1].Step(t.Context(), &bad); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
	short := *b
	short.Hidden = out.Hidden[1:]
	if _, err := c.windows[1].Step(t.Context(), &short); err == nil {
		t.Error("too few hidden states: not refused")
	}
	c.trim(t, 0, 0)
	if got := c.greedy(t, 0, prompt, 4); !slices.Equal(got, want) {
		t.Errorf("after refused batches %v, want %v", got, want)
	}
}

func testRefusesFullCache(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	want := c.greedy(t, 0, prompt, 2)
	c.trim(t, 0, 0)
	size := c.windows[0].Shape().Context
	pos := 0
	for ; pos+64 <= size; pos += 64 {
		c.must(t, c.step(t.Context(), rows(1, pos, slices.Repeat(prompt[:1], 64), false)))
	}
	if o := c.step(t.Context(), rows(1, pos, slices.Repeat(prompt[:1], 64), false)); o.err == nil {
		t.Fatalf("%d tokens fit into a KV cache of %d", pos+64, size)
	}
	c.trim(t, 1, 0)
	if got := c.greedy(t, 0, prompt, 2); !slices.Equal(got, want) {
		t.Errorf("after a full cache %v, want %v", got, want)
	}
}

func testOperationsWithoutRows(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	c.must(t, c.step(t.Context(), &engine.Batch{}))
	c.must(t, c.step(t.Context(), rows(0, 0, prompt, false)))
	c.trim(t, 0, 0)
	c.must(t, c.step(t.Context(), rows(0, 0, prompt, true)))
}

func testEndedContext(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	want := c.greedy(t, 0, prompt, 4)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	b := rows(0, 0, prompt, true)
	b.Ops = []engine.Op{trim(0, 0)}
	for _, w := range c.windows {
		stage := *b
		if !w.Shape().First {
			stage.Hidden = make([]float32, len(b.Rows)*w.Shape().Embedding)
		}
		_, err := w.Step(ended, &stage)
		wantCode(t, err, core.CodeCancelled)
	}
	if got := c.greedy(t, 0, prompt, 4); !slices.Equal(got, want) {
		t.Errorf("after operations with an ended context %v, want %v", got, want)
	}
}

// testCancelledStep ends the context while steps run: whenever the step says so, its rows must not be there.
func testCancelledStep(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	want := c.greedy(t, 0, prompt, 4)
	for range 8 {
		c.trim(t, 0, 0)
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		_, err := c.windows[0].Step(ctx, rows(0, 0, prompt, true))
		if err == nil {
			continue
		}
		wantCode(t, err, core.CodeCancelled)
		if got := c.greedy(t, 0, prompt, 4); !slices.Equal(got, want) {
			t.Errorf("after a cancelled step %v, want %v", got, want)
		}
	}
}

func testSpare(t *testing.T, s *suite) {
	c := s.open(t)
	w := c.windows[0]
	if w.Shape().Last {
		t.Skip("a whole model gives no hidden states")
	}
	prompt := s.prompt(t, c)
	first, err := w.Step(t.Context(), rows(0, 0, prompt, false))
	if err != nil {
		t.Fatal(err)
	}
	kept := slices.Clone(first.Hidden)
	b := rows(1, 0, prompt, false)
	b.Spare = make([]float32, 0, len(kept)+7)
	second, err := w.Step(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first.Hidden, kept) {
		t.Error("a step changed the hidden states of the step before it")
	}
	if len(second.Hidden) != len(kept) {
		t.Errorf("%d floats with spare memory, %d without", len(second.Hidden), len(kept))
	}
}

func testClose(t *testing.T, s *suite) {
	c := s.open(t)
	for _, w := range c.windows {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		<-w.Done()
		_, err := w.Step(t.Context(), &engine.Batch{})
		wantCode(t, err, core.CodeEngineCrashed)
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}
