package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/worker"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

// stuck is an engine whose steps never return, like a hung GPU driver. A step first makes the file that the
// environment variable names.
type stuck struct{ engine.Window }

const enteredVariable = "SHOAL_TEST_ENTERED"

func (s stuck) Info(context.Context) (engine.RuntimeInfo, error)         { return engine.RuntimeInfo{}, nil }
func (s stuck) Load(context.Context, engine.Spec) (engine.Window, error) { return s, nil }
func (s stuck) Shape() engine.Shape {
	return engine.Shape{First: true, Last: true, Embedding: 1, Vocabulary: 8, Sequences: 1, BatchRows: 1}
}

func (s stuck) Step(context.Context, *engine.Batch) (*engine.Output, error) {
	if err := os.WriteFile(os.Getenv(enteredVariable), nil, 0o600); err != nil {
		return nil, err
	}
	select {}
}

// loadStuck starts a worker that hangs in its first step; entered tells when it does.
func loadStuck(t *testing.T) (w engine.Window, entered func()) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "entered")
	e := worker.New(worker.Config{
		Program: os.Args[0], Env: []string{actAs + "=stuck", enteredVariable + "=" + file},
		Log: slog.New(slog.DiscardHandler),
	})
	w = load(t, e, engine.Spec{})
	return w, func() { waitFor(t, func() bool { _, err := os.Stat(file); return err == nil }) }
}

// waitFor polls until ok, for a few seconds at most.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain")
		}
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestKilledWorkerFailsItsSteps(t *testing.T) {
	w, entered := loadStuck(t)
	failed := make(chan error, 2)
	for range cap(failed) { // one runs, the other waits
		go func() {
			_, err := w.Step(context.Background(), &engine.Batch{})
			failed <- err
		}()
	}
	entered()
	start := time.Now()
	kill(t, w.Shape().PID)
	for range cap(failed) {
		if err := <-failed; core.CodeOf(err) != core.CodeEngineCrashed || !strings.Contains(err.Error(), "killed") {
			t.Errorf("a step of a killed worker gave %v", err)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("noticed after %s", took)
	}
	<-w.Done()
	if _, err := w.Step(context.Background(), &engine.Batch{}); core.CodeOf(err) != core.CodeEngineCrashed {
		t.Errorf("a later step gave %v", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// actAsNode starts a worker that hangs, prints its process id and waits to be killed.
func actAsNode() int {
	e := worker.New(worker.Config{Program: os.Args[0], Env: []string{actAs + "=stuck"}, Log: slog.New(slog.DiscardHandler)})
	w, err := e.Load(context.Background(), engine.Spec{})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	go func() { _, _ = w.Step(context.Background(), &engine.Batch{}) }()
	fmt.Println(w.Shape().PID)
	<-w.Done()
	return 0
}

func TestWorkerEndsWithItsNode(t *testing.T) {
	entered := filepath.Join(t.TempDir(), "entered")
	node := exec.Command(os.Args[0])
	node.Env = append(os.Environ(), actAs+"=node", enteredVariable+"="+entered)
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { _, err := os.Stat(entered); return err == nil })
	kill(t, node.Process.Pid)
	_ = node.Wait()
	waitFor(t, func() bool { return !alive(pid) })
}

// alive tells whether a process runs; one that nobody has waited for does not.
func alive(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !strings.Contains(string(status), "State:\tZ")
}

func TestCloseEndsAStuckWorker(t *testing.T) {
	w, entered := loadStuck(t)
	failed := make(chan error, 1)
	go func() {
		_, err := w.Step(context.Background(), &engine.Batch{})
		failed <- err
	}()
	entered()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; core.CodeOf(err) != core.CodeEngineCrashed {
		t.Errorf("the step gave %v", err)
	}
	<-w.Done()
}

// TestLastWordsAreForTheLog lets a worker die with words that no client may read.
func TestLastWordsAreForTheLog(t *testing.T) {
	var log strings.Builder
	e := worker.New(worker.Config{Program: os.Args[0], Env: []string{actAs + "=dies"}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	_, err := e.Info(context.Background())
	if core.CodeOf(err) != core.CodeEngineCrashed || strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(log.String(), "the disk is on fire") {
		t.Errorf("the log says %q", log.String())
	}
}

func TestMissingLibrariesAreNamed(t *testing.T) {
	_, err := newEngine(t, "noLibffi").Info(context.Background())
	if core.CodeOf(err) != core.CodeNoRuntime || !strings.Contains(err.(*core.Error).Hint, "libffi8") {
		t.Errorf("without libffi: %v", err)
	}
	empty := worker.New(worker.Config{
		Program: os.Args[0], Env: []string{actAs + "=llama"}, Runtime: t.TempDir(),
		Log: slog.New(slog.DiscardHandler),
	})
	_, err = empty.Info(context.Background())
	if core.CodeOf(err) != core.CodeNoRuntime || !strings.Contains(err.Error(), "llama") || err.(*core.Error).Hint == "" {
		t.Errorf("with an empty folder: %v", err)
	}
	nowhere := worker.New(worker.Config{Program: filepath.Join(t.TempDir(), "nothing"), Log: slog.New(slog.DiscardHandler)})
	if _, err = nowhere.Info(context.Background()); core.CodeOf(err) != core.CodeNoRuntime {
		t.Errorf("without the worker program: %v", err)
	}
}

func TestCancelledLoad(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := newEngine(t, "stuck").Load(ctx, engine.Spec{})
	if core.CodeOf(err) != core.CodeCancelled {
		t.Errorf("got %v", err)
	}
}

// cancelled cancels a step in its middle and tells how long it went on.
func cancelled(w engine.Window, b *engine.Batch) (time.Duration, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := w.Step(ctx, b)
		failed <- err
	}()
	<-time.After(200 * time.Millisecond) // well inside the step
	start := time.Now()
	cancel()
	err := <-failed
	return time.Since(start), err
}

// TestCancelStopsAPrefill cancels in the middle of a step that takes seconds. The bound is what a user is promised; a busy
// machine gets several tries to keep it.
func TestCancelStopsAPrefill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slow.gguf")
	if err := gguftest.WriteFile(path, gguftest.Config{Layers: 16, Embedding: 512, Heads: 8, KVHeads: 8, FeedForward: 2048, Weights: gguftest.F16}); err != nil {
		t.Fatal(err)
	}
	w := load(t, newEngine(t, "llama"), engine.Spec{ModelDir: path, Context: 2048, Sequences: 2, BatchRows: 2048, Threads: 1})
	b := &engine.Batch{}
	for i := range int32(2048) {
		b.Rows = append(b.Rows, engine.Row{Token: 3 + i%200, Pos: i})
	}
	least := time.Hour
	for try := 0; try < 5 && least > 250*time.Millisecond; try++ {
		took, err := cancelled(w, b)
		t.Logf("stopped after %s", took)
		if core.CodeOf(err) != core.CodeCancelled {
			t.Errorf("after %s got %v", took, err)
		}
		least = min(least, took)
	}
	if least > 250*time.Millisecond {
		t.Errorf("stopped after %s at best", least)
	}
	again := &engine.Batch{Rows: []engine.Row{{Token: 5, Sample: true}}}
	if _, err := w.Step(context.Background(), again); err != nil {
		t.Errorf("after a cancelled step: %v", err)
	}
}
