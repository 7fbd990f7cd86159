package page

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/lang"

	"github.com/shoal-p2p/shoal/assets"
	"github.com/shoal-p2p/shoal/ui/model"
	"github.com/shoal-p2p/shoal/ui/theme"
	"github.com/shoal-p2p/shoal/ui/widget"
)

// rail is the column at the left: the name, the pages, the node's state and the pause button.
type rail struct {
	content fyne.CanvasObject
	items   map[Name]*widget.NavItem
	name    *widget.Text
	status  *widget.Status
	pause   *widget.Button
	foot    *fyne.Container
	dot     *widget.Dot
	narrow  bool
	state   model.State
}

const (
	railWide   = 212
	railNarrow = 64
	// railBreak is the width of the window below which the rail shows drawings only.
	railBreak = 860
)

func newRail(s *Shell) *rail {
	r := &rail{items: map[Name]*widget.NavItem{}}
	icons := map[Name]string{Home: "home", Chat: "chat", Models: "models", Friends: "friends", Settings: "settings"}
	items := widget.Column(4)
	for _, n := range pageOrder {
		r.items[n] = widget.NewNavItem(lang.L(string(n)), icons[n], func() { s.Show(n) })
		items.Add(r.items[n])
	}
	logo := canvas.NewImageFromResource(fyne.NewStaticResource("icon.png", assets.Icon))
	logo.FillMode = canvas.ImageFillContain
	r.name = widget.NewText(widget.RoleHead, "Shoal")
	head := widget.Inset(2, 2, 0, 14, widget.Row(11, widget.Fixed(36, 36, logo), r.name))
	r.status = widget.NewStatus(model.StateStarting)
	r.pause = widget.NewButton(widget.ButtonGhost, "", "pause", s.TogglePause)
	r.dot = widget.NewDot(model.StateStarting)
	r.dot.Hide()
	r.foot = container.New(&footLayout{r}, r.dot, r.status, r.pause)
	r.content = widget.NewArea(theme.ColorRail, widget.Inset(12, 16, 12, 14, container.NewBorder(head, r.foot, nil, nil, items)))
	return r
}

// select_ marks the page shown.
func (r *rail) select_(n Name) {
	for name, item := range r.items {
		item.SetSelected(name == n)
	}
}

func (r *rail) set(state model.State) {
	if r.state == state {
		return
	}
	r.state = state
	r.status.Set(state, lang.L(string(state)))
	r.dot.SetState(state)
	icon := "pause"
	if state == model.StatePaused {
		icon = "load"
	}
	r.pause.Set("", icon)
	r.pause.SetEnabled(state != model.StateStarting)
	r.foot.Refresh()
}

// setNarrow shows drawings only.
func (r *rail) setNarrow(on bool) {
	if r.narrow == on {
		return
	}
	r.narrow = on
	for _, item := range r.items {
		item.SetNarrow(on)
	}
	if on {
		r.name.Hide()
		r.status.Hide()
		r.dot.Show()
	} else {
		r.name.Show()
		r.status.Show()
		r.dot.Hide()
	}
}

// railLayout puts the rail at the left; in a small window it gets narrow.
type railLayout struct{ rail *rail }

func (l *railLayout) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	w := float32(railWide)
	l.rail.setNarrow(size.Width < railBreak)
	if l.rail.narrow {
		w = railNarrow
	}
	objects[0].Move(fyne.NewPos(0, 0))
	objects[0].Resize(fyne.NewSize(w, size.Height))
	objects[1].Move(fyne.NewPos(w, 0))
	objects[1].Resize(fyne.NewSize(size.Width-w, size.Height))
}

func (l *railLayout) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.NewSize(480, 420) }

// footLayout puts the state and the pause button side by side, or one above the other in a narrow rail.
type footLayout struct{ rail *rail }

func (l *footLayout) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	dot, status, pause := objects[0], objects[1], objects[2]
	m := pause.MinSize()
	pause.Resize(m)
	if l.rail.narrow {
		dot.Resize(dot.MinSize())
		dot.Move(fyne.NewPos((size.Width-dot.MinSize().Width)/2, 0))
		pause.Move(fyne.NewPos((size.Width-m.Width)/2, size.Height-m.Height))
		return
	}
	pause.Move(fyne.NewPos(size.Width-m.Width, size.Height-m.Height))
	h := status.MinSize().Height
	status.Resize(fyne.NewSize(size.Width-m.Width-6, h))
	status.Move(fyne.NewPos(6, size.Height-(m.Height+h)/2))
}

func (l *footLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	m := objects[2].MinSize()
	if l.rail.narrow {
		return m.AddWidthHeight(0, 24)
	}
	return m
}
