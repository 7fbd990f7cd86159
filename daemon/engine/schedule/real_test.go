package schedule_test

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
	"github.com/shoal-p2p/shoal/daemon/engine/worker"
	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// TestRealWindows runs jobs together over worker processes with a small trained model: each must give what it gives
// alone, however the model is cut, and a second turn must find its first one cached.
func TestRealWindows(t *testing.T) {
	e := realEngine(t)
	dir, shards := realModel(t)
	prompts := []string{
		"Once upon a time", "The little dog", "Lily and Tom went to the park. They", "One day, a big red ball",
		"Mom said", strings.Repeat("The sun was warm and the birds sang. ", 6) + "Then",
	}
	want := map[string]string{}
	for windows := 1; windows <= 3; windows++ {
		t.Run(fmt.Sprintf("%dWindows", windows), func(t *testing.T) {
			s := startReal(t, e, engine.Spec{ModelDir: dir, Context: 4096, Sequences: 20, BatchRows: 64, Threads: 1, ShareCPU: windows > 1}, windows, shards)
			for _, prompt := range prompts {
				r := say(t, s, "alone", prompt)
				if want[prompt] == "" {
					want[prompt] = r.text()
				}
				if r.text() != want[prompt] {
					t.Errorf("%q alone: got %q, one window gives %q", prompt, r.text(), want[prompt])
				}
			}
			var group sync.WaitGroup
			for i, prompt := range prompts {
				group.Go(func() {
					requester := fmt.Sprint("together", i)
					if r := say(t, s, requester, prompt); r.text() != want[prompt] {
						t.Errorf("%q together: got %q, want %q", prompt, r.text(), want[prompt])
					}
					if r := say(t, s, requester, prompt); r.text() != want[prompt] || r.finish.Cached == 0 {
						t.Errorf("%q again: got %q with %d tokens cached, want %q", prompt, r.text(), r.finish.Cached, want[prompt])
					}
				})
			}
			group.Wait()
			if stats := s.Stats(); stats.Jobs != 18 || stats.PrefixHits < 6 || stats.RowsPerStep <= 1 {
				t.Errorf("stats are %+v", stats)
			}
		})
	}
}

// say continues a prompt by up to 40 tokens at temperature 0.
func say(t *testing.T, s *schedule.Scheduler, requester, prompt string) result {
	t.Helper()
	tokens, err := s.Tokenize(t.Context(), prompt, true, false)
	if err != nil {
		t.Error(err)
		return result{}
	}
	r := generate(t.Context(), s, engine.Job{Requester: requester, Prompt: tokens, MaxTokens: 40})
	if r.err != nil || len(r.samples) == 0 {
		t.Errorf("%q: %d tokens, %v", prompt, len(r.samples), r.err)
	}
	return r
}

func startReal(t *testing.T, e engine.Engine, spec engine.Spec, windows, shards int) *schedule.Scheduler {
	t.Helper()
	var cut []engine.Window
	for i := range windows {
		spec.FirstShard, spec.EndShard = i*shards/windows, (i+1)*shards/windows
		w, err := e.Load(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.Close() })
		cut = append(cut, w)
	}
	s, err := schedule.New(schedule.Config{Windows: cut})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// realEngine builds the worker program, which alone links llama.cpp, and finds the libraries; the test is skipped
// where they are absent.
func realEngine(t *testing.T) engine.Engine {
	t.Helper()
	runtime := os.Getenv("SHOAL_RUNTIME")
	if runtime == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skip(err)
		}
		runtime = filepath.Join(cache, "shoal", "runtime", "llama.cpp-v0.5.0-linux-x64-cpu")
	}
	if _, err := os.Stat(runtime); err != nil {
		t.Skip("no llama.cpp libraries: run packaging/runtime/install.sh or set SHOAL_RUNTIME")
	}
	program := filepath.Join(t.TempDir(), "shoal-worker")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../../app/worker").CombinedOutput(); err != nil {
		t.Fatalf("build the worker: %v: %s", err, out)
	}
	return worker.New(worker.Config{Program: program, Runtime: runtime, Log: slog.New(slog.DiscardHandler)})
}

// realModel imports a small trained model with every layer in a shard of its own.
func realModel(t *testing.T) (dir string, shards int) {
	t.Helper()
	folder := os.Getenv("SHOAL_SHARED")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "..", "shared")
	}
	path := filepath.Join(folder, "models", "stories260K-f32.gguf")
	if _, err := os.Stat(path); err != nil {
		t.Skip("no shared test data: set SHOAL_SHARED")
	}
	key, err := identity.Open(filepath.Join(t.TempDir(), "identity.key"))
	if err != nil {
		t.Fatal(err)
	}
	rule := shard.Rule{Number: 1, ShardSize: 1 << 20, MinShards: 64}
	m, err := shard.NewStore(shard.Config{Dir: t.TempDir(), Key: key, Rule: rule}).Import(t.Context(), shard.Import{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return m.Dir, len(m.Manifest.Shards)
}
