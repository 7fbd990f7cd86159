package pipeline_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
)

// TestPeerTwiceInAChain runs jobs together over chains in which a node, or the host, comes up several times.
func TestPeerTwiceInAChain(t *testing.T) {
	for _, chain := range []string{"a b a", "a host a", "a b a b", "host a host", "a host a host a", "a b host a b"} {
		t.Run(strings.ReplaceAll(chain, " ", "-"), func(t *testing.T) {
			cfg := fake.Config{Layers: 5}
			s := newSwarm(t, cfg, "host", "a", "b")
			r := s.runner("host", planner{spec(cfg, strings.Fields(chain)...)})
			var group sync.WaitGroup
			for i := range 6 {
				j := job(fmt.Sprint("r", i%3), strings.Repeat(fmt.Sprintf("job %d ", i), 1+20*i), 30)
				want := alone(t, cfg, j)
				group.Go(func() {
					if got := generate(t.Context(), r, j); got.err != nil || got.text != want.text {
						t.Errorf("job %d: got %q, %v; want %q", i, got.text, got.err, want.text)
					}
				})
			}
			group.Wait()
		})
	}
}

// TestLostPeerOfTwoStages takes away a node that has two stages, and one between two stages of another: the right one
// is blamed, and the reply goes on.
func TestLostPeerOfTwoStages(t *testing.T) {
	for _, chain := range []string{"a b a", "a host a", "b a b"} {
		for _, stall := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				cfg := slow()
				s := newSwarm(t, cfg, "host", "a", "b", "c")
				r := s.runner("host", planner{spec(cfg, strings.Fields(chain)...), spec(cfg, "b", "c", "b")})
				j := job("x", "prompt", 150)
				want := alone(t, cfg, j)
				time.AfterFunc(time.Second, func() {
					if stall {
						s.net.Stall("a")
					} else {
						s.net.Kill("a")
					}
				})
				begin := time.Now()
				got := generate(t.Context(), r, j)
				if got.err != nil || got.text != want.text || got.finish.Reason != core.FinishLength {
					t.Errorf("%s: got %q, %+v, %v; want %q", chain, got.text, got.finish, got.err, want.text)
				}
				if stats := r.Stats(); stats.Lost != 1 || stats.Chains != 2 || time.Since(begin) > 6*time.Second {
					t.Errorf("%s: %+v after %s", chain, stats, time.Since(begin))
				}
			})
		}
	}
}
