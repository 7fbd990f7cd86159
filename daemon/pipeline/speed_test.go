package pipeline_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
)

// TestJobsKeepEveryStageBusy runs four jobs over a chain of this node and another: together they must be much faster
// than one, since both stages work and batches are shared.
func TestJobsKeepEveryStageBusy(t *testing.T) {
	cfg := fake.Config{Layers: 4, StepTime: 20 * time.Millisecond, RowTime: 10 * time.Millisecond, EndOdds: -1}
	took := func(jobs int) (elapsed time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			s := newSwarm(t, cfg, "host", "a")
			r := s.runner("host", planner{spec(cfg, "host", "a")})
			if err := r.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			var group sync.WaitGroup
			for i := range jobs {
				group.Go(func() {
					if got := generate(t.Context(), r, job(fmt.Sprint(i), "x", 100)); got.err != nil {
						t.Error(got.err)
					}
				})
			}
			group.Wait()
			elapsed = time.Since(begin)
		})
		return elapsed
	}
	if gain := 4 * float64(took(1)) / float64(took(4)); gain < 2.5 {
		t.Errorf("four jobs bring %.2f times the tokens of one", gain)
	}
}

// TestPromptOverlapsStages checks that a long prompt is read by all stages at the same time.
func TestPromptOverlapsStages(t *testing.T) {
	cfg := fake.Config{Layers: 4, RowTime: time.Millisecond}
	for tokens, gain := range map[int]float64{512: 1.5, 2048: 1.7} {
		synctest.Test(t, func(t *testing.T) {
			s := newSwarm(t, cfg, "host", "a", "b")
			s.net.SetDelay(time.Millisecond)
			sp := spec(cfg, "a", "b")
			sp.Context = 3000
			chain := scheduler(t, dial(t, s, "host", sp))
			begin := time.Now()
			if got := generate(t.Context(), chain, engine.Job{Prompt: fake.Tokens(strings.Repeat("x", tokens)), MaxTokens: 1}); got.err != nil {
				t.Fatal(got.err)
			}
			if got := float64(tokens) * float64(cfg.RowTime) / float64(time.Since(begin)); got < gain {
				t.Errorf("%d tokens are read %.2f times as fast as by one node, want %.2f", tokens, got, gain)
			}
		})
	}
}
