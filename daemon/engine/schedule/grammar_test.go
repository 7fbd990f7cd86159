package schedule_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
)

// weary is a window whose grammars give up at the third token, if their text says so.
type weary struct {
	engine.Window
	tokens map[int32]int // by sequence, of those with such a grammar
}

func (w *weary) Step(ctx context.Context, b *engine.Batch) (*engine.Output, error) {
	for _, op := range b.Ops {
		if op.Kind == engine.OpSampler {
			delete(w.tokens, op.Seq)
			if strings.Contains(op.Sampler.Grammar, "weary") {
				w.tokens[op.Seq] = 0
			}
		}
	}
	out, err := w.Window.Step(ctx, b)
	if err != nil {
		return nil, err
	}
	for i := range out.Samples {
		s := &out.Samples[i]
		seq := b.Rows[s.Row].Seq
		if n, ok := w.tokens[seq]; ok {
			if w.tokens[seq]++; n == 2 {
				*s = engine.Sample{Row: s.Row, Token: -1, End: true, Failed: true}
			}
		}
	}
	return out, nil
}

// TestGrammarThatGivesUpEndsItsJobOnly runs such a job beside others, again and again.
func TestGrammarThatGivesUpEndsItsJobOnly(t *testing.T) {
	windows, err := fake.Cut(fake.Config{EndOdds: -1}, engine.Spec{Sequences: 4}, 1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := schedule.New(schedule.Config{Windows: []engine.Window{&weary{windows[0], map[int32]int{}}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			j := job("good", "a prompt "+strings.Repeat("x", i), 40)
			if got, want := generate(ctx, s, j), alone(t, fake.Config{EndOdds: -1}, j); got.err != nil || got.text() != want.text() {
				t.Errorf("beside it: %q, %v; want %q", got.text(), got.err, want.text())
			}
		})
		group.Go(func() {
			j := job("bad", "another prompt", 40)
			j.Sampler.Grammar = `root ::= "weary"`
			got := generate(ctx, s, j)
			if core.CodeOf(got.err) != core.CodeTimeout || len(got.samples) != 2 {
				t.Errorf("%d tokens, %v", len(got.samples), got.err)
			}
		})
	}
	group.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	_ = windows[0].Close()
}
