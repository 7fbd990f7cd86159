package memory

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
)

func TestCrashEndsRequestsAndRestarts(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{StepTime: time.Hour})
	id := h.bring("m", 2)
	lease, err := h.Acquire(t.Context(), idOf("m"))
	must(t, err)
	failed := make(chan error, 1)
	go func() {
		_, err := lease.Runner.Generate(t.Context(), engine.Job{Prompt: []int32{1}, MaxTokens: 5}, func(engine.Sample) error { return nil })
		failed <- err
	}()
	first := h.engine.Windows()[0]
	until(t, "the job reaches the engine", func() bool { return first.Steps() > 0 })
	start := time.Now()
	first.Crash()
	wantCode(t, <-failed, core.CodeEngineCrashed)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the request ended %v after the crash", took)
	}
	lease.Release()
	until(t, "both workers are replaced", func() bool { return len(h.engine.Windows()) == 4 && h.open() == 2 })
	if took := time.Since(start); took < h.firstBackOff {
		t.Errorf("restarted after %v, before the back-off", took)
	}
	again, err := h.Acquire(t.Context(), idOf("m"))
	must(t, err)
	again.Release()
	if status := h.model(id).Status; status != admin.StatusLoaded {
		t.Errorf("status %s", status)
	}
}

// TestWhoHearsOfACrashGetsNoDeadWorker lets a call to a worker fail while the end of its process, and of another call, is
// still waited for, and asks for the model again at once.
func TestWhoHearsOfACrashGetsNoDeadWorker(t *testing.T) {
	arrived, second, hold := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var steps atomic.Int32
	h := furnish(t, t.TempDir(), fake.Config{BeforeStep: func(w *fake.Window, b *engine.Batch) error {
		switch {
		case len(b.Rows) == 0 || steps.Load() > 2: // the restarted ones
		case w.Shape().Layers.First > 0:
			close(arrived)
			<-second
			return core.Errorf(core.CodeEngineCrashed, "worker: signal: killed")
		case steps.Add(1) == 2:
			close(second)
			<-hold
		}
		return nil
	}})
	h.bring("m", 2)
	ends := make(chan error, 2)
	ask := func() {
		_, err := h.say("m")
		ends <- err
	}
	go ask()
	<-arrived
	go ask()
	wantCode(t, <-ends, core.CodeEngineCrashed)
	m, err := h.find(idOf("m"))
	must(t, err)
	lease, wait, err := m.lease()
	if lease != nil || wait == nil || err != nil {
		t.Errorf("a dead worker was lent: %v, %v", lease, err)
	}
	steps.Store(3)
	close(hold)
	wantCode(t, <-ends, core.CodeEngineCrashed)
	if n, err := h.say("m"); n == 0 || err != nil {
		t.Errorf("after the restart: %d tokens, %v", n, err)
	}
}

func TestModelThatKeepsCrashingStaysDown(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 0)
	err := h.Load(t.Context(), id)
	must(t, err)
	m, err := h.find(id)
	must(t, err)
	in := m.alone()
	go crashAll(t.Context(), h)
	select {
	case <-in.gone:
	case <-time.After(60 * time.Second):
		t.Fatal("it is restarted without end")
	}
	if n := len(h.engine.Windows()); n != maxCrashes {
		t.Errorf("%d workers were started, want %d", n, maxCrashes)
	}
	info := h.model(id)
	if info.Status != admin.StatusReady || info.LastError == "" {
		t.Errorf("status %s, last error %q", info.Status, info.LastError)
	}
	_, err = h.say("m")
	wantCode(t, err, core.CodeEngineCrashed)
}

// crashAll ends every worker as soon as it is there.
func crashAll(ctx context.Context, h *house) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, w := range h.engine.Windows() {
			w.Crash()
		}
	}
}

func TestUnloadEndsRequests(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{StepTime: time.Hour})
	id := h.bring("m", 0)
	lease, err := h.Acquire(t.Context(), idOf("m"))
	must(t, err)
	failed := make(chan error, 1)
	go func() {
		_, err := lease.Runner.Generate(t.Context(), engine.Job{Prompt: []int32{1}, MaxTokens: 5}, func(engine.Sample) error { return nil })
		failed <- err
	}()
	w := h.engine.Windows()[0]
	until(t, "the job reaches the engine", func() bool { return w.Steps() > 0 })
	_, err = h.Unload(t.Context(), id)
	must(t, err)
	if err := <-failed; core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("the request ended with %v (%s), want not_ready", err, core.CodeOf(err))
	}
	lease.Release()
}

func TestLoadedModelsComeBack(t *testing.T) {
	dir := t.TempDir()
	h := build(t, dir, fake.Config{})
	stop := h.run()
	id, part := h.bring("m", 2), h.bring("part", 0)
	err := h.Load(t.Context(), id)
	must(t, err)
	_, err = h.LoadShard(t.Context(), part, 2)
	must(t, err)
	stop()
	if h.open() != 0 {
		t.Fatalf("%d workers outlive the node", h.open())
	}
	if err := h.Load(t.Context(), id); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("load after the end: %v", err)
	}
	if _, err := h.say("m"); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("generate after the end: %v", err)
	}
	again := furnish(t, dir, fake.Config{})
	until(t, "both models are loaded again", func() bool { return again.open() == 3 })
	until(t, "the status says so", func() bool {
		return again.model(id).Status == admin.StatusLoaded && len(again.model(part).LoadedShards) == 1
	})
}

func TestIdleModelIsUnloaded(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	h.change(func(s *config.Settings) { s.IdleUnloadSeconds = 1 })
	h.bring("m", 0)
	lease, err := h.Acquire(t.Context(), idOf("m"))
	must(t, err)
	if len(h.idle(0)) > 0 {
		t.Error("a model in use counts as idle")
	}
	lease.Release()
	until(t, "the idle model is unloaded", func() bool { return h.open() == 0 })
	until(t, "it is not loaded at the next start", func() bool {
		records, err := h.cfg.Store.LoadedModels(t.Context())
		must(t, err)
		return len(records) == 0
	})
}

func TestPauseAndResume(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	h.bring("m", 0)
	if _, err := h.say("m"); err != nil {
		t.Fatal(err)
	}
	must(t, h.Pause(t.Context()))
	if h.open() != 0 {
		t.Error("a paused node keeps models in memory")
	}
	_, err := h.say("m")
	wantCode(t, err, core.CodeNotReady)
	h.Resume()
	if _, err := h.say("m"); err != nil {
		t.Errorf("after resume: %v", err)
	}
}

func TestLoadGoesOnWhenTheCallerLeaves(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 0)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Load(gone, id); err != nil {
		wantCode(t, err, core.CodeCancelled)
	}
	until(t, "the load ends", func() bool { return h.model(id).Status == admin.StatusLoaded })
}

func TestTooLittleMemory(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 0)
	h.change(func(s *config.Settings) { s.ContextSize = 16 << 20; s.MaxBatchSize = 1 })
	m, err := h.find(id)
	must(t, err)
	ram, _ := h.cfg.Hardware.Free(t.Context())
	use := m.need(engine.Spec{Context: 16 << 20, Sequences: 1, BatchRows: batchRows}, 0, 1)
	if use.RAM <= ram {
		t.Skipf("this PC has memory for %d bytes of KV cache", use.RAM)
	}
	err = h.Load(t.Context(), id)
	wantCode(t, err, core.CodeInsufficientRAM)
	if h.model(id).LastError == "" {
		t.Error("the reason is not kept")
	}
}

func TestIdleModelMakesRoom(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	old, used := h.bring("old", 0), h.bring("used", 0)
	err := h.Load(t.Context(), old)
	must(t, err)
	lease, err := h.Acquire(t.Context(), idOf("used"))
	must(t, err)
	if !h.makeRoom(t.Context()) || h.model(old).Status != admin.StatusReady || h.model(used).Status != admin.StatusLoaded {
		t.Errorf("old is %s, used is %s", h.model(old).Status, h.model(used).Status)
	}
	if h.makeRoom(t.Context()) {
		t.Error("a model in use made room")
	}
	lease.Release()
}
