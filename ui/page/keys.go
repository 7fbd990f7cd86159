package page

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
)

// pageKeys open the pages in the order of the rail, with Ctrl, or Command on a Mac.
var pageKeys = [...]fyne.KeyName{fyne.Key1, fyne.Key2, fyne.Key3, fyne.Key4, fyne.Key5}

// shortcuts are the keys that work everywhere in the window, also in fields of text, with Ctrl, or Command on a Mac.
func (s *Shell) shortcuts() map[fyne.KeyName]func() {
	keys := map[fyne.KeyName]func(){
		fyne.KeyN:     s.NewChat,
		fyne.KeyP:     s.TogglePause,
		fyne.KeyComma: func() { s.Show(Settings) },
		fyne.KeyQ:     s.cfg.Quit,
		fyne.KeyW:     s.cfg.Close,
	}
	for i, key := range pageKeys {
		keys[key] = func() { s.Show(pageOrder[i]) }
	}
	return keys
}

// bindKeys makes the shortcuts of the window work.
func (s *Shell) bindKeys(c fyne.Canvas) {
	for key := range s.shortcuts() {
		c.AddShortcut(&desktop.CustomShortcut{KeyName: key, Modifier: fyne.KeyModifierShortcutDefault}, s.shortcut)
	}
}

// shortcut does what a shortcut says.
func (s *Shell) shortcut(pressed fyne.Shortcut) {
	custom, ok := pressed.(*desktop.CustomShortcut)
	if !ok || custom.Modifier != fyne.KeyModifierShortcutDefault {
		return
	}
	if do := s.shortcuts()[custom.KeyName]; do != nil {
		do()
	}
}

// NewChat opens an empty conversation.
func (s *Shell) NewChat() {
	s.Show(Chat)
	s.chat.startNew()
}
