package widget

import (
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"

	"github.com/shoal-p2p/shoal/ui/theme"
)

// faceOf is the font that draws a bold or monospaced text by itself, or nil. Without it Fyne loads, for each style that
// is used, all the fonts that may be needed one day: its own, that of the language, and the one for emoji, which alone
// takes 4 MB. Regular text needs those anyway, and so does text beyond the letters of Europe.
func faceOf(text string, style fyne.TextStyle) fyne.Resource {
	if !style.Bold && !style.Monospace || strings.ContainsFunc(text, uncommon) {
		return nil
	}
	return theme.Font(style)
}

// uncommon tells whether a character may be missing in the built-in fonts.
func uncommon(r rune) bool { return r >= 0x180 && !strings.ContainsRune("–—‘’“”•…", r) }

// sizeOf is the size of a text on one line.
func sizeOf(text string, size float32, style fyne.TextStyle) fyne.Size {
	s, _ := fyne.CurrentApp().Driver().RenderedTextSize(text, size, style, faceOf(text, style))
	return s
}

// setLine changes a line's text.
func setLine(line *canvas.Text, text string) {
	line.Text, line.FontSource = text, faceOf(text, line.TextStyle)
}
