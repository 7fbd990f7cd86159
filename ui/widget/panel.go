package widget

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	base "fyne.io/fyne/v2/theme"
	fynewidget "fyne.io/fyne/v2/widget"

	"github.com/shoal-p2p/shoal/ui/theme"
)

// Panel is a rounded area with content on it.
type Panel struct {
	fynewidget.BaseWidget
	content      fyne.CanvasObject
	fill, stroke fyne.ThemeColorName
	radius       fyne.ThemeSizeName
	padX, padY   float32
}

// NewCard makes the panel that groups things on a page.
func NewCard(content fyne.CanvasObject) *Panel {
	pad := theme.Size(theme.SizeCard)
	return newPanel(content, theme.ColorSurface, theme.ColorBorder, theme.SizeRadius, pad, pad)
}

// NewWell makes a panel sunk into a card: code, keys, addresses.
func NewWell(content fyne.CanvasObject) *Panel {
	return newPanel(content, base.ColorNameInputBackground, base.ColorNameInputBorder, base.SizeNameInputRadius, 12, 10)
}

// NewArea makes a plain coloured area without padding or corners.
func NewArea(fill fyne.ThemeColorName, content fyne.CanvasObject) *Panel {
	return newPanel(content, fill, "", "", 0, 0)
}

func newPanel(content fyne.CanvasObject, fill, stroke fyne.ThemeColorName, radius fyne.ThemeSizeName, padX, padY float32) *Panel {
	p := &Panel{content: content, fill: fill, stroke: stroke, radius: radius, padX: padX, padY: padY}
	p.ExtendBaseWidget(p)
	return p
}

// SetStroke changes the colour of the edge.
func (p *Panel) SetStroke(c fyne.ThemeColorName) {
	if p.stroke != c {
		p.stroke = c
		p.Refresh()
	}
}

// CreateRenderer implements fyne.Widget.
func (p *Panel) CreateRenderer() fyne.WidgetRenderer {
	r := &panelRenderer{p: p, back: canvas.NewRectangle(color.Transparent)}
	r.paint()
	return r
}

type panelRenderer struct {
	p    *Panel
	back *canvas.Rectangle
}

func (r *panelRenderer) paint() {
	r.back.FillColor = theme.Color(r.p.fill)
	r.back.StrokeWidth = 0
	if r.p.stroke != "" {
		r.back.StrokeColor, r.back.StrokeWidth = theme.Color(r.p.stroke), 1
	}
	if r.p.radius != "" {
		r.back.CornerRadius = theme.Size(r.p.radius)
	}
}

func (r *panelRenderer) Layout(size fyne.Size) {
	r.back.Resize(size)
	r.p.content.Move(fyne.NewPos(r.p.padX, r.p.padY))
	r.p.content.Resize(size.SubtractWidthHeight(2*r.p.padX, 2*r.p.padY))
}

func (r *panelRenderer) MinSize() fyne.Size {
	return r.p.content.MinSize().AddWidthHeight(2*r.p.padX, 2*r.p.padY)
}

func (r *panelRenderer) Refresh() {
	r.paint()
	r.Layout(r.p.Size())
	r.back.Refresh()
	r.p.content.Refresh()
}

func (r *panelRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{r.back, r.p.content}
}

func (r *panelRenderer) Destroy() {}

// NewNote makes the panel of a short note that floats over a page.
func NewNote(content fyne.CanvasObject) *Panel {
	return newPanel(content, theme.ColorRaisedMore, theme.ColorBorder, theme.SizeRadius, 20, 12)
}

// NewFrame draws an edge around a control that has none of its own.
func NewFrame(control fyne.CanvasObject) *Panel {
	return newPanel(control, base.ColorNameInputBackground, base.ColorNameInputBorder, base.SizeNameInputRadius, 1, 1)
}
