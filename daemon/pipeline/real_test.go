package pipeline_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest/real"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
)

// TestRealWindows compares chains of worker processes on several nodes with the whole model, a small trained one: alone and
// together, as float32 and half floats, with guesses and without. Half floats may change a text, on some CPUs.
func TestRealWindows(t *testing.T) {
	e := real.Engine(t)
	path := real.Handed(t, "models", "stories260K-f32.gguf") // the texts of random weights hang on rounding
	dir, shards := real.Cut(t, path)
	size := engine.Spec{ModelDir: dir, Context: 4096, Sequences: 16, BatchRows: 64, Threads: 1, ShareCPU: true}
	at := size
	at.EndShard = shards
	whole, err := e.Load(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	reference := realScheduler(t, whole, whole)
	prompts := []string{
		"Once upon a time", "The little dog", "Lily and Tom went to the park. They", "One day, a big red ball",
		strings.Repeat("The sun was warm and the birds sang. ", 6) + "Then",
	}
	want := map[string]string{}
	for _, prompt := range prompts {
		want[prompt] = say(t, reference, prompt)
	}
	for _, half := range []bool{false, true} {
		for n := 1; n <= 3; n++ {
			t.Run(fmt.Sprintf("%dStages/half=%v", n, half), func(t *testing.T) {
				s := newSwarm(t, slow(), append(names(n), "host")...)
				sp := pipeline.Spec{Model: model, Manifest: manifest, Half: half}
				for i, name := range names(n) {
					s.nodes[name].windows.engine, s.nodes[name].windows.spec = e, size
					sp.Stages = append(sp.Stages, pipeline.Stage{Peer: swarmtest.ID(name), FirstShard: i * shards / n, EndShard: (i + 1) * shards / n})
				}
				chain := realScheduler(t, whole, dial(t, s, "host", sp))
				var group sync.WaitGroup
				for _, prompt := range prompts {
					if got := say(t, chain, prompt); got != want[prompt] && (!half || got == "") {
						t.Errorf("%q alone: got %q, want %q", prompt, got, want[prompt])
					}
				}
				for _, prompt := range prompts {
					group.Go(func() {
						if got := say(t, chain, prompt); got != want[prompt] && (!half || got == "") {
							t.Errorf("%q together: got %q, want %q", prompt, got, want[prompt])
						}
					})
				}
				group.Wait()
			})
		}
	}
}

// TestRealHostsShareSteps has two hosts generate over the same worker processes, one after the other and at the same time:
// the texts are those of the whole model, and together the windows step less often.
func TestRealHostsShareSteps(t *testing.T) {
	e := &tally{Engine: real.Engine(t)}
	path := real.Handed(t, "models", "stories260K-f32.gguf") // the texts of random weights hang on rounding
	dir, shards := real.Cut(t, path)
	size := engine.Spec{ModelDir: dir, Context: 8192, Sequences: 16, BatchRows: 64, Threads: 1, ShareCPU: true}
	at := size
	at.EndShard = shards
	whole, err := e.Engine.Load(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	reference := realScheduler(t, whole, whole)
	prompts := []string{"Once upon a time", "The little dog", "Lily and Tom went to the park. They", "One day, a big red ball"}
	want := map[string]string{}
	for _, prompt := range prompts {
		want[prompt] = say(t, reference, prompt)
	}
	s := newSwarm(t, slow(), "stage0", "stage1", "host0", "host1")
	sp := pipeline.Spec{Model: model, Manifest: manifest, Options: pipeline.Options{Context: 2048, Sequences: 6}}
	for i, name := range names(2) {
		s.nodes[name].windows.engine, s.nodes[name].windows.spec = e, size
		sp.Stages = append(sp.Stages, pipeline.Stage{Peer: swarmtest.ID(name), FirstShard: i * shards / 2, EndShard: (i + 1) * shards / 2})
	}
	chains := []*schedule.Scheduler{realScheduler(t, whole, dial(t, s, "host0", sp)), realScheduler(t, whole, dial(t, s, "host1", sp))}
	all := func(chain *schedule.Scheduler) {
		var group sync.WaitGroup
		for _, prompt := range prompts {
			group.Go(func() {
				if got := say(t, chain, prompt); got != want[prompt] {
					t.Errorf("%q: got %q, want %q", prompt, got, want[prompt])
				}
			})
		}
		group.Wait()
	}
	all(chains[0])
	all(chains[1])
	apart := e.steps.Swap(0)
	var group sync.WaitGroup
	for _, chain := range chains {
		group.Go(func() { all(chain) })
	}
	group.Wait()
	together := e.steps.Load()
	t.Logf("%d steps one after the other, %d at the same time", apart, together)
	if together >= apart {
		t.Errorf("%d steps one after the other, %d at the same time", apart, together)
	}
}

// tally counts the steps of an engine's windows.
type tally struct {
	engine.Engine
	steps atomic.Int64
}

func (e *tally) Load(ctx context.Context, spec engine.Spec) (engine.Window, error) {
	w, err := e.Engine.Load(ctx, spec)
	return tallied{w, e}, err
}

type tallied struct {
	engine.Window
	*tally
}

func (w tallied) Step(ctx context.Context, b *engine.Batch) (*engine.Output, error) {
	w.steps.Add(1)
	return w.Window.Step(ctx, b)
}

// say continues a prompt by 60 tokens at temperature 0.
func say(t *testing.T, s *schedule.Scheduler, prompt string) string {
	t.Helper()
	tokens, err := s.Tokenize(t.Context(), prompt, true, false)
	if err != nil {
		t.Error(err)
		return ""
	}
	got := generate(t.Context(), s, engine.Job{Requester: prompt, Prompt: tokens, MaxTokens: 60})
	if got.err != nil || len(got.tokens) == 0 {
		t.Errorf("%q: %d tokens, %v", prompt, len(got.tokens), got.err)
	}
	return got.text
}

func realScheduler(t testing.TB, tokenizer engine.Tokenizer, list ...engine.Window) *schedule.Scheduler {
	t.Helper()
	return realSchedulerWith(t, schedule.Config{Windows: list, Tokenizer: tokenizer})
}

func realSchedulerWith(t testing.TB, cfg schedule.Config) *schedule.Scheduler {
	t.Helper()
	s, err := schedule.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Run(t.Context())
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-ended
		for _, w := range cfg.Windows {
			_ = w.Close()
		}
	})
	return s
}

// BenchmarkRealTwoHosts measures two hosts with two requests each over one worker process with a thread, which runs a
// model of some 80 million weights.
func BenchmarkRealTwoHosts(b *testing.B) {
	e := real.Engine(b)
	path := filepath.Join(b.TempDir(), "bench.gguf")
	err := gguftest.WriteFile(path, gguftest.Config{
		Layers: 8, Embedding: 1024, Heads: 16, KVHeads: 4, FeedForward: 2816, Vocabulary: 4096, Context: 4096, Weights: gguftest.Q4KM,
	})
	if err != nil {
		b.Fatal(err)
	}
	dir, shards := real.Cut(b, path)
	s := newSwarm(b, slow(), "stage", "host0", "host1")
	stage := s.nodes["stage"].windows
	stage.engine, stage.spec = e, engine.Spec{ModelDir: dir, Context: 8192, Sequences: 16, BatchRows: 512, Threads: 1}
	sp := pipeline.Spec{
		Model: model, Manifest: manifest, Options: pipeline.Options{Context: 2048, Sequences: 4},
		Stages: []pipeline.Stage{{Peer: swarmtest.ID("stage"), EndShard: shards}},
	}
	var chains []*schedule.Scheduler
	for _, host := range []string{"host0", "host1"} {
		p := dial(b, s, host, sp)
		chains = append(chains, realScheduler(b, p, p))
	}
	benchmarkHosts(b, func(i, k int) (int, error) {
		j := engine.Job{Requester: fmt.Sprint(k), Prompt: []int32{1, int32(300 + k), int32(400 + i)}, MaxTokens: 100}
		got := generate(b.Context(), chains[i], j)
		return len(got.tokens), got.err
	})
}
