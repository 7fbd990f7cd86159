package pipeline_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
)

// planner gives the first of its chains that has no excluded peer.
type planner []pipeline.Spec

func (p planner) Chain(_ context.Context, exclude []core.PeerID) (pipeline.Spec, error) {
	for _, sp := range p {
		if !slices.ContainsFunc(sp.Stages, func(st pipeline.Stage) bool { return slices.Contains(exclude, st.Peer) }) {
			return sp, nil
		}
	}
	return pipeline.Spec{}, core.Errorf(core.CodeNotReady, "no holder")
}

// runner runs a Runner of a node until the test ends.
func (s *swarm) runner(host string, plan pipeline.Planner) *pipeline.Runner {
	s.t.Helper()
	return s.runnerWith(host, plan, schedule.Config{})
}

func (s *swarm) runnerWith(host string, plan pipeline.Planner, cfg schedule.Config) *pipeline.Runner {
	s.t.Helper()
	r := pipeline.NewRunner(pipeline.RunnerConfig{
		Network: s.nodes[host].Peer, Server: s.nodes[host].server, Planner: plan,
		Tokenizer: tokenizer(s.t), Log: discarded, Schedule: cfg,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Run(ctx)
	}()
	s.t.Cleanup(func() {
		cancel()
		<-ended
	})
	return r
}

// slow is a model of which a token takes 20 ms.
func slow() fake.Config { return fake.Config{StepTime: 20 * time.Millisecond, EndOdds: -1} }

// TestKilledPeerWithStandby takes a stage away in the middle of replies, a hundred times, at random moments: every
// reply goes on over the standby and is the same as ever.
func TestKilledPeerWithStandby(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			draw := rand.New(rand.NewPCG(1, seed))
			cfg := slow()
			s := newSwarm(t, cfg, "host", "a", "b", "c")
			r := s.runner("host", planner{spec(cfg, "a", "b"), spec(cfg, "a", "c"), spec(cfg, "b", "c")})
			var group sync.WaitGroup
			for i := range 3 {
				j := job(fmt.Sprint(i), fmt.Sprintf("prompt number %d", i), 40+i)
				j.Sampler.RepeatPenalty = float64(i) // of one, the sampler looks back
				want := alone(t, cfg, j)
				group.Go(func() {
					got := generate(t.Context(), r, j)
					if got.err != nil || got.text != want.text || len(got.tokens) != 40+i || got.finish.Reason != core.FinishLength {
						t.Errorf("run %d: got %q, %+v, %v; want %q", seed, got.text, got.finish, got.err, want.text)
					}
				})
			}
			time.Sleep(time.Duration(1+draw.IntN(700)) * time.Millisecond)
			s.net.Kill([]string{"a", "b"}[draw.IntN(2)])
			group.Wait()
			if stats := r.Stats(); stats.Lost != 1 || stats.Chains != 2 || stats.Resumed != 3 || stats.LastGap > time.Second {
				t.Errorf("run %d: %+v", seed, stats)
			}
		})
	}
}

// TestKilledPeerWithoutStandby takes a stage away that nobody can stand in for: each reply ends with an error within
// 5 s, a hundred times, and none looks complete.
func TestKilledPeerWithoutStandby(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			draw := rand.New(rand.NewPCG(2, seed))
			cfg := slow()
			s := newSwarm(t, cfg, "host", "a", "b")
			r := s.runner("host", planner{spec(cfg, "a", "b")})
			var group sync.WaitGroup
			var killed time.Time
			for i := range 2 {
				j := job(fmt.Sprint(i), fmt.Sprintf("prompt number %d", i), 100)
				group.Go(func() {
					got := generate(t.Context(), r, j)
					if got.err == nil || got.finish.Reason != "" {
						t.Errorf("run %d: %d tokens, %+v, %v", seed, len(got.tokens), got.finish, got.err)
					}
					if took := time.Since(killed); took > 5100*time.Millisecond {
						t.Errorf("run %d: the error came after %s", seed, took)
					}
				})
			}
			time.Sleep(time.Duration(1+draw.IntN(1500)) * time.Millisecond)
			killed = time.Now()
			s.net.Kill([]string{"a", "b"}[draw.IntN(2)])
			group.Wait()
		})
	}
}

// TestStalledPeerIsNoticed suspends stages in silence: the chain ends within 2 s and names the peer.
func TestStalledPeerIsNoticed(t *testing.T) {
	for _, name := range []string{"a", "b", "c"} {
		synctest.Test(t, func(t *testing.T) {
			cfg := slow()
			s := newSwarm(t, cfg, "host", "a", "b", "c")
			s.net.SetDelay(20 * time.Millisecond)
			p := dial(t, s, "host", spec(cfg, "a", "b", "c"))
			chain := scheduler(t, p)
			go func() {
				time.Sleep(3 * time.Second)
				s.net.Stall(name)
			}()
			begin := time.Now()
			got := generate(t.Context(), chain, job("x", "prompt", 1000))
			wantCode(t, got.err, core.CodeEngineCrashed)
			if took := time.Since(begin) - 3*time.Second; took > 2*time.Second || took < 0 {
				t.Errorf("noticed after %s", took)
			}
			if l, ok := asLost(got.err); !ok || l.Peer.String() != name {
				t.Errorf("%q is not blamed: %v", name, got.err)
			}
		})
	}
}

// TestStalledPeerWithStandby checks that the reply goes on after a stall.
func TestStalledPeerWithStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := slow()
		s := newSwarm(t, cfg, "host", "a", "b", "c")
		r := s.runner("host", planner{spec(cfg, "host", "a", "b"), spec(cfg, "host", "a", "c")})
		time.AfterFunc(time.Second, func() { s.net.Stall("b") })
		j := job("x", "prompt", 100)
		begin := time.Now()
		if got, want := generate(t.Context(), r, j), alone(t, cfg, j); got.err != nil || got.text != want.text {
			t.Errorf("got %q, %v; want %q", got.text, got.err, want.text)
		}
		if took := time.Since(begin); took > 4500*time.Millisecond {
			t.Errorf("took %s", took)
		}
	})
}

// TestReadySaysWhyNot checks that nobody waits for a chain that cannot be.
func TestReadySaysWhyNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSwarm(t, slow(), "host", "a")
		begin := time.Now()
		wantCode(t, s.runner("host", planner{}).Ready(t.Context()), core.CodeNotReady)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("took %s", took)
		}
		if err := s.runner("host", planner{spec(slow(), "a")}).Ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestSeededReplyGoesOn checks that two runs that lose their chain at the same token give the same reply.
func TestSeededReplyGoesOn(t *testing.T) {
	reply := func() (text string) {
		synctest.Test(t, func(t *testing.T) {
			cfg := slow()
			s := newSwarm(t, cfg, "host", "a", "b")
			r := s.runner("host", planner{spec(cfg, "a"), spec(cfg, "b")})
			seed := uint32(7)
			j := job("x", "prompt", 50)
			j.Sampler.Temperature, j.Sampler.Seed = 0.8, &seed
			time.AfterFunc(510*time.Millisecond, func() { s.net.Kill("a") })
			got := generate(t.Context(), r, j)
			if got.err != nil || len(got.tokens) != 50 {
				t.Errorf("%d tokens, %v", len(got.tokens), got.err)
			}
			text = got.text
		})
		return text
	}
	if a, b := reply(), reply(); a != b {
		t.Errorf("%q, then %q", a, b)
	}
}

// TestCancelIsQuick cancels a job in a step that would take minutes: all stages are free for the next one at once.
func TestCancelIsQuick(t *testing.T) {
	for n := 1; n <= 3; n++ {
		synctest.Test(t, func(t *testing.T) {
			cfg := fake.Config{RowTime: time.Second}
			s := newSwarm(t, cfg, append(names(n), "host")...)
			s.net.SetDelay(20 * time.Millisecond)
			chain := scheduler(t, dial(t, s, "host", spec(cfg, names(n)...)))
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			wantCode(t, generate(ctx, chain, job("a", string(make([]byte, 500)), 5)).err, core.CodeCancelled)
			begin := time.Now()
			got := generate(t.Context(), chain, job("b", "x", 1))
			if took := time.Since(begin); got.err != nil || took > time.Second+250*time.Millisecond {
				t.Errorf("%d stages: the next job took %s, %v", n, took, got.err)
			}
		})
	}
}

// TestStagesTakeTurns runs two hosts over one window: neither has to wait for all of the other's batches.
func TestStagesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := slow()
		s := newSwarm(t, cfg, "host", "guest", "a")
		var group sync.WaitGroup
		for _, host := range []string{"host", "guest"} {
			chain := scheduler(t, dial(t, s, host, spec(cfg, "a")))
			j := job("x", "prompt of "+host, 100)
			want := alone(t, cfg, j)
			group.Go(func() {
				begin := time.Now()
				got := generate(t.Context(), chain, j)
				if took := time.Since(begin); got.err != nil || got.text != want.text || took > 4100*time.Millisecond {
					t.Errorf("%s: got %q, %v after %s; want %q", host, got.text, got.err, took, want.text)
				}
			})
		}
		group.Wait()
	})
}

// TestEmbedOverChain checks vectors, which come from the last stage.
func TestEmbedOverChain(t *testing.T) {
	cfg := fake.Config{}
	s := newSwarm(t, cfg, "host", "a", "b")
	r := s.runner("host", planner{spec(cfg, "a", "b")})
	got, err := r.Embed(t.Context(), fake.Tokens("some text"))
	if err != nil || len(got) != 9 {
		t.Fatalf("%d vectors, %v", len(got), err)
	}
	cut, err := fake.Cut(cfg, engine.Spec{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	want, err := scheduler(t, cut[0]).Embed(t.Context(), fake.Tokens("some text"))
	if err != nil || !slices.EqualFunc(got, want, slices.Equal[[]float32]) {
		t.Errorf("got %v, want %v, %v", got, want, err)
	}
}
