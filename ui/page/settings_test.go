package page

import (
	"slices"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui"
	"github.com/shoal-p2p/shoal/ui/theme"
	"github.com/shoal-p2p/shoal/ui/uitest"
)

func newShortcut(key fyne.KeyName) fyne.Shortcut {
	return &desktop.CustomShortcut{KeyName: key, Modifier: fyne.KeyModifierShortcutDefault}
}

func TestKeyIsCoveredAndCopied(t *testing.T) {
	s := newScreen(t, uitest.New())
	s.Show(Settings)
	key := s.backend.AccessNow.Key
	for _, line := range []string{s.settings.key.Shown(), s.settings.curl.Shown()} {
		if strings.Contains(line, key) || line == "" {
			t.Errorf("shows %q", line)
		}
	}
	if !strings.Contains(s.settings.curl.Text(), key) || !strings.Contains(s.settings.curl.Text(), s.backend.AccessNow.Address+"/chat/completions") {
		t.Errorf("copies %q", s.settings.curl.Text())
	}
	s.press("eye")
	if s.settings.key.Shown() != key {
		t.Errorf("shows %q when asked", s.settings.key.Shown())
	}
	s.press("copy")
	if s.copied != s.backend.AccessNow.Address {
		t.Errorf("copied %q", s.copied)
	}
}

func TestSettingsAreStored(t *testing.T) {
	s := newScreen(t, uitest.New())
	s.Show(Settings)
	test.Tap(s.settings.contribution.Items()[2])
	s.settings.context.SetSelectedIndex(2)
	s.settings.idleUnload.SetSelectedIndex(1)
	want := ui.Settings{Contribution: ui.ContributionMaximum, ContextSize: 4096, IdleUnload: 300}
	s.until("all three are stored", func() bool { return len(s.backend.Called()) == 3 })
	got, _ := s.backend.Settings(t.Context())
	s.until("the note says so", func() bool { return s.toast.text.Text() == "Saved" })
	if s.settings.values != want {
		t.Errorf("shows %+v, stored %+v, want %+v", s.settings.values, got, want)
	}
}

func TestRefusedSettingIsTakenBack(t *testing.T) {
	b := uitest.New()
	b.Errors["SetSettings"] = core.Errorf(core.CodeInvalidRequest, "contribution is set by SHOAL_CONTRIBUTION")
	s := newScreen(t, b)
	s.Show(Settings)
	test.Tap(s.settings.contribution.Items()[0])
	s.until("the problem is shown", func() bool { return s.settings.problem.Shown() != nil })
	if got := s.settings.contribution.Chosen(); got != ui.ContributionModerate {
		t.Errorf("shows %q", got)
	}
}

func TestLookChangesAtOnce(t *testing.T) {
	s := newScreen(t, uitest.New())
	s.Show(Settings)
	var looks []theme.Mode
	s.cfg.SetMode = func(m theme.Mode) { looks = append(looks, m) }
	test.Tap(s.settings.look.Items()[2])
	test.Tap(s.settings.look.Items()[2])
	if !slices.Equal(looks, []theme.Mode{theme.ModeLight}) {
		t.Errorf("looks %v", looks)
	}
}
