package schedule_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
)

// runChain starts a chain of n fake windows until the test ends; the channel gives what its Run returned.
func runChain(t *testing.T, model fake.Config, n int) (*schedule.Chain, []*fake.Window, <-chan error) {
	t.Helper()
	windows, err := fake.Cut(model, engine.Spec{}, n)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := schedule.NewChain(windows)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended, result := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(ended)
		result <- chain.Run(ctx)
	}()
	var fakes []*fake.Window
	for _, w := range windows {
		fakes = append(fakes, w.(*fake.Window))
	}
	t.Cleanup(func() {
		cancel()
		<-ended
		for _, w := range windows {
			_ = w.Close()
		}
	})
	return chain, fakes, result
}

// line is a batch of n rows of one sequence, the last of which samples.
func line(seq int32, from, n int) *engine.Batch {
	b := &engine.Batch{}
	for i := range n {
		b.Rows = append(b.Rows, engine.Row{Token: int32('a' + i%26), Pos: int32(from + i), Seq: seq, Sample: i == n-1})
	}
	return b
}

// submit sends batches at once and collects their passages in order.
func submit(t *testing.T, ctx context.Context, chain *schedule.Chain, batches ...*engine.Batch) []schedule.Passage {
	t.Helper()
	landed := make(chan schedule.Passage, len(batches))
	for _, b := range batches {
		if err := chain.Submit(ctx, b, func(p schedule.Passage) { landed <- p }); err != nil {
			t.Fatal(err)
		}
	}
	var passages []schedule.Passage
	for range batches {
		passages = append(passages, <-landed)
	}
	return passages
}

func TestStagesOverlap(t *testing.T) {
	for windows := 1; windows <= 4; windows++ {
		synctest.Test(t, func(t *testing.T) {
			chain, _, _ := runChain(t, fake.Config{Layers: 12, RowTime: 12 * time.Millisecond}, windows)
			const batches, rows = 6, 5
			var sent []*engine.Batch
			for i := range batches {
				sent = append(sent, line(0, i*rows, rows))
			}
			begin := time.Now()
			for i, p := range submit(t, t.Context(), chain, sent...) {
				if p.Err != nil || len(p.Output.Samples) != 1 {
					t.Errorf("batch %d: %+v", i, p)
				}
			}
			stage := rows * 12 * time.Millisecond / time.Duration(windows)
			if took, want := time.Since(begin), time.Duration(batches+windows-1)*stage; took != want {
				t.Errorf("%d windows took %s, want %s", windows, took, want)
			}
		})
	}
}

func TestEndedContextSkipsRowsButNotOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain, windows, _ := runChain(t, fake.Config{Layers: 3, StepTime: 3 * time.Second}, 3)
		submit(t, t.Context(), chain, line(0, 0, 4), line(1, 0, 4))
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		first, second := line(0, 4, 4), line(2, 0, 1)
		first.Ops = []engine.Op{{Kind: engine.OpTrim, Seq: 1}}
		begin := time.Now()
		for _, p := range submit(t, ctx, chain, first, second) {
			wantCode(t, p.Err, core.CodeCancelled)
		}
		if took := time.Since(begin); took != 1500*time.Millisecond {
			t.Errorf("the batches ended after %s", took)
		}
		for i, want := range []int{8, 4, 4} {
			if got := len(windows[i].Tokens(0)); got != want {
				t.Errorf("window %d holds %d tokens of sequence 0, want %d", i, got, want)
			}
			if got := len(windows[i].Tokens(1)); got != 0 {
				t.Errorf("window %d holds %d tokens of a trimmed sequence", i, got)
			}
		}
	})
}

func TestFailedBatchLeavesTheChainFit(t *testing.T) {
	var fail atomic.Bool
	model := fake.Config{BeforeStep: func(w *fake.Window, b *engine.Batch) error {
		if fail.Load() && w.Shape().Last && len(b.Rows) > 0 {
			return core.Errorf(core.CodeInternal, "rows hold NaN")
		}
		return nil
	}}
	chain, windows, _ := runChain(t, model, 3)
	fail.Store(true)
	wantCode(t, submit(t, t.Context(), chain, line(0, 0, 3))[0].Err, core.CodeInternal)
	fail.Store(false)
	again := line(0, 0, 3)
	again.Ops = []engine.Op{{Kind: engine.OpTrim}}
	if p := submit(t, t.Context(), chain, again)[0]; p.Err != nil {
		t.Error(p.Err)
	}
	if n := len(windows[2].Tokens(0)); n != 3 {
		t.Errorf("the last window holds %d tokens, want 3", n)
	}
}

func TestCrashFailsAllUnderWay(t *testing.T) {
	for crashed := range 3 {
		synctest.Test(t, func(t *testing.T) {
			chain, windows, result := runChain(t, fake.Config{StepTime: time.Hour}, 3)
			time.AfterFunc(time.Minute, windows[crashed].Crash)
			begin := time.Now()
			for _, p := range submit(t, t.Context(), chain, line(0, 0, 1), line(1, 0, 1), line(2, 0, 1)) {
				wantCode(t, p.Err, core.CodeEngineCrashed)
			}
			if took := time.Since(begin); took != time.Minute {
				t.Errorf("noticed after %s", took)
			}
			wantCode(t, <-result, core.CodeEngineCrashed)
			wantCode(t, chain.Submit(t.Context(), line(0, 0, 1), nil), core.CodeEngineCrashed)
		})
	}
}

func TestChainHoldsABoundedNumberOfBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain, _, _ := runChain(t, fake.Config{StepTime: time.Hour}, 2)
		done := 0
		var err error
		for i := 0; err == nil && i < 1000; i++ {
			err = chain.Submit(t.Context(), &engine.Batch{}, func(schedule.Passage) { done++ })
		}
		wantCode(t, err, core.CodeOverloaded)
	})
}

func TestChainNeedsWindowsThatFollowOneAnother(t *testing.T) {
	whole, _ := fake.Cut(fake.Config{}, engine.Spec{}, 1)
	cut, _ := fake.Cut(fake.Config{}, engine.Spec{}, 3)
	for name, windows := range map[string][]engine.Window{
		"none":     {},
		"no last":  cut[:2],
		"no first": cut[1:],
		"gap":      {cut[0], cut[2]},
		"twice":    {whole[0], whole[0]},
		"order":    {cut[0], cut[2], cut[1]},
	} {
		_, err := schedule.NewChain(windows)
		if err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
	chain, err := schedule.NewChain(cut)
	if err != nil || !chain.Shape().First || !chain.Shape().Last || chain.Shape().Layers.Len() != 4 {
		t.Errorf("got %+v, %v", chain.Shape(), err)
	}
}
