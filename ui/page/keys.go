package page

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
)

// pageKeys open the pages in the order of the rail, with Ctrl, or Command on a Mac.
var pageKeys = [...]fyne.KeyName{fyne.Key1, fyne.Key2, fyne.Key3, fyne.Key4, fyne.Key5}

// bindKeys makes the shortcuts of the window work.
func (s *Shell) bindKeys(c fyne.Canvas) {
	for _, key := range append(pageKeys[:], fyne.KeyN, fyne.KeyP, fyne.KeyComma) {
		c.AddShortcut(&desktop.CustomShortcut{KeyName: key, Modifier: fyne.KeyModifierShortcutDefault}, s.shortcut)
	}
}

// shortcut does what a shortcut says.
func (s *Shell) shortcut(pressed fyne.Shortcut) {
	custom, ok := pressed.(*desktop.CustomShortcut)
	if !ok || custom.Modifier != fyne.KeyModifierShortcutDefault {
		return
	}
	switch custom.KeyName {
	case fyne.KeyN:
		s.NewChat()
	case fyne.KeyP:
		s.TogglePause()
	case fyne.KeyComma:
		s.Show(Settings)
	}
	for i, key := range pageKeys {
		if key == custom.KeyName {
			s.Show(pageOrder[i])
		}
	}
}

// NewChat opens an empty conversation.
func (s *Shell) NewChat() {
	s.Show(Chat)
	s.chat.startNew()
}
