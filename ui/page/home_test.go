package page

import (
	"slices"
	"testing"
	"time"

	"fyne.io/fyne/v2/test"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/uitest"
)

func TestHomeLeadsToTheNextThing(t *testing.T) {
	s := newScreen(t, uitest.New())
	test.Tap(s.home.action)
	if s.Current() != Models || s.window.Canvas().Focused() != s.models.path {
		t.Fatalf("Add a model opens %q", s.Current())
	}
	s.backend.Set(func(b *uitest.Backend) {
		b.ModelsNow = []admin.ModelInfo{uitest.Model("m", "M", admin.StatusReady, 4)}
	})
	s.until("Home offers to load", func() bool { return s.home.action.Text() == "Load M" })
	test.Tap(s.home.action)
	s.until("Home offers to chat", func() bool { return s.home.action.Text() == "Open chat" })
	if calls := s.backend.Called(); !slices.Contains(calls, "Load m") {
		t.Errorf("calls %v", calls)
	}
	test.Tap(s.home.action)
	if s.Current() != Chat || s.window.Canvas().Focused() != s.chat.input {
		t.Errorf("Open chat opens %q", s.Current())
	}
}

func TestPauseAndResume(t *testing.T) {
	s := newScreen(t, busyBackend())
	test.Tap(s.rail.pause)
	s.until("the rail says paused", func() bool { return s.rail.status.Word() == "Paused" })
	if !s.home.action.Visible() || s.home.action.Text() != "Resume" {
		t.Errorf("Home offers %q", s.home.action.Text())
	}
	test.Tap(s.home.action)
	s.until("the rail says ready", func() bool { return s.rail.status.Word() == "Ready" })
	if calls := s.backend.Called(); !slices.Equal(calls, []string{"Pause", "Resume"}) {
		t.Errorf("calls %v", calls)
	}
}

func TestStateIsToldOnce(t *testing.T) {
	b := busyBackend()
	s := newScreen(t, b)
	var told []model.State
	s.cfg.OnState = func(st model.State, _ string) { told = append(told, st) }
	s.told = ""
	for range 3 {
		s.redraw()
	}
	s.snap.Stats.State = "paused"
	s.redraw()
	if !slices.Equal(told, []model.State{model.StateReady, model.StatePaused}) {
		t.Errorf("told %v", told)
	}
}

// A node that cannot be asked leaves the screen as it is, and is asked again.
func TestNodeThatDoesNotAnswer(t *testing.T) {
	b := busyBackend()
	s := newScreen(t, b)
	s.backend.Set(func(b *uitest.Backend) {
		b.Errors["Stats"] = core.Errorf(core.CodeNotReady, "starting")
		b.StatsNow.State = "paused"
	})
	s.refreshSoon()
	if s.rail.status.Word() != "Ready" {
		t.Errorf("the state became %q", s.rail.status.Word())
	}
	s.backend.Set(func(b *uitest.Backend) { delete(b.Errors, "Stats") })
	s.until("the answer is shown", func() bool { return s.rail.status.Word() == "Paused" })
}

func TestWarningsAreShownAndGoAway(t *testing.T) {
	s := newScreen(t, busyBackend())
	s.backend.Emit(core.Event{Type: core.EventActivity, Data: core.Activity{Message: "the engine\u202E stopped", ToastLevel: "warning", Timestamp: time.Now()}})
	s.until("the note is shown", func() bool { return s.toast.content.Visible() && s.toast.text.Text() == "the engine stopped" })
	s.until("the note has gone", func() bool { return !s.toast.content.Visible() })
}

func TestSmallWindowHidesWords(t *testing.T) {
	s := newScreenIn(t, busyBackend(), "dark", 600, 480)
	if !s.rail.narrow || s.rail.status.Visible() || !s.rail.dot.Visible() {
		t.Error("the rail is not narrow")
	}
	s = newScreenIn(t, busyBackend(), "dark", 1280, 800)
	if s.rail.narrow || !s.rail.status.Visible() {
		t.Error("the rail is narrow")
	}
}
