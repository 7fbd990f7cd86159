package memory

import (
	"testing"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
)

// TestRoomIsMadeByWhatWasUsedLongestAgo has a model, a window of another, and a window that is only kept for later.
func TestRoomIsMadeByWhatWasUsedLongestAgo(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	a, b := h.bring("a", 0), h.bring("b", 0)
	_, err := h.say("a")
	must(t, err)
	window, leave, err := h.Window(t.Context(), b, h.digest(b), 0, 2, WindowOptions{})
	must(t, err)
	leave()
	kept, release, err := h.Warm(t.Context(), b, h.digest(b), 2, 4, WindowOptions{})
	must(t, err)
	defer release()
	state := func() [3]bool {
		return [3]bool{closed(kept), h.model(a).Status == admin.StatusReady, closed(window.Done())}
	}
	for i, want := range [][3]bool{{true, false, false}, {true, true, false}, {true, true, true}} {
		if !h.makeRoom(t.Context()) || state() != want {
			t.Errorf("after %d times: kept, model and window ended %v, want %v", i+1, state(), want)
		}
	}
	if h.makeRoom(t.Context()) {
		t.Error("an empty memory made room")
	}
}

func TestWhatIsBeingLoadedIsNotIdle(t *testing.T) {
	r := &resident{spare: true}
	if r.idle(0) {
		t.Error("what is being loaded counts as idle: its load would wait for its own end")
	}
	if r.loaded = true; !r.idle(0) {
		t.Error("what nobody uses is not idle")
	}
}
