package widget

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	base "fyne.io/fyne/v2/theme"
	fynewidget "fyne.io/fyne/v2/widget"

	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
)

// Part is one segment of a Bar.
type Part struct {
	Weight float64
	Color  fyne.ThemeColorName
}

// Bar is a thin rounded bar of one or more segments; what they leave of 1 is the empty track.
type Bar struct {
	fynewidget.BaseWidget
	parts  []Part
	height float32
}

// NewBar makes a bar height points high.
func NewBar(height float32) *Bar {
	b := &Bar{height: height}
	b.ExtendBaseWidget(b)
	return b
}

// SetParts changes the segments; their weights are shares of the whole.
func (b *Bar) SetParts(parts ...Part) {
	b.parts = parts
	b.Refresh()
}

// CreateRenderer implements fyne.Widget.
func (b *Bar) CreateRenderer() fyne.WidgetRenderer {
	r := &barRenderer{b: b, track: canvas.NewRectangle(color.Transparent)}
	r.Refresh()
	return r
}

type barRenderer struct {
	b        *Bar
	track    *canvas.Rectangle
	segments []*canvas.Rectangle
}

// Layout rounds the outer ends only, so that the segments read as one bar. A segment that is there is at least a
// hair wide.
func (r *barRenderer) Layout(size fyne.Size) {
	const hair = 3
	r.track.Resize(size)
	r.track.CornerRadius = size.Height / 2
	x := float32(0)
	for i, s := range r.segments {
		w := float32(r.b.parts[i].Weight) * size.Width
		if w > 0 {
			w = max(w, hair)
		}
		w = max(0, min(w, size.Width-x))
		s.Move(fyne.NewPos(x, 0))
		s.Resize(fyne.NewSize(w, size.Height))
		s.TopLeftCornerRadius, s.BottomLeftCornerRadius = 0, 0
		s.TopRightCornerRadius, s.BottomRightCornerRadius = 0, 0
		if x == 0 {
			s.TopLeftCornerRadius, s.BottomLeftCornerRadius = min(w, size.Height)/2, min(w, size.Height)/2
		}
		if x+w >= size.Width-0.5 || i == len(r.segments)-1 {
			s.TopRightCornerRadius, s.BottomRightCornerRadius = min(w, size.Height)/2, min(w, size.Height)/2
		}
		x += w
	}
}

func (r *barRenderer) MinSize() fyne.Size { return fyne.NewSize(40, r.b.height) }

func (r *barRenderer) Refresh() {
	r.track.FillColor = theme.Color(theme.ColorTrack)
	for len(r.segments) < len(r.b.parts) {
		r.segments = append(r.segments, canvas.NewRectangle(color.Transparent))
	}
	r.segments = r.segments[:len(r.b.parts)]
	for i, p := range r.b.parts {
		r.segments[i].FillColor = theme.Color(p.Color)
	}
	r.Layout(r.b.Size())
	r.track.Refresh()
	for _, s := range r.segments {
		s.Refresh()
	}
}

func (r *barRenderer) Objects() []fyne.CanvasObject {
	objects := []fyne.CanvasObject{r.track}
	for _, s := range r.segments {
		objects = append(objects, s)
	}
	return objects
}

func (r *barRenderer) Destroy() {}

// Gauge shows how a piece of hardware's memory is used: its name, one stacked bar and a legend with figures.
type Gauge struct {
	fynewidget.BaseWidget
	title, subtitle, summary *Text
	missing                  *Paragraph
	bar                      *Bar
	legend                   *fyne.Container
	body                     *fyne.Container
}

// NewGauge makes an empty gauge with a drawing beside its name.
func NewGauge(icon string) *Gauge {
	g := &Gauge{
		title: NewText(RoleHead, ""), subtitle: NewShrinkingText(RoleSmall, ""), summary: NewText(RoleSmall, ""),
		missing: NewParagraph(RoleMuted, ""), bar: NewBar(12), legend: Row(18),
	}
	name := Row(10, NewIcon(icon, theme.ColorMuted, 20), g.title)
	g.body = Column(10, Ends(name, g.summary), g.subtitle, g.bar, g.legend, g.missing)
	g.ExtendBaseWidget(g)
	return g
}

// Set shows a gauge.
func (g *Gauge) Set(m model.Gauge) {
	g.title.SetText(Say(m.Title))
	g.subtitle.SetText(m.Subtitle)
	g.summary.SetText(Say(m.Summary))
	g.missing.SetText(Say(m.Missing))
	show(m.Total > 0, g.bar, g.legend)
	show(m.Total == 0, g.missing)
	show(m.Subtitle != "", g.subtitle)
	var parts []Part
	var legend []fyne.CanvasObject
	for _, s := range m.Segments {
		c := segmentColor(s.Kind)
		if s.Kind != model.SegmentFree {
			parts = append(parts, Part{Weight: float64(s.Bytes) / float64(max(1, m.Total)), Color: c})
		}
		legend = append(legend, Row(7, newSwatch(c), NewText(RoleSmall, Say(s.Label)), NewText(RoleSmall, model.Bytes(s.Bytes))))
	}
	g.bar.SetParts(parts...)
	g.legend.Objects = legend
	g.Refresh()
}

func segmentColor(kind string) fyne.ThemeColorName {
	switch kind {
	case model.SegmentOurs:
		return base.ColorNamePrimary
	case model.SegmentOthers:
		return theme.ColorOthers
	}
	return theme.ColorTrack
}

// newSwatch is the colour sample of a legend.
func newSwatch(c fyne.ThemeColorName) fyne.CanvasObject {
	p := newPanel(Fixed(9, 9, canvas.NewRectangle(color.Transparent)), c, theme.ColorBorder, base.SizeNameScrollBarSmall, 0, 0)
	return p
}

// CreateRenderer implements fyne.Widget.
func (g *Gauge) CreateRenderer() fyne.WidgetRenderer { return newBody(g.body) }

// show shows or hides things.
func show(on bool, objects ...fyne.CanvasObject) {
	for _, o := range objects {
		if on {
			o.Show()
		} else {
			o.Hide()
		}
	}
}
