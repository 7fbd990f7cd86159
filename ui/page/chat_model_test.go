package page

import (
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/uitest"
)

// asked is a chat in which M has answered once.
func asked(t *testing.T) *screen {
	s := chatScreen(t)
	s.backend.Gates["Generate"] <- nil
	s.chat.ask("Hello")
	s.until("the answer has ended", func() bool { return s.lastTurn().State == model.TurnDone })
	return s
}

// A conversation must not go on with another model without a word: that one may run on other people's PCs.
func TestModelThatGoesIsNotReplaced(t *testing.T) {
	s := asked(t)
	all := s.backend.ModelsNow
	s.backend.Set(func(b *uitest.Backend) { b.ModelsNow = all[1:] })
	s.until("the model has gone", func() bool { return len(s.chat.usable) == 1 })
	s.chat.ask("And now?")
	s.chat.retry(s.chat.open)
	if n := len(s.backend.Requests); n != 1 {
		t.Fatalf("%d requests were sent; the last went to %q", n, s.backend.Requests[n-1].Model)
	}
	if !strings.Contains(s.chat.hint.Text(), "M cannot answer now") {
		t.Errorf("the page says %q", s.chat.hint.Text())
	}
	s.backend.Set(func(b *uitest.Backend) { b.ModelsNow = all })
	s.until("the model is back", func() bool { return len(s.chat.usable) == 2 })
	if s.chat.picker.Selected != "M" || strings.Contains(s.chat.hint.Text(), "cannot") {
		t.Errorf("the picker shows %q, the page says %q", s.chat.picker.Selected, s.chat.hint.Text())
	}
}

func TestChatWithAnotherModelIsANewConversation(t *testing.T) {
	s := asked(t)
	first := s.chat.open
	s.chat.useModel("m")
	if s.chat.open != first {
		t.Error("chat with the same model leaves its conversation")
	}
	s.chat.useModel("n")
	if s.chat.open == first || len(s.chat.open.Turns) != 0 {
		t.Error("the other model gets the conversation")
	}
	if s.chat.picker.Selected != s.chat.optionOf(s.chat.model()) || s.chat.model().ID != "n" {
		t.Errorf("%q answers next", s.chat.model().ID)
	}
}
