package page

import (
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui/theme"
)

func TestFailureSaysWhatToDo(t *testing.T) {
	test.NewTempApp(t)
	test.ApplyTheme(t, theme.New(theme.ModeDark))
	s := &screen{t: t, window: test.NewTempWindow(t, nil)}
	quits := 0
	err := core.Errorf(core.CodeConflict, "listen on 127.0.0.1:8800: address already in use").WithHint("Choose another port.")
	s.window.SetPadded(false)
	s.window.SetContent(NewFailure(err, func(text string) { s.copied = text }, func() { quits++ }))
	s.window.Resize(fyne.NewSize(1000, 640))
	s.shoot("dark-failure")
	s.press("Copy details")
	s.press("Quit")
	if s.copied != err.Msg || quits != 1 {
		t.Errorf("copied %q, quit %d times", s.copied, quits)
	}
}
