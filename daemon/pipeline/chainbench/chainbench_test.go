package chainbench_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
	"github.com/shoal-p2p/shoal/daemon/engine/worker"
	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
	"github.com/shoal-p2p/shoal/daemon/pipeline/chainbench"
	"github.com/shoal-p2p/shoal/daemon/secret"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/store"
	"github.com/shoal-p2p/shoal/daemon/swarm"
)

// TestBench prints the figures of the model named by SHOAL_BENCH_MODEL over real nodes on loopback.
func TestBench(t *testing.T) {
	path, runtime := os.Getenv("SHOAL_BENCH_MODEL"), os.Getenv("SHOAL_RUNTIME")
	if path == "" || runtime == "" {
		t.Skip("set SHOAL_BENCH_MODEL to a GGUF file and SHOAL_RUNTIME to the folder of the llama.cpp libraries")
	}
	program := filepath.Join(t.TempDir(), "shoal-worker")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../../app/worker").CombinedOutput(); err != nil {
		t.Fatalf("build the worker: %v: %s", err, out)
	}
	key, err := identity.Open(filepath.Join(t.TempDir(), "identity.key"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := shard.NewStore(shard.Config{Dir: t.TempDir(), Key: key, Rule: shard.DefaultRule()}).Import(t.Context(), shard.Import{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	networks, setDelay := chainbench.Slow(nodes(t, 3))
	figures, err := chainbench.Run(t.Context(), chainbench.Config{
		Engine: worker.New(worker.Config{Program: program, Runtime: runtime, Log: slog.New(slog.DiscardHandler)}),
		Dir:    m.Dir, Shards: len(m.Manifest.Shards), Networks: networks, SetDelay: setDelay, Rounds: 1,
		Progress: func(s string) { t.Log(s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range figures {
		t.Logf("%-24s %8.2f %8.2f  %.3f", f.Name, f.Value, f.Reference, f.Value/f.Reference)
	}
}

// fakes gives windows of a scripted model.
type fakes struct{ engine.Engine }

// Acquire implements pipeline.Windows.
func (f fakes) Acquire(ctx context.Context, _ core.ModelID, _ core.Digest, first, end int, o pipeline.Options) (engine.Window, func(), error) {
	w, err := f.Load(ctx, engine.Spec{FirstShard: first, EndShard: end, Context: 1 << 30})
	return w, func() {}, err
}

// BenchmarkHop is what a token costs beyond the windows, over real nodes on loopback: windows that take no time.
func BenchmarkHop(b *testing.B) {
	for _, remotes := range []int{1, 2} {
		b.Run(fmt.Sprintf("remotes=%d", remotes), func(b *testing.B) {
			model := fake.New(fake.Config{EndOdds: -1})
			list := nodes(b, remotes+1)
			id, _ := core.ParseModelID("fake")
			spec := pipeline.Spec{Model: id, Options: pipeline.Options{Context: 1 << 23}}
			ctx, cancel := context.WithCancel(context.Background())
			var group sync.WaitGroup
			for i, n := range list[1:] {
				s := pipeline.NewServer(pipeline.ServerConfig{Network: n, Windows: fakes{model}, Log: slog.New(slog.DiscardHandler)})
				group.Go(func() { _ = s.Run(ctx) })
				spec.Stages = append(spec.Stages, pipeline.Stage{Peer: n.Self(), FirstShard: i * 4 / remotes, EndShard: (i + 1) * 4 / remotes})
			}
			var p *pipeline.Pipe
			for p == nil { // until the servers take streams
				p, _ = pipeline.Dial(ctx, list[0], spec)
			}
			s, err := schedule.New(schedule.Config{Windows: []engine.Window{p}, Tokenizer: p, NoDrafts: true})
			if err != nil {
				b.Fatal(err)
			}
			group.Go(func() { _ = s.Run(ctx) })
			b.ReportAllocs()
			b.ResetTimer()
			if _, err := s.Generate(ctx, engine.Job{Prompt: fake.Tokens("x"), MaxTokens: b.N + 1}, func(engine.Sample) error { return nil }); err != nil {
				b.Error(err)
			}
			b.StopTimer()
			_ = p.Close()
			cancel()
			group.Wait()
		})
	}
}

// nodes joins n nodes in a swarm.
func nodes(t testing.TB, n int) (list []core.Network) {
	var first *swarm.Swarm
	for range n {
		dir := t.TempDir()
		id, err := identity.Open(filepath.Join(dir, "identity.key"))
		if err != nil {
			t.Fatal(err)
		}
		db, err := store.Open(t.Context(), filepath.Join(dir, "shoal.db"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := swarm.New(swarm.Config{
			Identity: id, Store: db, Listen: "127.0.0.1:0", Version: "test", NoMDNS: true, NoPortMap: true,
			Vault: secret.Open(t.Context(), secret.Config{Dir: dir, Owner: "test", Getenv: func(string) string { return "" }}),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.Run(ctx)
		}()
		t.Cleanup(func() {
			cancel()
			<-done
			_ = db.Close()
		})
		if first == nil {
			first = s
		} else {
			code, err := first.NewInvite(t.Context(), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Join(t.Context(), code.Code); err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, s)
	}
	return list
}
