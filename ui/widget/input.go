package widget

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	fynewidget "fyne.io/fyne/v2/widget"
)

// ChatEntry is where a message is written: Enter sends it, Shift and Enter start a new line.
type ChatEntry struct {
	fynewidget.Entry
	OnSend     func(text string)
	OnEscape   func()
	OnShortcut func(fyne.Shortcut) // shortcuts that are not about text
	shift      bool
}

// NewChatEntry makes an empty entry.
func NewChatEntry(placeholder string) *ChatEntry {
	e := &ChatEntry{}
	e.MultiLine = true
	e.Wrapping = fyne.TextWrapWord
	e.PlaceHolder = placeholder
	e.SetMinRowsVisible(2)
	e.ExtendBaseWidget(e)
	return e
}

var _ desktop.Keyable = (*ChatEntry)(nil)

// KeyDown implements desktop.Keyable.
func (e *ChatEntry) KeyDown(k *fyne.KeyEvent) {
	if k.Name == desktop.KeyShiftLeft || k.Name == desktop.KeyShiftRight {
		e.shift = true
	}
	e.Entry.KeyDown(k)
}

// KeyUp implements desktop.Keyable.
func (e *ChatEntry) KeyUp(k *fyne.KeyEvent) {
	if k.Name == desktop.KeyShiftLeft || k.Name == desktop.KeyShiftRight {
		e.shift = false
	}
	e.Entry.KeyUp(k)
}

// FocusLost implements fyne.Focusable; a Shift released elsewhere is not seen here.
func (e *ChatEntry) FocusLost() {
	e.shift = false
	e.Entry.FocusLost()
}

// TypedShortcut implements fyne.Shortcutable.
func (e *ChatEntry) TypedShortcut(s fyne.Shortcut) {
	if _, ours := s.(*desktop.CustomShortcut); ours && e.OnShortcut != nil {
		e.OnShortcut(s)
		return
	}
	e.Entry.TypedShortcut(s)
}

// TypedKey implements fyne.Focusable.
func (e *ChatEntry) TypedKey(k *fyne.KeyEvent) {
	switch {
	case (k.Name == fyne.KeyReturn || k.Name == fyne.KeyEnter) && !e.shift:
		if e.OnSend != nil {
			e.OnSend(e.Text)
		}
	case k.Name == fyne.KeyReturn || k.Name == fyne.KeyEnter:
		// Fyne submits on Shift and Enter; here they are a new line.
		e.Entry.TypedRune('\n')
	case k.Name == fyne.KeyEscape && e.OnEscape != nil:
		e.OnEscape()
	default:
		e.Entry.TypedKey(k)
	}
}

// LineEntry is where one line is written. Shortcuts that are not about text are passed on.
type LineEntry struct {
	fynewidget.Entry
	OnShortcut func(fyne.Shortcut)
}

// NewLineEntry makes an empty entry.
func NewLineEntry(placeholder string) *LineEntry {
	e := &LineEntry{}
	e.PlaceHolder = placeholder
	e.ExtendBaseWidget(e)
	return e
}

// TypedShortcut implements fyne.Shortcutable.
func (e *LineEntry) TypedShortcut(s fyne.Shortcut) {
	if _, ours := s.(*desktop.CustomShortcut); ours && e.OnShortcut != nil {
		e.OnShortcut(s)
		return
	}
	e.Entry.TypedShortcut(s)
}
