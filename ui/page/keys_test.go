package page

import (
	"slices"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"
)

// What is typed on one page must not reach a field of another one, from where Enter would send it.
func TestKeysGoToThePageThatIsShown(t *testing.T) {
	s := chatScreen(t)
	for _, from := range pageOrder {
		for _, to := range pageOrder {
			s.Show(from)
			s.Show(to)
			focused := s.window.Canvas().Focused()
			if focused == fyne.Focusable(s.chat.input) != (to == Chat) {
				t.Errorf("from %s to %s: the message has the keyboard", from, to)
			}
			if focused == fyne.Focusable(s.friends.join.code) && to != Friends {
				t.Errorf("from %s to %s: the code of the friends has the keyboard", from, to)
			}
			if focused != nil && to != Chat {
				test.Type(focused, "x")
			}
			if s.chat.input.Text != "" {
				t.Fatalf("from %s to %s: the message holds %q", from, to, s.chat.input.Text)
			}
		}
	}
}

func TestNothingIsAskedFromAnotherPage(t *testing.T) {
	s := chatScreen(t)
	test.Type(s.chat.input, "Hello")
	s.Show(Models)
	s.chat.input.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	if n := len(s.chat.open.Turns); n > 0 || len(s.backend.Requests) > 0 {
		t.Errorf("%d turns were made while Models was shown", n)
	}
	if s.chat.input.Text != "Hello" {
		t.Errorf("the message holds %q; it should wait", s.chat.input.Text)
	}
}

// A field of text takes the keys before the window does, so it hands on what is not about text.
func TestEveryShortcutWorksInEveryField(t *testing.T) {
	s := chatScreen(t)
	for _, field := range []fyne.Shortcutable{s.chat.input, s.friends.join.code} {
		s.ends = nil
		for _, key := range []fyne.KeyName{fyne.KeyW, fyne.KeyQ} {
			field.TypedShortcut(&desktop.CustomShortcut{KeyName: key, Modifier: fyne.KeyModifierShortcutDefault})
		}
		if !slices.Equal(s.ends, []string{"close", "quit"}) {
			t.Errorf("Ctrl+W and Ctrl+Q in a field do %v", s.ends)
		}
		for i, key := range pageKeys {
			field.TypedShortcut(newShortcut(key))
			if s.Current() != pageOrder[i] {
				t.Errorf("%s in a field opens %s", key, s.Current())
			}
		}
	}
}
