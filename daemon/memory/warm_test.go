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

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestWarmWindowIsThereWhenNeeded(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 1)
	ctx, d := t.Context(), h.digest(id)
	h.change(func(s *config.Settings) { s.IdleUnloadSeconds = 1 })
	gone, cool, err := h.Warm(ctx, id, d, 1, 3, WindowOptions{})
	must(t, err)
	if !h.Holdings()[0].Loaded.Has(1) {
		t.Error("what is warm is not announced")
	}
	<-time.After(1500 * time.Millisecond) // longer than idle windows stay
	w, leave, err := h.Window(ctx, id, d, 1, 3, WindowOptions{})
	must(t, err)
	if loads := len(h.engine.Windows()); loads != 1 || closed(gone) {
		t.Errorf("%d loads, gone: %v", loads, closed(gone))
	}
	cool()
	if closed(w.Done()) {
		t.Error("the window ended in use")
	}
	leave()
	within(t, "it ends when it was idle", func() bool { return h.open() == 0 && closed(gone) })

	_, cool, err = h.Warm(ctx, id, d, 1, 3, WindowOptions{})
	must(t, err)
	cool()
	if h.open() != 0 {
		t.Error("a window that nobody used outlives the wish for it")
	}
}

func TestWarmWindowsAreGivenUpFirst(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 1)
	ctx, d := t.Context(), h.digest(id)
	gone, cool, err := h.Warm(ctx, id, d, 0, 2, WindowOptions{})
	must(t, err)
	defer cool()
	used, leave, err := h.Window(ctx, id, d, 2, 4, WindowOptions{})
	must(t, err)
	leave()
	_, err = h.say("m")
	must(t, err)
	if !h.makeRoom(ctx) || !closed(gone) || closed(used.Done()) || h.open() != 2 {
		t.Errorf("warm window gone: %v, used one: %v, %d windows", closed(gone), closed(used.Done()), h.open())
	}
	if !h.makeRoom(ctx) || !closed(used.Done()) {
		t.Error("an idle window stays")
	}
}

func TestWarmWindowIsRefused(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 1)
	ctx, d := t.Context(), h.digest(id)
	want := func(code core.Code) {
		t.Helper()
		if _, _, err := h.Warm(ctx, id, d, 0, 2, WindowOptions{}); core.CodeOf(err) != code {
			t.Errorf("got %v, want %s", err, code)
		}
	}
	h.change(func(s *config.Settings) { s.Contribution = config.Minimal })
	want(core.CodeInsufficientRAM)
	h.change(func(s *config.Settings) { s.Contribution = config.Moderate })
	_, cool, err := h.Warm(ctx, id, d, 0, 2, WindowOptions{})
	must(t, err)
	defer cool()
	_, err = h.Unload(ctx, id)
	must(t, err)
	want(core.CodeNotReady) // the user wants it out of memory
	m, err := h.find(id)
	must(t, err)
	m.mu.Lock()
	m.unloaded = time.Now().Add(-unwanted)
	m.mu.Unlock()
	must(t, h.lib.DeleteShard(ctx, id, 1))
	want(core.CodeNotReady) // a shard is not here
	must(t, h.Pause(ctx))
	want(core.CodeNotReady)
	if h.open() != 0 {
		t.Errorf("%d windows", h.open())
	}
}

// TestNeededWindowDoesNotWait checks that a load for later gives way to one that is needed, of the same window or another.
func TestNeededWindowDoesNotWait(t *testing.T) {
	stuck := make(chan struct{}, 2)
	loads := 0
	h := furnish(t, t.TempDir(), fake.Config{LoadTime: time.Hour, Wait: func(ctx context.Context, d time.Duration) {
		if loads++; d == time.Hour && loads == 1 { // loads of one model come one after the other
			stuck <- struct{}{}
			<-ctx.Done()
		}
	}})
	id := h.bring("m", 1)
	d := h.digest(id)
	later := make(chan error, 1)
	go func() {
		_, _, err := h.Warm(t.Context(), id, d, 0, 2, WindowOptions{})
		later <- err
	}()
	<-stuck
	_, leave, err := h.Window(t.Context(), id, d, 2, 4, WindowOptions{})
	must(t, err)
	leave()
	if err := <-later; core.CodeOf(err) != core.CodeCancelled {
		t.Errorf("got %v", err)
	}
}

// TestIdleModelLeavesStagesInUse checks that a model which nobody here uses goes without what others use of it.
func TestIdleModelLeavesStagesInUse(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 1)
	_, err := h.say("m")
	must(t, err)
	w, leave, err := h.Window(t.Context(), id, h.digest(id), 0, 2, WindowOptions{})
	must(t, err)
	h.change(func(s *config.Settings) { s.IdleUnloadSeconds = 1 })
	within(t, "the model is unloaded", func() bool { return h.model(id).Status == admin.StatusReady })
	if closed(w.Done()) || h.open() != 1 {
		t.Errorf("a window in use ended: %v, %d windows", closed(w.Done()), h.open())
	}
	leave()
	within(t, "the window follows", func() bool { return h.open() == 0 })
}
