package memory

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/engine/worker"
)

// realEngine is the engine of worker processes; the test is skipped where the llama.cpp libraries are absent.
func realEngine(t *testing.T) engine.Engine {
	t.Helper()
	dir := os.Getenv("SHOAL_RUNTIME")
	if dir == "" {
		cache, err := os.UserCacheDir()
		must(t, err)
		dir = filepath.Join(cache, "shoal", "runtime", "llama.cpp-v0.5.0-linux-x64-cpu")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the llama.cpp libraries are not in %s; packaging/runtime/install.sh puts them there", dir)
	}
	program := filepath.Join(t.TempDir(), "shoal-worker")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../app/worker")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the worker: %v\n%s", err, out)
	}
	return worker.New(worker.Config{Program: program, Runtime: dir, Log: slog.New(slog.DiscardHandler)})
}

// greedy generates without chance.
func (h *house) greedy(name string) ([]int32, error) {
	lease, err := h.Acquire(h.t.Context(), idOf(name))
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	prompt, err := lease.Runner.Tokenize(h.t.Context(), "hello world", true, false)
	if err != nil {
		return nil, err
	}
	var tokens []int32
	_, err = lease.Runner.Generate(h.t.Context(), engine.Job{Prompt: prompt, MaxTokens: 24}, func(s engine.Sample) error {
		tokens = append(tokens, s.Token)
		return nil
	})
	return tokens, err
}

// TestRealWorkers runs a generated model on stock llama.cpp: the answer does not depend on how it is cut, and a
// killed worker is replaced.
func TestRealWorkers(t *testing.T) {
	real := realEngine(t)
	h := build(t, t.TempDir(), fake.Config{})
	h.cfg.Engine = real
	h.run()
	h.change(func(s *config.Settings) { s.Threads = 1; s.ContextSize = 1024 })
	id := h.bring("m", 1)
	want, err := h.greedy("m")
	must(t, err)
	if len(want) == 0 {
		t.Fatal("no token came")
	}
	for _, windows := range []int{2, 3} {
		h.bringAgain(id, windows)
		if got, err := h.greedy("m"); err != nil || !slices.Equal(got, want) {
			t.Errorf("%d windows: %v, %v; want %v", windows, got, err, want)
		}
	}

	m, err := h.find(id)
	must(t, err)
	pids := processes(m)
	if len(pids) != 3 {
		t.Fatalf("workers %v, want 3", pids)
	}
	victim, err := os.FindProcess(pids[1])
	must(t, err)
	must(t, victim.Kill())
	until(t, "the crash is noticed", func() bool { return !slices.Equal(processes(m), pids) })
	if got, err := h.greedy("m"); err != nil || !slices.Equal(got, want) {
		t.Errorf("after the crash: %v, %v; want %v", got, err, want)
	}
	after := processes(m)
	for _, pid := range after {
		if slices.Contains(pids, pid) {
			t.Errorf("worker %d was not replaced", pid)
		}
	}

	_, err = h.UnloadShard(t.Context(), id, 0)
	must(t, err)
	_, err = h.greedy("m")
	wantCode(t, err, core.CodeNotReady)
	_, err = h.LoadShard(t.Context(), id, 0)
	must(t, err)
	if got, err := h.greedy("m"); err != nil || !slices.Equal(got, want) {
		t.Errorf("shard 0 back: %v, %v; want %v", got, err, want)
	}
	start := time.Now()
	_, err = h.Unload(t.Context(), id)
	must(t, err)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("unload took %v", took)
	}
}

// bringAgain sets how many windows a model runs in.
func (h *house) bringAgain(id core.ModelID, windows int) {
	h.t.Helper()
	_, err := h.Unload(h.t.Context(), id)
	must(h.t, err)
	must(h.t, h.cfg.Store.SetWindows(h.t.Context(), id, windows))
	_, err = h.lib.Rescan(h.t.Context())
	must(h.t, err)
}

// processes lists the processes of a model in memory.
func processes(m *residence) (pids []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	alone := m.residents[aloneKey]
	if alone == nil || alone.workers == nil {
		return nil
	}
	for _, w := range alone.workers.windows {
		pids = append(pids, w.Shape().PID)
	}
	return pids
}
