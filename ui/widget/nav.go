package widget

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/driver/desktop"
	base "fyne.io/fyne/v2/theme"
	fynewidget "fyne.io/fyne/v2/widget"

	"github.com/shoal-p2p/shoal/ui/theme"
)

// NavItem is one entry of a list of places: a page in the rail, a conversation in the chat list. One at a time is
// selected. A narrow item shows its drawing only.
type NavItem struct {
	fynewidget.BaseWidget
	OnTapped func()

	text, icon                         string
	selected, narrow, hovered, focused bool
	centred                            bool // in a row of choices: no mark, the word in the middle
}

// NewNavItem makes an entry; icon may be empty.
func NewNavItem(text, icon string, onTapped func()) *NavItem {
	n := &NavItem{text: text, icon: icon, OnTapped: onTapped}
	n.ExtendBaseWidget(n)
	return n
}

// Text is the entry's word.
func (n *NavItem) Text() string { return n.text }

// SetText changes the entry's word.
func (n *NavItem) SetText(text string) {
	if n.text != text {
		n.text = text
		n.Refresh()
	}
}

// Selected tells whether this is the place shown.
func (n *NavItem) Selected() bool { return n.selected }

// SetSelected marks the entry as the place shown.
func (n *NavItem) SetSelected(on bool) {
	if n.selected != on {
		n.selected = on
		n.Refresh()
	}
}

// SetNarrow hides the word where there is a drawing.
func (n *NavItem) SetNarrow(on bool) {
	if n.narrow != on {
		n.narrow = on
		n.Refresh()
	}
}

var (
	_ fyne.Tappable      = (*NavItem)(nil)
	_ fyne.Focusable     = (*NavItem)(nil)
	_ desktop.Hoverable  = (*NavItem)(nil)
	_ desktop.Cursorable = (*NavItem)(nil)
)

// Tapped implements fyne.Tappable.
func (n *NavItem) Tapped(*fyne.PointEvent) {
	if n.OnTapped != nil {
		n.OnTapped()
	}
}

// Cursor implements desktop.Cursorable.
func (n *NavItem) Cursor() desktop.Cursor { return desktop.PointerCursor }

// MouseIn implements desktop.Hoverable.
func (n *NavItem) MouseIn(*desktop.MouseEvent) { n.hovered = true; n.Refresh() }

// MouseMoved implements desktop.Hoverable.
func (n *NavItem) MouseMoved(*desktop.MouseEvent) {}

// MouseOut implements desktop.Hoverable.
func (n *NavItem) MouseOut() { n.hovered = false; n.Refresh() }

// FocusGained implements fyne.Focusable.
func (n *NavItem) FocusGained() { n.focused = true; n.Refresh() }

// FocusLost implements fyne.Focusable.
func (n *NavItem) FocusLost() { n.focused = false; n.Refresh() }

// TypedRune implements fyne.Focusable.
func (n *NavItem) TypedRune(rune) {}

// TypedKey implements fyne.Focusable.
func (n *NavItem) TypedKey(e *fyne.KeyEvent) {
	switch e.Name {
	case fyne.KeySpace, fyne.KeyReturn, fyne.KeyEnter:
		n.Tapped(nil)
	}
}

// CreateRenderer implements fyne.Widget.
func (n *NavItem) CreateRenderer() fyne.WidgetRenderer {
	r := &navRenderer{
		n: n, back: canvas.NewRectangle(color.Transparent), mark: canvas.NewRectangle(color.Transparent),
		label: canvas.NewText("", color.Transparent), img: &canvas.Image{FillMode: canvas.ImageFillContain},
	}
	r.paint()
	return r
}

type navRenderer struct {
	n          *NavItem
	back, mark *canvas.Rectangle
	label      *canvas.Text
	img        *canvas.Image
}

const (
	navHeight = 38
	navIcon   = 20
	navPad    = 12
)

func (r *navRenderer) paint() {
	text := theme.ColorMuted
	r.back.FillColor, r.back.StrokeWidth = color.Transparent, 0
	r.mark.FillColor = color.Transparent
	switch {
	case r.n.selected:
		text = base.ColorNameForeground
		r.back.FillColor = theme.Color(theme.ColorAccentSoft)
		r.mark.FillColor = theme.Color(base.ColorNamePrimary)
	case r.n.hovered:
		text = base.ColorNameForeground
		r.back.FillColor = theme.Color(base.ColorNameHover)
	}
	if r.n.centred {
		r.mark.FillColor = color.Transparent
	}
	if r.n.focused {
		r.back.StrokeColor, r.back.StrokeWidth = theme.Color(base.ColorNameFocus), 2
	}
	r.back.CornerRadius = theme.Size(base.SizeNameInputRadius)
	r.mark.CornerRadius = 1.5
	r.label.Color, r.label.TextSize = theme.Color(text), theme.Size(base.SizeNameText)
	r.label.TextStyle = fyne.TextStyle{Bold: r.n.selected}
	show(r.n.icon != "", r.img)
	if r.n.icon != "" {
		if r.n.selected {
			text = base.ColorNamePrimary
		}
		setIcon(r.img, theme.NewIcon(r.n.icon, text))
	}
}

func (r *navRenderer) Layout(size fyne.Size) {
	r.back.Resize(size)
	r.mark.Move(fyne.NewPos(0, 10))
	r.mark.Resize(fyne.NewSize(3, size.Height-20))
	x := float32(navPad)
	if r.n.icon != "" {
		if r.n.narrow {
			x = (size.Width - navIcon) / 2
		}
		r.img.Move(fyne.NewPos(x, (size.Height-navIcon)/2))
		r.img.Resize(fyne.NewSquareSize(navIcon))
		x += navIcon + navPad
	}
	setLine(r.label, ellipsis(r.n.text, size.Width-x-navPad, r.label.TextSize, r.label.TextStyle))
	if r.n.narrow && r.n.icon != "" {
		r.label.Text = ""
	}
	m := r.label.MinSize()
	if r.n.centred {
		x = (size.Width - m.Width) / 2
	}
	r.label.Move(fyne.NewPos(x, (size.Height-m.Height)/2))
	r.label.Resize(m)
	r.label.Refresh()
}

func (r *navRenderer) MinSize() fyne.Size { return fyne.NewSize(navIcon+2*navPad, navHeight) }

func (r *navRenderer) Refresh() {
	r.paint()
	r.Layout(r.n.Size())
	r.back.Refresh()
	r.mark.Refresh()
}

func (r *navRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.back, r.mark, r.img, r.label}
}

func (r *navRenderer) Destroy() {}
