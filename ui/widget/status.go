package widget

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/lang"
	base "fyne.io/fyne/v2/theme"
	fynewidget "fyne.io/fyne/v2/widget"

	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
)

// Dot shows a state by shape and colour: a disc when ready, a disc in a ring when at work, a ring when paused or
// starting, a square when something is wrong. A word stands beside it, never colour alone.
type Dot struct {
	fynewidget.BaseWidget
	state model.State
}

// NewDot makes the sign of a state.
func NewDot(s model.State) *Dot {
	d := &Dot{state: s}
	d.ExtendBaseWidget(d)
	return d
}

// SetState changes the state shown.
func (d *Dot) SetState(s model.State) {
	if d.state != s {
		d.state = s
		d.Refresh()
	}
}

// CreateRenderer implements fyne.Widget.
func (d *Dot) CreateRenderer() fyne.WidgetRenderer {
	r := &dotRenderer{d: d, core: canvas.NewRectangle(color.Transparent), ring: canvas.NewRectangle(color.Transparent)}
	r.paint()
	return r
}

type dotRenderer struct {
	d          *Dot
	core, ring *canvas.Rectangle
}

const dotSide = 12

func (r *dotRenderer) paint() {
	var c fyne.ThemeColorName
	core, ring := true, false
	square := false
	switch r.d.state {
	case model.StateReady:
		c = base.ColorNameSuccess
	case model.StateBusy, model.StateLoading:
		c, ring = base.ColorNamePrimary, true
	case model.StateWarning:
		c, square = base.ColorNameWarning, true
	default:
		c, core, ring = theme.ColorMuted, false, true
	}
	col := theme.Color(c)
	r.core.FillColor, r.ring.StrokeColor = color.Transparent, color.Transparent
	r.core.CornerRadius, r.ring.CornerRadius = 3.5, dotSide/2
	if core {
		r.core.FillColor = col
	}
	if square {
		r.core.CornerRadius = 1.5
	}
	r.ring.StrokeWidth = 0
	if ring {
		r.ring.StrokeColor, r.ring.StrokeWidth = col, 1.5
	}
}

func (r *dotRenderer) Layout(size fyne.Size) {
	x, y := (size.Width-dotSide)/2, (size.Height-dotSide)/2
	inner := float32(7)
	r.core.Move(fyne.NewPos(x+(dotSide-inner)/2, y+(dotSide-inner)/2))
	r.core.Resize(fyne.NewSquareSize(inner))
	r.ring.Move(fyne.NewPos(x, y))
	r.ring.Resize(fyne.NewSquareSize(dotSide))
}

func (r *dotRenderer) MinSize() fyne.Size { return fyne.NewSquareSize(dotSide) }

func (r *dotRenderer) Refresh() {
	r.paint()
	r.Layout(r.d.Size())
	r.core.Refresh()
	r.ring.Refresh()
}

func (r *dotRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.ring, r.core} }

func (r *dotRenderer) Destroy() {}

// Status is a Dot with its word.
type Status struct {
	fynewidget.BaseWidget
	dot  *Dot
	word *Text
	row  *fyne.Container
}

// NewStatus makes the sign and word of the node's state.
func NewStatus(s model.State) *Status {
	st := &Status{dot: NewDot(s), word: NewText(RoleSmall, lang.L(string(s)))}
	st.row = Row(8, st.dot, st.word)
	st.ExtendBaseWidget(st)
	return st
}

// Set changes the sign, and the word beside it.
func (s *Status) Set(state model.State, word string) {
	s.dot.SetState(state)
	s.word.SetText(word)
	s.row.Refresh()
}

// Word is the word shown.
func (s *Status) Word() string { return s.word.Text() }

// CreateRenderer implements fyne.Widget.
func (s *Status) CreateRenderer() fyne.WidgetRenderer { return newBody(s.row) }

// Badge says whether a model fits, by drawing, word and colour.
type Badge struct {
	fynewidget.BaseWidget
	icon *Icon
	word *Text
	row  *fyne.Container
}

// NewBadge makes the badge of a fit.
func NewBadge(f model.Fit) *Badge {
	b := &Badge{icon: NewIcon("fits", base.ColorNameSuccess, 15), word: NewText(RoleGood, "")}
	b.row = Row(5, b.icon, b.word)
	b.ExtendBaseWidget(b)
	b.Set(f)
	return b
}

// Set changes the fit; an empty one hides the badge.
func (b *Badge) Set(f model.Fit) {
	if f == "" {
		b.Hide()
		return
	}
	b.Show()
	b.word.SetText(lang.L(string(f)))
	switch f {
	case model.FitFriends:
		b.icon.Set("friends", base.ColorNamePrimary)
		b.word.SetRole(RoleAccent)
	case model.FitNotNow:
		b.icon.Set("toobig", base.ColorNameWarning)
		b.word.SetRole(RoleWarn)
	case model.FitTooBig:
		b.icon.Set("toobig", base.ColorNameError)
		b.word.SetRole(RoleBad)
	case model.FitSlow:
		b.icon.Set("slow", base.ColorNameWarning)
		b.word.SetRole(RoleWarn)
	default:
		b.icon.Set("fits", base.ColorNameSuccess)
		b.word.SetRole(RoleGood)
	}
	b.row.Refresh()
}

// CreateRenderer implements fyne.Widget.
func (b *Badge) CreateRenderer() fyne.WidgetRenderer { return newBody(b.row) }
