package widget

import (
	"fyne.io/fyne/v2"
	base "fyne.io/fyne/v2/theme"
	fynewidget "fyne.io/fyne/v2/widget"

	"github.com/shoal-p2p/shoal/ui/model"
)

// Tile is one figure with its label.
type Tile struct {
	fynewidget.BaseWidget
	value, label *Text
	body         fyne.CanvasObject
}

// NewTile makes an empty tile.
func NewTile() *Tile {
	t := &Tile{value: NewShrinkingText(RoleFigure, ""), label: NewShrinkingText(RoleSmall, "")}
	t.body = NewCard(Column(2, t.value, t.label))
	t.ExtendBaseWidget(t)
	return t
}

// Set shows a figure.
func (t *Tile) Set(m model.Tile) {
	t.value.SetText(m.Value)
	t.label.SetText(Say(m.Label))
}

// CreateRenderer implements fyne.Widget.
func (t *Tile) CreateRenderer() fyne.WidgetRenderer { return newBody(t.body) }

// CopyLine shows a text to be used elsewhere, in a well, with a button that copies it. A secret one is covered until
// it is asked for; copying works all the same.
type CopyLine struct {
	fynewidget.BaseWidget
	OnCopy func(text string)

	text, plain    string
	secret, opened bool
	shown          *Text
	reveal         *Button
	body           fyne.CanvasObject
}

// NewCopyLine makes an empty line.
func NewCopyLine(secret bool) *CopyLine {
	c := &CopyLine{secret: secret, shown: NewShrinkingText(RoleMono, "")}
	c.reveal = NewButton(ButtonGhost, "", "eye", func() { c.opened = !c.opened; c.redraw() })
	show(secret, c.reveal)
	copyText := NewButton(ButtonGhost, "", "copy", func() {
		if c.OnCopy != nil {
			c.OnCopy(c.text)
		}
	})
	c.body = newPanel(Ends(c.shown, Row(2, c.reveal, copyText)), base.ColorNameInputBackground, base.ColorNameInputBorder, base.SizeNameInputRadius, 12, 4)
	c.ExtendBaseWidget(c)
	return c
}

// Set changes the text.
func (c *CopyLine) Set(text string) { c.SetShown(text, text) }

// SetShown changes the text, and shows another one in its place.
func (c *CopyLine) SetShown(text, shown string) {
	c.text, c.plain = text, shown
	c.redraw()
}

// Text is what is copied.
func (c *CopyLine) Text() string { return c.text }

// Shown is what is drawn.
func (c *CopyLine) Shown() string { return c.shown.Text() }

func (c *CopyLine) redraw() {
	if c.secret && !c.opened && c.text != "" {
		c.shown.SetText("••••••••••••••••••••••••")
		return
	}
	c.shown.SetText(c.plain)
}

// CreateRenderer implements fyne.Widget.
func (c *CopyLine) CreateRenderer() fyne.WidgetRenderer { return newBody(c.body) }
