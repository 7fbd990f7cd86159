package page

import (
	"slices"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/uitest"
)

func chatScreen(t *testing.T) *screen {
	b := uitest.New()
	b.ModelsNow = []admin.ModelInfo{uitest.Model("m", "M", admin.StatusLoaded, 4), uitest.Model("n", "N", admin.StatusReady, 4)}
	b.Answer = []core.Delta{{Text: "An "}, {Text: "**answer**"}}
	b.Gates["Generate"] = make(chan error, 1)
	s := newScreen(t, b)
	s.Show(Chat)
	return s
}

func (s *screen) lastTurn() model.Turn { return s.chat.open.Turns[len(s.chat.open.Turns)-1] }

func TestChatStreams(t *testing.T) {
	s := chatScreen(t)
	if s.send().Disabled() == false {
		t.Error("nothing can be sent, but the button is on")
	}
	test.Type(s.chat.input, "Hello")
	s.chat.input.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	s.until("the text streams", func() bool { return s.lastTurn().State == model.TurnWriting && s.lastTurn().Text == "An **answer**" })
	if s.send().IconName() != "stop" || s.chat.input.Text != "" {
		t.Errorf("while it streams the button is %q and the entry holds %q", s.send().IconName(), s.chat.input.Text)
	}
	s.backend.Gates["Generate"] <- nil
	s.until("the answer has ended", func() bool { return s.lastTurn().State == model.TurnDone })
	if s.send().IconName() != "send" || s.chat.title.Text() != "Hello" {
		t.Errorf("the button is %q, the title %q", s.send().IconName(), s.chat.title.Text())
	}
	s.press("Copy")
	if s.copied != "An **answer**" {
		t.Errorf("copied %q", s.copied)
	}
	s.press("Retry")
	s.backend.Gates["Generate"] <- nil
	s.until("the second answer has ended", func() bool { return s.lastTurn().State == model.TurnDone && len(s.backend.Requests) == 2 })
	if n := len(s.chat.open.Turns); n != 2 {
		t.Errorf("there are %d turns", n)
	}
}

func (s *screen) send() interface {
	IconName() string
	Disabled() bool
} {
	return s.chat.send
}

func TestStopKeepsWhatWasWritten(t *testing.T) {
	s := chatScreen(t)
	s.chat.ask("Hello")
	s.until("the text streams", func() bool { return s.lastTurn().State == model.TurnWriting })
	s.chat.input.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	s.until("the answer has stopped", func() bool { return s.lastTurn().State == model.TurnStopped })
	if s.lastTurn().Text != "An **answer**" || s.lastTurn().Problem != nil {
		t.Errorf("turn %+v", s.lastTurn())
	}
}

func TestChatThatFails(t *testing.T) {
	s := chatScreen(t)
	s.backend.Answer = nil
	s.backend.Gates["Generate"] <- core.Errorf(core.CodeEngineCrashed, "worker 4 ended with signal 9")
	s.chat.ask("Hello")
	s.until("the problem is shown", func() bool { return s.lastTurn().Problem != nil })
	if p := s.lastTurn().Problem; !strings.Contains(p.Details, "signal 9") {
		t.Errorf("problem %+v", p)
	}
	s.shoot("dark-chat-error")
}

func TestShiftEnterStartsALine(t *testing.T) {
	s := chatScreen(t)
	test.Type(s.chat.input, "one")
	s.chat.input.KeyDown(&fyne.KeyEvent{Name: "LeftShift"})
	s.chat.input.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	s.chat.input.KeyUp(&fyne.KeyEvent{Name: "LeftShift"})
	test.Type(s.chat.input, "two")
	if s.chat.input.Text != "one\ntwo" || len(s.chat.open.Turns) != 0 {
		t.Errorf("the entry holds %q", s.chat.input.Text)
	}
}

func TestConversationsAreApart(t *testing.T) {
	s := chatScreen(t)
	s.chat.ask("First")
	s.until("the text streams", func() bool { return s.lastTurn().State == model.TurnWriting })
	first := s.chat.open
	s.press("New chat")
	if s.chat.open == first || len(s.chat.open.Turns) != 0 {
		t.Fatal("there is no new conversation")
	}
	s.press("New chat") // an empty one is used again
	if len(s.chat.talks) != 2 {
		t.Errorf("there are %d conversations", len(s.chat.talks))
	}
	s.backend.Gates["Generate"] <- nil
	s.until("the first goes on in the background", func() bool { return first.Turns[1].State == model.TurnDone })
	if len(s.chat.thread.Objects) != 0 {
		t.Error("its answer is drawn in the other one")
	}
	test.Tap(first.item)
	if len(s.chat.thread.Objects) != 2 || first.item.Text() != "First" {
		t.Errorf("%d turns are drawn", len(s.chat.thread.Objects))
	}
}

func TestPickerChoosesTheModel(t *testing.T) {
	s := chatScreen(t)
	if s.chat.picker.Selected != "M" {
		t.Fatalf("the picker shows %q", s.chat.picker.Selected)
	}
	s.chat.picker.SetSelectedIndex(1)
	s.backend.Gates["Generate"] <- nil
	s.chat.ask("Hello")
	s.until("the answer has ended", func() bool { return s.lastTurn().State == model.TurnDone })
	if got := s.backend.Requests[0].Model; got != "n" {
		t.Errorf("model %q answered", got)
	}
	if s.lastTurn().Model != "N" {
		t.Errorf("the answer is by %q", s.lastTurn().Model)
	}
}

func TestChatWithoutModels(t *testing.T) {
	s := newScreen(t, uitest.New())
	s.Show(Chat)
	s.chat.ask("Hello")
	if len(s.chat.open.Turns) != 0 || len(s.backend.Requests) != 0 {
		t.Error("a message was sent to nobody")
	}
	s.press("Add a model")
	if s.Current() != Models {
		t.Errorf("Add a model opens %q", s.Current())
	}
}

func TestHostileTextIsDrawnAsText(t *testing.T) {
	s := chatScreen(t)
	s.backend.Answer = []core.Delta{
		{Text: "look ![x](http://127.0.0.1:1/a.png) at \u202Eevil\u202C [this](javascript:alert(1))\x1b[2J\n\n"},
		{Text: strings.Repeat("- item\n", 500)},
		{Text: "```\n" + strings.Repeat("W", 20_000)},
	}
	s.backend.Gates["Generate"] <- nil
	s.chat.ask(strings.Repeat("W", 5000))
	s.until("the answer has ended", func() bool { return s.lastTurn().State == model.TurnDone })
	s.shoot("dark-hostile")
	if w := s.Content().MinSize().Width; w > 1280 {
		t.Errorf("the window wants to be %v wide", w)
	}
}

func TestKeysOpenPages(t *testing.T) {
	s := chatScreen(t)
	press := func(key fyne.KeyName) {
		s.shortcut(newShortcut(key))
	}
	var seen []Name
	for _, key := range pageKeys {
		press(key)
		seen = append(seen, s.Current())
	}
	if !slices.Equal(seen, pageOrder[:]) {
		t.Errorf("keys open %v", seen)
	}
	press(fyne.KeyComma)
	if s.Current() != Settings {
		t.Errorf("Ctrl+, opens %q", s.Current())
	}
}
