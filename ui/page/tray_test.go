package page

import (
	"strings"
	"testing"

	"fyne.io/fyne/v2"

	"github.com/shoal-p2p/shoal/ui/model"
)

// The tray shows the sentence alone, so that no word is said twice.
func TestTraySentenceSaysTheStateOnce(t *testing.T) {
	for change, want := range map[string]string{"idle": "Ready", "paused": "Paused"} {
		s := chatScreen(t)
		var told string
		s.cfg.OnState = func(_ model.State, sentence string) { told = sentence }
		s.snap.Stats.State, s.told = change, ""
		s.redraw()
		if told != want || strings.Count(told, want) != 1 {
			t.Errorf("a node that is %s is told of as %q, want %q", change, told, want)
		}
	}
}

func TestToastLiesOverNothingInUse(t *testing.T) {
	s := chatScreen(t)
	s.say("Copied")
	s.toast.content.Layout.Layout(s.toast.content.Objects, s.root.Size())
	note := s.toast.content.Objects[0]
	bottom := note.Position().Y + note.Size().Height
	if input := s.chat.input; bottom > fyne.CurrentApp().Driver().AbsolutePositionForObject(input).Y {
		t.Errorf("the note ends at %v, over the message at %v", bottom, fyne.CurrentApp().Driver().AbsolutePositionForObject(input).Y)
	}
	if picker := s.chat.picker; note.Position().Y < fyne.CurrentApp().Driver().AbsolutePositionForObject(picker).Y+picker.Size().Height {
		t.Errorf("the note begins at %v, over the choice of the model", note.Position().Y)
	}
}
