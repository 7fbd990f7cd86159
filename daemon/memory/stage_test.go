package memory

import (
	"context"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
)

func (h *house) digest(id core.ModelID) core.Digest {
	h.t.Helper()
	b, err := h.lib.Blueprint(id)
	must(h.t, err)
	return b.Manifest
}

func TestStagesAreSharedAndWatched(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 1)
	ctx, d := t.Context(), h.digest(id)
	a, leaveA, err := h.Window(ctx, id, d, 1, 3, WindowOptions{Sequences: 4})
	must(t, err)
	b, leaveB, err := h.Window(ctx, id, d, 1, 3, WindowOptions{})
	must(t, err)
	if a != b || h.open() != 1 {
		t.Errorf("two uses of one window: %v, %d windows", a == b, h.open())
	}
	if c, leave, err := h.Window(ctx, id, d, 1, 4, WindowOptions{}); err != nil || c == a {
		t.Errorf("another span: %v", err)
	} else {
		leave()
	}
	if plan, err := h.lib.Blueprint(id); err != nil || !plan.HalfRows {
		t.Errorf("half floats for a llama: %v, %v", plan.HalfRows, err)
	}
	holding := h.Holdings()[0]
	for i := range layers {
		if !holding.Shards.Has(i) || holding.Loaded.Has(i) != (i >= 1 && i < 4) {
			t.Errorf("shard %d: %+v", i, holding)
		}
	}
	leaveA()
	leaveB()
	h.engine.Windows()[0].Crash()
	within(t, "the dead window is dropped", func() bool { return !h.Holdings()[0].Loaded.Has(5) && h.open() == 1 })
	again, leave, err := h.Window(ctx, id, d, 1, 3, WindowOptions{})
	must(t, err)
	if again == a {
		t.Error("the dead window was given again")
	}
	leave()
	h.change(func(s *config.Settings) { s.IdleUnloadSeconds = 1 })
	within(t, "idle stages end", func() bool { return h.open() == 0 })
}

func TestStageRefusals(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 1)
	ctx, d := t.Context(), h.digest(id)
	must(t, h.lib.DeleteShard(ctx, id, 2))
	other, err := core.ParseModelID("other")
	must(t, err)
	for want, try := range map[core.Code]func() error{
		core.CodeNotFound:       func() error { _, _, err := h.Window(ctx, other, d, 0, 1, WindowOptions{}); return err },
		core.CodeConflict:       func() error { _, _, err := h.Window(ctx, id, core.Digest{1}, 0, 1, WindowOptions{}); return err },
		core.CodeInvalidRequest: func() error { _, _, err := h.Window(ctx, id, d, 3, layers+1, WindowOptions{}); return err },
		core.CodeNotReady:       func() error { _, _, err := h.Window(ctx, id, d, 1, 3, WindowOptions{}); return err },
	} {
		if err := try(); core.CodeOf(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	_, leave, err := h.Window(ctx, id, d, 3, 5, WindowOptions{})
	must(t, err)
	if err := h.lib.DeleteShard(ctx, id, 4); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("delete a shard in use: %v", err)
	}
	leave()
	must(t, h.lib.DeleteShard(ctx, id, 4))
	if h.open() != 0 {
		t.Error("the window of a deleted shard is open")
	}
	must(t, h.Pause(ctx))
	if _, _, err := h.Window(ctx, id, d, 0, 2, WindowOptions{}); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("while paused: %v", err)
	}
}

func TestUnloadAndPauseEndStages(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 1)
	w, leave, err := h.Window(t.Context(), id, h.digest(id), 0, 3, WindowOptions{})
	must(t, err)
	defer leave()
	if _, err := h.say("m"); err != nil {
		t.Errorf("the whole model beside a stage: %v", err)
	}
	done, err := h.Unload(t.Context(), id)
	must(t, err)
	if done.SegmentsRemoved != 2 {
		t.Errorf("%+v", done)
	}
	<-w.Done()
	vocab, free, err := h.Tokenizer(t.Context(), id)
	must(t, err)
	defer free()
	if _, err := vocab.Tokenize(t.Context(), "hello", true, false); err != nil {
		t.Error(err)
	}
	must(t, h.Pause(t.Context()))
	if h.open() != 0 {
		t.Error("a pause leaves windows open")
	}
}

func TestLeavingWhileAStageLoads(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 1)
	m, err := h.find(id)
	must(t, err)
	must(t, m.Enter(t.Context())) // the load has to wait
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := h.Window(ctx, id, m.Digest, 0, 2, WindowOptions{}); core.CodeOf(err) != core.CodeCancelled {
		t.Errorf("got %v", err)
	}
	m.Leave()
	within(t, "the load goes on for the next", func() bool { return h.Holdings()[0].Loaded.Has(1) })
}

// A stage for which there is no memory, and which nobody waits for any more, is not the one to end to make room: it would
// wait for itself.
func TestAStageMakesNoRoomForItself(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 1)
	h.change(func(s *config.Settings) { s.ContextSize = 16 << 20 })
	m, err := h.find(id)
	must(t, err)
	if _, err := h.place(t.Context(), m, m.Whole(), 1, 64); core.CodeOf(err) != core.CodeInsufficientRAM {
		t.Skipf("this PC has memory for 16 M tokens of KV cache (%v)", err)
	}
	must(t, m.Enter(t.Context())) // the load has to wait
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := h.Window(ctx, id, m.Digest, 0, layers, WindowOptions{}); core.CodeOf(err) != core.CodeCancelled {
		t.Errorf("got %v", err)
	}
	m.Leave()
	within(t, "the stage is given up", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.residents) == 0
	})
	must(t, m.Enter(t.Context()))
	m.Leave()
}

func TestModelsOfTheSwarm(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 1)
	for i := range 3 {
		must(t, h.lib.DeleteShard(t.Context(), id, i))
	}
	check := func(byShard []int, state, wantStatus, wantSource string, available bool) {
		t.Helper()
		known, err := h.lib.Find(id)
		must(t, err)
		m := h.Info(t.Context(), known, Elsewhere{ByShard: byShard, Nodes: 1, Download: admin.Download{State: state}})
		if m.Status != wantStatus || m.Source != wantSource || m.Mode != "distributed" || m.GlobalAvailable != available || m.PeersHosting != 1 {
			t.Errorf("%v: %s, %s, %s, %v", byShard, m.Status, m.Source, m.Mode, m.GlobalAvailable)
		}
	}
	check([]int{1, 1, 0, 0, 0, 0}, "", admin.StatusPartial, "hybrid", false)
	check([]int{1, 1, 2, 0, 0, 1}, "", admin.StatusPartial, "hybrid", true)
	check([]int{1, 1, 1, 0, 0, 0}, core.DownloadRunning, admin.StatusDownloading, "hybrid", true)
	for i := 3; i < layers; i++ {
		must(t, h.lib.DeleteShard(t.Context(), id, i))
	}
	check([]int{1, 1, 1, 1, 1, 1}, "", admin.StatusAvailable, "network", true)
	must(t, h.lib.Refresh(t.Context(), id))
}

func TestEncryptedPipelineSetting(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 1)
	want := func(on, own bool) {
		t.Helper()
		if gotOn, gotOwn, err := h.lib.EncryptedPipeline(t.Context(), id); err != nil || gotOn != on || gotOwn != own {
			t.Errorf("got %v, %v, %v; want %v, %v", gotOn, gotOwn, err, on, own)
		}
	}
	want(false, false)
	h.change(func(s *config.Settings) { s.EncryptedPipeline = true })
	want(true, false)
	must(t, h.lib.SetEncryptedPipeline(t.Context(), id, false))
	want(false, true)
}

func TestSpeedIsMeasured(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 2)
	if len(h.Speeds()) != 0 {
		t.Error("a speed before the first token")
	}
	if _, err := h.say("m"); err != nil {
		t.Fatal(err)
	}
	if s := h.Speeds(); len(s) != 1 || s[0].Model != id || s[0].LayerTime <= 0 {
		t.Errorf("%+v", s)
	}
	m := &meter{}
	m.add(1, 8*time.Millisecond)
	m.add(1, 16*time.Millisecond)
	m.add(prefillRows, prefillRows*time.Millisecond)
	if s, _ := m.speed(id); s.LayerTime != 9*time.Millisecond || s.PrefillRow != time.Millisecond {
		t.Errorf("%+v", s)
	}
}

// within waits until ok holds, which it must do soon.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
