package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// real is a node on worker processes and llama.cpp; the test is skipped where the libraries are absent.
func real(t *testing.T) *house {
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
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../app/worker").CombinedOutput(); err != nil {
		t.Fatalf("build the worker: %v\n%s", err, out)
	}
	cfg := setup(t, t.TempDir())
	cfg.Engine = nil
	cfg.Flags["runtime"], cfg.Flags["worker"], cfg.Flags["threads"] = dir, program, "1"
	return run(t, cfg)
}

// shared is a file that is handed to developers beside the repository; the test is skipped where it is absent.
func shared(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("SHOAL_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not there; SHOAL_SHARED names its folder", path)
	}
	return path
}

// story is what stock llama.cpp continues "Once upon a time" with, always taking the likeliest token.
const story = ", there was a little girl named Lily. She loved to play outside in the park."

func (h *house) tell(tokens int) (string, error) {
	reply, err := h.Generate(h.t.Context(), &core.GenerateRequest{Model: "stories260k-f32", Prompt: "Once upon a time", MaxTokens: tokens},
		func(core.Delta) error { return nil })
	if err != nil {
		return "", err
	}
	return reply.Message.Content, nil
}

// TestStoryDoesNotDependOnTheCut asks over HTTP for the same text of a trained model run in one, two and three windows.
func TestStoryDoesNotDependOnTheCut(t *testing.T) {
	h := real(t)
	path := shared(t, "models/stories260K-f32.gguf")
	for windows := 1; windows <= 3; windows++ {
		info, err := h.Import(t.Context(), path, windows, nil)
		must(t, err)
		status, answer := h.call("POST", "/v1/completions",
			fmt.Sprintf(`{"model":%q,"prompt":"Once upon a time","temperature":0,"max_tokens":40}`, info.ID))
		text := fmt.Sprint(answer["choices"])
		if status != 200 || !strings.Contains(text, story) {
			t.Errorf("%d windows: %d, %v", windows, status, answer)
		}
		models, err := h.Models(t.Context())
		must(t, err)
		if got := models[1]; got.Windows != windows || got.Status != admin.StatusLoaded {
			t.Errorf("%d windows reported as %d, %s", windows, got.Windows, got.Status)
		}
	}
}

// TestKilledWorkerMidReply ends a worker by force while it answers.
func TestKilledWorkerMidReply(t *testing.T) {
	h := real(t)
	_, err := h.Import(t.Context(), shared(t, "models/stories260K-f32.gguf"), 2, nil)
	must(t, err)
	want, err := h.tell(40)
	must(t, err)

	pids := children(t)
	if len(pids) != 2 {
		t.Fatalf("workers %v, want 2", pids)
	}
	var killed time.Time
	_, err = h.Generate(t.Context(), &core.GenerateRequest{Model: "stories260k-f32", Prompt: "Once upon a time", MaxTokens: 400},
		func(d core.Delta) error {
			if killed.IsZero() && d.Text != "" {
				killed = time.Now()
				return syscall.Kill(pids[0], syscall.SIGKILL)
			}
			return nil
		})
	if core.CodeOf(err) != core.CodeEngineCrashed {
		t.Errorf("the reply ended with %v, want engine_crashed", err)
	}
	if took := time.Since(killed); took > 5*time.Second {
		t.Errorf("the reply ended %v after the kill", took)
	}
	got, err := h.tell(40)
	if err != nil || got != want {
		t.Errorf("after the crash %q, %v; want %q", got, err, want)
	}
	if again := children(t); len(again) != 2 || slices.Contains(again, pids[0]) || slices.Contains(again, pids[1]) {
		t.Errorf("workers %v, want two new ones instead of %v", again, pids)
	}
}

// children lists the processes that this one has started.
func children(t *testing.T) (pids []int) {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	must(t, err)
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for field := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(field)
			must(t, err)
			pids = append(pids, pid)
		}
	}
	return pids
}
