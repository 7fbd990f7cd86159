package pipeline_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
)

// roomy makes the windows of nodes large enough for several hosts.
func (s *swarm) roomy(names ...string) {
	for _, name := range names {
		s.nodes[name].windows.spec = engine.Spec{Context: 1 << 16, Sequences: 64}
	}
}

// some is a chain that asks for a part of a roomy window.
func some(cfg fake.Config, names ...string) pipeline.Spec {
	sp := spec(cfg, names...)
	sp.Sequences, sp.Context = 8, 4096
	return sp
}

// hosts dials the same stages from several nodes, and gives a scheduler for each.
func hosts(t testing.TB, s *swarm, sp pipeline.Spec, list ...string) (chains []*schedule.Scheduler) {
	t.Helper()
	for _, name := range list {
		chains = append(chains, scheduler(t, dial(t, s, name, sp)))
	}
	return chains
}

// steps is how often the one window of a node has stepped.
func (n *node) steps() (steps int) {
	n.windows.mu.Lock()
	defer n.windows.mu.Unlock()
	for _, w := range n.windows.loaded {
		steps += w.(*fake.Window).Steps()
	}
	return steps
}

// TestHostsShareSteps lets two hosts generate over the same stage at the same time: the window runs their rows
// together, and the texts are as ever.
func TestHostsShareSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tokens = 60
		cfg := slow()
		s := newSwarm(t, cfg, "host0", "host1", "host2", "stage")
		s.roomy("stage")
		var group sync.WaitGroup
		begin := time.Now()
		for i, chain := range hosts(t, s, some(cfg, "stage"), "host0", "host1", "host2") {
			for k := range 2 {
				j := job(fmt.Sprint(k), fmt.Sprintf("prompt %d of host %d", k, i), tokens)
				want := alone(t, cfg, j)
				group.Go(func() {
					if got := generate(t.Context(), chain, j); got.err != nil || got.text != want.text {
						t.Errorf("host %d: got %q, %v; want %q", i, got.text, got.err, want.text)
					}
				})
			}
		}
		group.Wait()
		took, steps := time.Since(begin), s.nodes["stage"].steps()
		if steps > 3*tokens*8/10 || took > 3*tokens*20*time.Millisecond*8/10 {
			t.Errorf("%d steps in %s; one after the other the hosts take %d", steps, took, 3*tokens)
		}
	})
}

// TestPromptStopsNobody reads a long prompt of one host while another's reply is under way.
func TestPromptStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := fake.Config{StepTime: 5 * time.Millisecond, RowTime: 5 * time.Millisecond, EndOdds: -1}
		s := newSwarm(t, cfg, "long", "short", "stage")
		s.roomy("stage")
		sp := some(cfg, "stage")
		chains := hosts(t, s, sp, "long", "short")
		long, short := job("a", strings.Repeat("x", 1200), 5), job("b", "prompt", 60)
		wantLong, wantShort := alone(t, cfg, long), alone(t, cfg, short)
		var group sync.WaitGroup
		group.Go(func() {
			var last time.Time
			var gaps []time.Duration
			var text strings.Builder
			_, err := chains[1].Generate(t.Context(), short, func(sample engine.Sample) error {
				if !last.IsZero() {
					gaps = append(gaps, time.Since(last))
				}
				last = time.Now()
				text.Write(sample.Piece)
				return nil
			})
			slices.Sort(gaps)
			if err != nil || text.String() != wantShort.text {
				t.Errorf("the reply: got %q, %v; want %q", text.String(), err, wantShort.text)
			}
			if median := gaps[len(gaps)/2]; median > 150*time.Millisecond || gaps[len(gaps)-2] > 500*time.Millisecond {
				t.Errorf("between tokens lie %s, at most %s", median, gaps[len(gaps)-1])
			}
		})
		time.Sleep(100 * time.Millisecond)
		begin := time.Now()
		group.Go(func() {
			if got := generate(t.Context(), chains[0], long); got.err != nil || got.text != wantLong.text {
				t.Errorf("the long prompt: got %q, %v; want %q", got.text, got.err, wantLong.text)
			}
			if took, want := time.Since(begin), 1200*5*time.Millisecond; took > want*3/2 {
				t.Errorf("the long prompt took %s, alone it takes %s", took, want)
			}
		})
		group.Wait()
	})
}

// TestBadCompanyHarmsNobody has a session at a stage of whose batches every kind goes wrong, while another session's
// rows run beside them.
func TestBadCompanyHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const poison = 250
		cfg := slow()
		var refusals atomic.Int64
		cfg.BeforeStep = func(_ *fake.Window, b *engine.Batch) error {
			if slices.ContainsFunc(b.Rows, func(r engine.Row) bool { return r.Token == poison }) {
				refusals.Add(1)
				return core.Errorf(core.CodeInternal, "a row that the window cannot take")
			}
			return nil
		}
		s := newSwarm(t, cfg, "good", "bad", "stage")
		s.roomy("stage")
		chain := hosts(t, s, some(cfg, "stage"), "good")[0]
		p := dial(t, s, "bad", some(cfg, "stage"))
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		outcomes := map[core.Code]int{}
		group.Go(func() {
			length := int32(0)
			for i := 0; ctx.Err() == nil; i++ {
				b, soon := &engine.Batch{}, t.Context()
				switch i % 6 {
				case 0: // the one that is right
					b.Rows = []engine.Row{{Token: 65, Pos: length, Sample: true}}
				case 1:
					b.Rows = []engine.Row{{Token: 65, Pos: length + 9, Sample: true}}
				case 2:
					b.Rows = []engine.Row{{Token: poison, Pos: length, Sample: true}}
				case 3:
					b.Ops = []engine.Op{{Kind: engine.OpCopy, Seq: 1, From: length + 100}}
					b.Rows = []engine.Row{{Token: 65, Pos: length, Sample: true}}
				case 4:
					b.Ops = []engine.Op{{Kind: engine.OpSampler, Sampler: &engine.Sampler{Sampling: core.Sampling{Grammar: "bad"}}}}
					b.Rows = []engine.Row{{Token: 65, Pos: length, Sample: true}}
				case 5:
					var stop context.CancelFunc
					soon, stop = context.WithTimeout(t.Context(), 5*time.Millisecond)
					defer stop()
					b.Ops = []engine.Op{{Kind: engine.OpTrim}}
					b.Rows = []engine.Row{{Token: 65, Sample: true}}
				}
				_, err := p.Step(soon, b)
				if i%6 == 0 {
					length++
				}
				if i%6 == 5 { // whether its row was in time or not
					_, _ = p.Step(t.Context(), &engine.Batch{Ops: []engine.Op{{Kind: engine.OpTrim}}})
					length = 0
				}
				outcomes[core.CodeOf(err)]++
			}
		})
		for i := range 6 {
			j := job("x", fmt.Sprintf("prompt %d", i), 60)
			clean := cfg
			clean.BeforeStep = nil
			if got, want := generate(t.Context(), chain, j), alone(t, clean, j); got.err != nil || got.text != want.text {
				t.Errorf("beside bad company: got %q, %v; want %q", got.text, got.err, want.text)
			}
		}
		cancel()
		group.Wait()
		if outcomes[""] < 10 || outcomes[core.CodeInvalidRequest] < 10 || outcomes[core.CodeInternal] < 10 || refusals.Load() < 10 {
			t.Errorf("the bad batches gave %v, %d refusals", outcomes, refusals.Load())
		}
	})
}

// TestCancelBesideOthers ends a request while its rows run beside another host's.
func TestCancelBesideOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := slow()
		s := newSwarm(t, cfg, "host", "other", "stage")
		s.roomy("stage")
		chains := hosts(t, s, some(cfg, "stage"), "host", "other")
		j := job("x", "prompt", 200)
		want := alone(t, cfg, j)
		var group sync.WaitGroup
		group.Go(func() {
			if got := generate(t.Context(), chains[1], j); got.err != nil || got.text != want.text {
				t.Errorf("got %q, %v; want %q", got.text, got.err, want.text)
			}
		})
		for i := range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Duration(100+7*i)*time.Millisecond, cancel)
			got := generate(ctx, chains[0], job("y", "another prompt", 1000))
			wantCode(t, got.err, core.CodeCancelled)
			begin := time.Now()
			if got := generate(t.Context(), chains[0], job("y", "another prompt", 1)); got.err != nil || time.Since(begin) > 250*time.Millisecond {
				t.Errorf("the stage was free after %s, %v", time.Since(begin), got.err)
			}
		}
		group.Wait()
	})
}

// TestManyHosts draws hosts, chains over shared stages and requests of all kinds: every reply is the one that the whole
// model gives, or a beginning of it.
func TestManyHosts(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, seed))
			cfg := fake.Config{
				Layers: 4, StepTime: time.Duration(r.IntN(20)) * time.Millisecond, RowTime: time.Duration(1+r.IntN(8000)) * time.Microsecond,
				NoTrim: r.IntN(4) == 0, EndOdds: []int{-1, 20, 60}[r.IntN(3)],
			}
			list := []string{"host0", "host1", "host2", "host3"}[:2+r.IntN(3)]
			s := newSwarm(t, cfg, append(list, "a", "b")...)
			s.roomy(append(list, "a", "b")...)
			s.net.SetDelay(time.Duration(r.IntN(3)) * 5 * time.Millisecond)
			sp := [][]string{{"a"}, {"a", "b"}, {"b", "a"}}[r.IntN(3)]
			var group sync.WaitGroup
			for i, name := range list {
				way := sp
				if r.IntN(3) == 0 { // a host that is a stage of its own chain
					way = append([]string{name}, sp...)
				}
				chain := s.runner(name, planner{some(cfg, way...)})
				for k := range 1 + r.IntN(4) {
					prompt := strings.Repeat(fmt.Sprintf("host %d says %d. ", i, k), 1+r.IntN(12))
					p := request{job: job(fmt.Sprint(k), prompt, 1+r.IntN(40)), begin: time.Duration(r.IntN(600)) * time.Millisecond}
					if r.IntN(4) == 0 {
						p.cancel = time.Duration(1+r.IntN(600)) * time.Millisecond
					}
					p.embed = r.IntN(8) == 0
					if r.IntN(3) == 0 {
						draw := r.Uint32()
						p.job.Sampler.Sampling = core.Sampling{Temperature: 1, Seed: &draw, RepeatPenalty: 1.1}
					}
					group.Go(func() { p.run(t, seed, chain, cfg) })
				}
			}
			group.Wait()
		})
	}
}

// request is a job, or the embedding of its prompt, and when it begins and is cancelled, if ever.
type request struct {
	job           engine.Job
	begin, cancel time.Duration
	embed         bool
}

func (p request) run(t *testing.T, seed uint64, chain engine.Runner, cfg fake.Config) {
	time.Sleep(p.begin)
	ctx := t.Context()
	if p.cancel > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, p.cancel)
		defer stop()
	}
	cancelled := func(err error) bool { return p.cancel > 0 && core.CodeOf(err) == core.CodeCancelled }
	if p.embed {
		if v, err := chain.Embed(ctx, p.job.Prompt); (err != nil || len(v) != len(p.job.Prompt)) && !cancelled(err) {
			t.Errorf("seed %d: %d vectors, %v", seed, len(v), err)
		}
		return
	}
	got, want := generate(ctx, chain, p.job), alone(t, cfg, p.job)
	if whole := got.err == nil && got.text == want.text; !whole && !(cancelled(got.err) && strings.HasPrefix(want.text, got.text)) {
		t.Errorf("seed %d: got %q, %v; want %q", seed, got.text, got.err, want.text)
	}
}

// BenchmarkTwoHosts measures two hosts with two requests each over one stage, whose model takes as long for a few rows as
// for one, as on a GPU, or as long for each row, as on a CPU.
func BenchmarkTwoHosts(b *testing.B) {
	for name, cfg := range map[string]fake.Config{
		"gpu": {StepTime: 10 * time.Millisecond, RowTime: 100 * time.Microsecond, EndOdds: -1},
		"cpu": {StepTime: time.Millisecond, RowTime: 9 * time.Millisecond, EndOdds: -1},
	} {
		b.Run(name, func(b *testing.B) {
			s := newSwarm(b, cfg, "host0", "host1", "stage")
			s.roomy("stage")
			chains := hosts(b, s, some(cfg, "stage"), "host0", "host1")
			benchmarkHosts(b, func(i, k int) (int, error) {
				got := generate(context.Background(), chains[i], job(fmt.Sprint(k), fmt.Sprintf("prompt %d", k), 100))
				return len(got.tokens), got.err
			})
		})
	}
}

// benchmarkHosts reports the tokens/s of two requests of each of two hosts.
func benchmarkHosts(b *testing.B, run func(host, request int) (tokens int, err error)) {
	var tokens atomic.Int64
	for b.Loop() {
		var group sync.WaitGroup
		for i := range 4 {
			group.Go(func() {
				n, err := run(i%2, i/2)
				if err != nil {
					b.Error(err)
				}
				tokens.Add(int64(n))
			})
		}
		group.Wait()
	}
	b.ReportMetric(float64(tokens.Load())/b.Elapsed().Seconds(), "tokens/s")
}
