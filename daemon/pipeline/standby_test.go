package pipeline_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// heavy is a model of which a token takes 20 ms, and a window 10 s to load.
func heavy() fake.Config {
	cfg := slow()
	cfg.LoadTime = 10 * time.Second
	return cfg
}

// warmths is how ready the stages are that take over for a peer, in order.
func warmths(r *pipeline.Runner, peer string) (list []pipeline.Warmth) {
	for _, s := range r.Standbys(swarmtest.ID(peer)) {
		list = append(list, s.Warmth)
	}
	return list
}

func wantWarmths(t *testing.T, r *pipeline.Runner, peer string, want ...pipeline.Warmth) {
	t.Helper()
	if got := warmths(r, peer); !slices.Equal(got, want) {
		t.Errorf("if %s is lost: %v, want %v", peer, got, want)
	}
}

// up waits for the first chain.
func up(t *testing.T, r *pipeline.Runner) {
	t.Helper()
	if err := r.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestWarmStandby takes away or stalls a stage of a model whose windows load for longer than a reply may pause. The
// standby's window is there already: the reply goes on, and is the same.
func TestWarmStandby(t *testing.T) {
	for name, chains := range map[string][2]string{"other": {"a b", "a c"}, "host": {"a b", "a host"}, "twice": {"a b a", "a c a"}} {
		for _, stall := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				cfg := heavy()
				s := newSwarm(t, cfg, "host", "a", "b", "c")
				r := s.runner("host", planner{spec(cfg, strings.Fields(chains[0])...), spec(cfg, strings.Fields(chains[1])...)})
				up(t, r)
				time.Sleep(time.Second)
				if w := warmths(r, "b"); len(w) < 2 || w[0] != pipeline.WarmthInUse || w[1] != pipeline.WarmthLoading {
					t.Errorf("%s: a second after the start: %v", name, w)
				}
				wantWarmths(t, r, "a") // nobody can take over
				time.Sleep(10 * time.Second)
				if w := warmths(r, "b"); len(w) < 2 || w[1] != pipeline.WarmthWarm {
					t.Errorf("%s: when it had time to load: %v", name, w)
				}
				time.AfterFunc(time.Second, func() {
					if stall {
						s.net.Stall("b")
					} else {
						s.net.Kill("b")
					}
				})
				j := job("x", "prompt", 120)
				got, want := generate(t.Context(), r, j), alone(t, cfg, j)
				if got.err != nil || got.text != want.text || got.finish.Reason != core.FinishLength {
					t.Errorf("%s: got %q, %+v, %v; want %q", name, got.text, got.finish, got.err, want.text)
				}
				if stats := r.Stats(); stats.Chains != 2 || stats.LastGap > time.Second {
					t.Errorf("%s: %+v", name, stats)
				}
				time.Sleep(10 * time.Second) // the stage is no standby any more, but stays
				if n := s.nodes["c"].windows.kept() + s.nodes["host"].windows.kept(); n != 0 {
					t.Errorf("%s: %d windows are still kept for later", name, n)
				}
				if got := generate(t.Context(), r, j); got.text != want.text {
					t.Errorf("%s: later: %q, %v", name, got.text, got.err)
				}
			})
		}
	}
}

// TestColdStandby takes a stage away whose standby has no room to be warm: the reply ends with an error in time, and the
// next one, which can wait for the load, is served.
func TestColdStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := heavy()
		s := newSwarm(t, cfg, "host", "a", "b", "c")
		s.nodes["c"].windows.fill(true)
		r := s.runner("host", planner{spec(cfg, "a", "b"), spec(cfg, "a", "c")})
		up(t, r)
		time.Sleep(20 * time.Second)
		wantWarmths(t, r, "b", pipeline.WarmthInUse, pipeline.WarmthCold)
		if why := r.Standbys(swarmtest.ID("b"))[1].Why; !strings.Contains(why, "no room") {
			t.Errorf("it is cold since %q", why)
		}
		var killed time.Time
		time.AfterFunc(time.Second, func() {
			killed = time.Now()
			s.net.Kill("b")
		})
		got := generate(t.Context(), r, job("x", "prompt", 1000))
		if took := time.Since(killed); got.err == nil || got.finish.Reason != "" || took > 5100*time.Millisecond {
			t.Errorf("after %s: %d tokens, %+v, %v", took, len(got.tokens), got.finish, got.err)
		}
		up(t, r)
		if got := generate(t.Context(), r, job("x", "prompt", 10)); got.err != nil {
			t.Error(got.err)
		}
	})
}

// TestStandbysFollowTheSwarm lets holders come, fill up and make room again.
func TestStandbysFollowTheSwarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := heavy()
		s := newSwarm(t, cfg, "host", "a", "b", "c")
		plan := &changing{planner: planner{spec(cfg, "a", "b")}}
		r := s.runner("host", plan)
		up(t, r)
		time.Sleep(time.Minute)
		wantWarmths(t, r, "b")
		plan.set(spec(cfg, "a", "b"), spec(cfg, "a", "c"), spec(cfg, "a", "d"))
		time.Sleep(16 * time.Second) // 5 until it is noticed, 10 for the load
		wantWarmths(t, r, "b", pipeline.WarmthInUse, pipeline.WarmthWarm)
		s.join("d")
		s.nodes["c"].windows.fill(true)
		time.Sleep(25 * time.Second) // another one is found that has room
		wantWarmths(t, r, "b", pipeline.WarmthInUse, pipeline.WarmthWarm)
		if n := s.nodes["d"].windows.kept(); n != 1 {
			t.Errorf("d keeps %d windows", n)
		}
		s.net.Kill("d")
		s.nodes["c"].windows.fill(false)
		time.Sleep(time.Minute)
		wantWarmths(t, r, "b", pipeline.WarmthInUse, pipeline.WarmthWarm)
		if n := s.nodes["c"].windows.kept(); n != 1 {
			t.Errorf("c keeps %d windows", n)
		}
	})
}

// TestStandbysEndWithTheChain checks that nothing is kept for a host whose chain is closed, or that is gone.
func TestStandbysEndWithTheChain(t *testing.T) {
	for _, kill := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := heavy()
			s := newSwarm(t, cfg, "host", "a", "b", "c")
			r := pipeline.NewRunner(pipeline.RunnerConfig{
				Network: s.nodes["host"].Peer, Server: s.nodes["host"].server, Tokenizer: tokenizer(t), Log: discarded,
				Planner: planner{spec(cfg, "a", "b"), spec(cfg, "a", "c")},
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var group sync.WaitGroup
			group.Go(func() { _ = r.Run(ctx) })
			up(t, r)
			time.Sleep(20 * time.Second)
			if n := s.nodes["c"].windows.kept(); n != 1 {
				t.Errorf("%d windows are kept", n)
			}
			if kill {
				s.net.Kill("host")
			} else {
				cancel()
				group.Wait()
			}
			time.Sleep(time.Second)
			if n := s.nodes["c"].windows.kept(); n != 0 {
				t.Errorf("host killed: %v: %d windows are kept", kill, n)
			}
			cancel()
			group.Wait()
		})
	}
}

// changing is a planner whose chains change.
type changing struct {
	mu sync.Mutex
	planner
}

func (c *changing) set(list ...pipeline.Spec) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.planner = list
}

func (c *changing) Chain(ctx context.Context, exclude []core.PeerID) (pipeline.Spec, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.planner.Chain(ctx, exclude)
}

// TestHostileWishes sends wishes for windows that no honest host sends, and too many.
func TestHostileWishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSwarm(t, heavy(), "stage")
		bad := s.net.Join("bad")
		send := func(change func(*wire.PipelineWarm)) core.Stream {
			t.Helper()
			stream, err := bad.Open(t.Context(), swarmtest.ID("stage"), pipeline.Protocol)
			if err != nil {
				t.Fatal(err)
			}
			m := &wire.PipelineWarm{Model: model.String(), Manifest: manifest[:], EndShard: 1, Context: 100, Sequences: 1, BatchRows: 64}
			change(m)
			if err := wire.NewWriter(stream, time.Second).Send(warm, m); err != nil {
				t.Fatal(err)
			}
			return stream
		}
		for name, change := range map[string]func(*wire.PipelineWarm){
			"manifest":   func(m *wire.PipelineWarm) { m.Manifest = nil },
			"modelPath":  func(m *wire.PipelineWarm) { m.Model = "../../etc" },
			"noShards":   func(m *wire.PipelineWarm) { m.EndShard = 0 },
			"manyShards": func(m *wire.PipelineWarm) { m.EndShard = 1 << 31 },
			"beyond":     func(m *wire.PipelineWarm) { m.EndShard = 9 },
			"context":    func(m *wire.PipelineWarm) { m.Context = 1 << 31 },
			"sequences":  func(m *wire.PipelineWarm) { m.Sequences = 0 },
			"rows":       func(m *wire.PipelineWarm) { m.BatchRows = 1 << 20 },
		} {
			stream := send(change)
			if code := refused(t, stream); code == "" {
				t.Errorf("%s: not refused", name)
			}
			_ = stream.Reset()
		}
		synctest.Wait() // the last of these wishes counts until the stage has seen its end
		var streams []core.Stream
		for i := range uint32(4) {
			streams = append(streams, send(func(m *wire.PipelineWarm) { m.FirstShard, m.EndShard = i, i+1 }))
		}
		time.Sleep(20 * time.Second)
		if code := refused(t, send(func(*wire.PipelineWarm) {})); code != string(core.CodeOverloaded) {
			t.Errorf("a fifth window: %q", code)
		}
		if n := s.nodes["stage"].windows.kept(); n != 4 {
			t.Errorf("%d windows are kept", n)
		}
		_ = wire.NewWriter(streams[0], time.Second).Send(ping, &wire.PipelinePing{}) // a word more is the end
		for _, stream := range streams[1:] {
			_ = stream.Reset()
		}
		time.Sleep(time.Second)
		if n := s.nodes["stage"].windows.kept(); n != 0 {
			t.Errorf("%d windows are kept for nobody", n)
		}
		_ = streams[0].Reset()
	})
}
