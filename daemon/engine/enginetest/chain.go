package enginetest

import (
	"context"
	"math"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/half"
)

// chain runs batches through windows one after another.
type chain struct {
	windows []engine.Window
	half    bool    // rows between the windows are rounded to half floats
	largest float64 // number of these rows
}

// outcome is what a step gave.
type outcome struct {
	out *engine.Output
	err error
}

func (c *chain) last() engine.Window { return c.windows[len(c.windows)-1] }

func (c *chain) step(ctx context.Context, b *engine.Batch) outcome {
	stage, out := *b, (*engine.Output)(nil)
	for i, w := range c.windows {
		var err error
		if out, err = w.Step(ctx, &stage); err != nil {
			return outcome{nil, err}
		}
		stage.Hidden = out.Hidden
		if c.half && i < len(c.windows)-1 {
			c.round(stage.Hidden)
		}
	}
	return outcome{out, nil}
}

func (c *chain) round(hidden []float32) {
	for i, f := range hidden {
		c.largest = max(c.largest, math.Abs(float64(f)))
		hidden[i] = half.To(half.From(f))
	}
}

// must ends the test when a step failed.
func (c *chain) must(t *testing.T, o outcome) *engine.Output {
	t.Helper()
	if o.err != nil {
		t.Fatal(o.err)
	}
	return o.out
}

// greedy reads a prompt into an empty sequence and generates n tokens.
func (c *chain) greedy(t *testing.T, seq int32, prompt []int32, n int) []int32 {
	t.Helper()
	return c.continued(t, seq, 0, prompt, n)
}

// continued runs tokens from a position on and generates n more, whatever they are.
func (c *chain) continued(t *testing.T, seq int32, pos int, tokens []int32, n int) (got []int32) {
	t.Helper()
	return c.sampled(t, seq, pos, tokens, n, nil)
}

// sampled is continued with a sampler set first, if there is one.
func (c *chain) sampled(t *testing.T, seq int32, pos int, tokens []int32, n int, sampler *engine.Sampler) (got []int32) {
	t.Helper()
	for len(got) < n {
		b := rows(seq, pos, tokens, true)
		if sampler != nil {
			b.Ops = []engine.Op{{Kind: engine.OpSampler, Seq: seq, Sampler: sampler}}
			sampler = nil
		}
		out := c.must(t, c.step(t.Context(), b))
		if len(out.Samples) != 1 || out.Samples[0].Row != len(tokens)-1 {
			t.Fatalf("got samples %+v for the last of %d rows", out.Samples, len(tokens))
		}
		pos += len(tokens)
		tokens = []int32{out.Samples[0].Token}
		got = append(got, tokens[0])
	}
	return got
}

func (c *chain) trim(t *testing.T, seq, from int32) {
	t.Helper()
	c.must(t, c.step(t.Context(), &engine.Batch{Ops: []engine.Op{trim(seq, from)}}))
}

func trim(seq, from int32) engine.Op { return engine.Op{Kind: engine.OpTrim, Seq: seq, From: from} }

// rows is a batch of tokens of one sequence; sample marks the last.
func rows(seq int32, pos int, tokens []int32, sample bool) *engine.Batch {
	b := &engine.Batch{}
	for i, token := range tokens {
		b.Rows = append(b.Rows, engine.Row{Token: token, Pos: int32(pos + i), Seq: seq, Sample: sample && i == len(tokens)-1})
	}
	return b
}

func wantCode(t *testing.T, err error, code core.Code) {
	t.Helper()
	if core.CodeOf(err) != code {
		t.Errorf("error %v has code %q, want %q", err, core.CodeOf(err), code)
	}
}
