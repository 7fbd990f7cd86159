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

// ButtonKind is how much a button asks for attention.
type ButtonKind int

// The kinds of Button.
const (
	ButtonPlain   ButtonKind = iota // on a card
	ButtonPrimary                   // the one next thing
	ButtonGhost                     // in a row of small actions: no ground until the pointer is over it
	ButtonDanger                    // takes something away
)

// Button is a push button with a word, a drawing or both. It works with the pointer, Space and Enter.
type Button struct {
	fynewidget.DisableableWidget
	OnTapped func()

	text, icon       string
	kind             ButtonKind
	hovered, focused bool
	large            bool
}

// NewButton makes a button; text or icon may be empty.
func NewButton(kind ButtonKind, text, icon string, onTapped func()) *Button {
	b := &Button{text: text, icon: icon, kind: kind, OnTapped: onTapped}
	b.ExtendBaseWidget(b)
	return b
}

// NewLargeButton makes the one big button of a page.
func NewLargeButton(text, icon string, onTapped func()) *Button {
	b := NewButton(ButtonPrimary, text, icon, onTapped)
	b.large = true
	return b
}

// Text is the button's word.
func (b *Button) Text() string { return b.text }

// IconName is the button's drawing.
func (b *Button) IconName() string { return b.icon }

// Set changes the word and the drawing.
func (b *Button) Set(text, icon string) {
	if b.text != text || b.icon != icon {
		b.text, b.icon = text, icon
		b.Refresh()
	}
}

// SetEnabled enables or disables the button.
func (b *Button) SetEnabled(on bool) {
	if on == !b.Disabled() {
		return
	}
	if on {
		b.Enable()
	} else {
		b.Disable()
	}
}

var (
	_ fyne.Tappable      = (*Button)(nil)
	_ fyne.Focusable     = (*Button)(nil)
	_ desktop.Hoverable  = (*Button)(nil)
	_ desktop.Cursorable = (*Button)(nil)
)

// Tapped implements fyne.Tappable.
func (b *Button) Tapped(*fyne.PointEvent) {
	if !b.Disabled() && b.OnTapped != nil {
		b.OnTapped()
	}
}

// Cursor implements desktop.Cursorable.
func (b *Button) Cursor() desktop.Cursor {
	if b.Disabled() {
		return desktop.DefaultCursor
	}
	return desktop.PointerCursor
}

// MouseIn implements desktop.Hoverable.
func (b *Button) MouseIn(*desktop.MouseEvent) { b.hovered = true; b.Refresh() }

// MouseMoved implements desktop.Hoverable.
func (b *Button) MouseMoved(*desktop.MouseEvent) {}

// MouseOut implements desktop.Hoverable.
func (b *Button) MouseOut() { b.hovered = false; b.Refresh() }

// FocusGained implements fyne.Focusable.
func (b *Button) FocusGained() { b.focused = true; b.Refresh() }

// FocusLost implements fyne.Focusable.
func (b *Button) FocusLost() { b.focused = false; b.Refresh() }

// TypedRune implements fyne.Focusable.
func (b *Button) TypedRune(rune) {}

// TypedKey implements fyne.Focusable.
func (b *Button) TypedKey(e *fyne.KeyEvent) {
	switch e.Name {
	case fyne.KeySpace, fyne.KeyReturn, fyne.KeyEnter:
		b.Tapped(nil)
	}
}

// CreateRenderer implements fyne.Widget.
func (b *Button) CreateRenderer() fyne.WidgetRenderer {
	r := &buttonRenderer{b: b, ring: newRing(), back: canvas.NewRectangle(color.Transparent), label: canvas.NewText("", color.Transparent), img: &canvas.Image{FillMode: canvas.ImageFillContain}}
	r.paint()
	return r
}

// The ring around what has the keyboard stands off from it, in points: on a filled button a ring of the same colour
// could not be seen.
const (
	ringGap   = 2
	ringWidth = 2
)

func newRing() *canvas.Rectangle {
	r := canvas.NewRectangle(color.Transparent)
	r.StrokeWidth = ringWidth
	r.Hide()
	return r
}

type buttonRenderer struct {
	b     *Button
	back  *canvas.Rectangle
	ring  *canvas.Rectangle // around the button that has the keyboard
	label *canvas.Text
	img   *canvas.Image
}

// colors are the ground, the edge and the text of the button as it is now; an empty name is none.
func (r *buttonRenderer) colors() (ground, edge, text fyne.ThemeColorName) {
	b := r.b
	switch b.kind {
	case ButtonPrimary:
		ground, text = base.ColorNamePrimary, base.ColorNameForegroundOnPrimary
		if b.hovered {
			ground = theme.ColorAccentMore
		}
	case ButtonGhost:
		text = theme.ColorMuted
		if b.hovered {
			ground, text = theme.ColorRaised, base.ColorNameForeground
		}
	case ButtonDanger:
		ground, text = base.ColorNameError, base.ColorNameForegroundOnError
	default:
		ground, edge, text = theme.ColorRaised, theme.ColorBorder, base.ColorNameForeground
		if b.hovered {
			ground = theme.ColorRaisedMore
		}
	}
	if b.Disabled() {
		text = base.ColorNameDisabled
		if b.kind != ButtonGhost {
			ground, edge = theme.ColorRaised, theme.ColorBorder
		} else {
			ground = ""
		}
	}
	return ground, edge, text
}

func (r *buttonRenderer) paint() {
	ground, edge, text := r.colors()
	r.back.FillColor, r.back.StrokeColor, r.back.StrokeWidth = color.Transparent, color.Transparent, 0
	if ground != "" {
		r.back.FillColor = theme.Color(ground)
	}
	if edge != "" {
		r.back.StrokeColor, r.back.StrokeWidth = theme.Color(edge), 1
	}
	show(r.b.focused, r.ring)
	r.ring.StrokeColor = theme.Color(base.ColorNameForeground)
	r.ring.CornerRadius = theme.Size(base.SizeNameInputRadius) + ringGap
	r.back.CornerRadius = theme.Size(base.SizeNameInputRadius)
	r.label.Color = theme.Color(text)
	r.label.TextSize, r.label.TextStyle = theme.Size(base.SizeNameText), fyne.TextStyle{Bold: true}
	if r.b.kind == ButtonGhost {
		r.label.TextSize, r.label.TextStyle = theme.Size(theme.SizeSmallText), fyne.TextStyle{}
	}
	setLine(r.label, r.b.text)
	show(r.b.icon != "", r.img)
	if r.b.icon != "" {
		setIcon(r.img, theme.NewIcon(r.b.icon, text))
	}
}

// metrics are the height, the padding at the sides, the side of the drawing and the gap beside it.
func (r *buttonRenderer) metrics() (height, pad, icon, gap float32) {
	height, pad, icon, gap = theme.Size(theme.SizeControl), 14, 17, 7
	if r.b.large {
		height, pad = 46, 24
	}
	if r.b.kind == ButtonGhost {
		height, pad, icon = 30, 9, 16
	}
	if r.b.text == "" {
		pad, gap = (height-icon)/2, 0
	}
	if r.b.icon == "" {
		icon, gap = 0, 0
	}
	return height, pad, icon, gap
}

func (r *buttonRenderer) Layout(size fyne.Size) {
	r.back.Resize(size)
	r.ring.Move(fyne.NewPos(-ringGap-ringWidth, -ringGap-ringWidth))
	r.ring.Resize(size.AddWidthHeight(2*(ringGap+ringWidth), 2*(ringGap+ringWidth)))
	_, pad, icon, gap := r.metrics()
	text := r.label.MinSize()
	if r.b.text == "" {
		text.Width = 0
	}
	x := max(pad, (size.Width-icon-gap-text.Width)/2)
	r.img.Move(fyne.NewPos(x, (size.Height-icon)/2))
	r.img.Resize(fyne.NewSquareSize(icon))
	r.label.Move(fyne.NewPos(x+icon+gap, (size.Height-text.Height)/2))
	r.label.Resize(text)
}

func (r *buttonRenderer) MinSize() fyne.Size {
	height, pad, icon, gap := r.metrics()
	width := 2*pad + icon + gap
	if r.b.text != "" {
		width += r.label.MinSize().Width
	}
	return fyne.NewSize(width, height)
}

func (r *buttonRenderer) Refresh() {
	r.paint()
	r.Layout(r.b.Size())
	r.back.Refresh()
	r.ring.Refresh()
	r.label.Refresh()
}

func (r *buttonRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.back, r.ring, r.img, r.label}
}

func (r *buttonRenderer) Destroy() {}
