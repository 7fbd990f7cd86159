package pipeline_test

import (
	"context"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/draft"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest/real"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
)

// TestRealDraftModel lets a trained model of four bits guess for the same of 32, which runs on two nodes 20 ms away:
// the replies are the same as without. How much faster they come is logged.
func TestRealDraftModel(t *testing.T) {
	e := real.Engine(t)
	dir, shards := real.Cut(t, real.Handed(t, "models", "tinystories-656k-f32.gguf"))
	size := engine.Spec{ModelDir: dir, Context: 2048, Sequences: 4, BatchRows: 64, Threads: 1, ShareCPU: true}
	at := size
	at.EndShard = shards
	whole := load(t, e, at)
	little := size
	little.ModelDir, little.EndShard = real.Handed(t, "models", "tinystories-656k-q4_0.gguf"), 1
	small := realScheduler(t, nil, load(t, e, little))
	guesser := draft.New(draft.Config{
		Open: func(context.Context) (engine.Runner, func(), error) { return small, func() {}, nil },
		Name: func() string { return "small" }, Log: discarded,
	})
	texts, took := map[string]string{}, map[string]time.Duration{}
	var stats schedule.Stats
	for name, cfg := range map[string]schedule.Config{"plain": {NoDrafts: true}, "lookup": {}, "model": {Guesser: guesser}} {
		s := newSwarm(t, slow(), append(names(2), "host")...)
		s.net.SetDelay(20 * time.Millisecond)
		sp := pipeline.Spec{Model: model, Manifest: manifest}
		for i, stage := range names(2) {
			s.nodes[stage].windows.engine, s.nodes[stage].windows.spec = e, size
			sp.Stages = append(sp.Stages, pipeline.Stage{Peer: swarmtest.ID(stage), FirstShard: i * shards / 2, EndShard: (i + 1) * shards / 2})
		}
		cfg.Windows, cfg.Tokenizer = []engine.Window{dial(t, s, "host", sp)}, whole
		chain := realSchedulerWith(t, cfg)
		began := time.Now()
		texts[name] = say(t, chain, "Lily and Tom went to the park. They")
		took[name] = time.Since(began)
		if name == "model" {
			stats = chain.Stats()
		}
	}
	if texts["model"] != texts["plain"] || texts["lookup"] != texts["plain"] {
		t.Errorf("plain %q\nlookup %q\nmodel %q", texts["plain"], texts["lookup"], texts["model"])
	}
	if stats.AskedRight == 0 { // how many are asked for, and so the speed, depends on what else the machine does
		t.Errorf("%d guesses of the draft model, none right", stats.Asked)
	}
	count := float64(stats.TokensOut)
	t.Logf("tokens/s: plain %.1f, by the text %.1f, by a draft model %.1f; %d of %d right",
		count/took["plain"].Seconds(), count/took["lookup"].Seconds(), count/took["model"].Seconds(), stats.AskedRight, stats.Asked)
}

func load(t *testing.T, e engine.Engine, spec engine.Spec) engine.Window {
	t.Helper()
	w, err := e.Load(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}
