package widget

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
)

// Column stacks things from top to bottom with a gap, each as wide as the column. It gives text that wraps its width
// first and asks for the height then.
func Column(gap float32, objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(&column{gap: gap}, objects...)
}

type column struct{ gap float32 }

func (c *column) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	y := float32(0)
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		o.Move(fyne.NewPos(0, y))
		if o.Size().Width != size.Width {
			o.Resize(fyne.NewSize(size.Width, max(o.Size().Height, o.MinSize().Height)))
		}
		h := o.MinSize().Height
		o.Resize(fyne.NewSize(size.Width, h))
		y += h + c.gap
	}
}

func (c *column) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var size fyne.Size
	n := 0
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		m := o.MinSize()
		size = fyne.NewSize(max(size.Width, m.Width), size.Height+m.Height)
		n++
	}
	size.Height += c.gap * float32(max(0, n-1))
	return size
}

// Row puts things side by side with a gap, each as wide as it needs and centred in height.
func Row(gap float32, objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(&row{gap: gap}, objects...)
}

type row struct{ gap float32 }

func (r *row) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	x := float32(0)
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		m := o.MinSize()
		o.Move(fyne.NewPos(x, (size.Height-m.Height)/2))
		o.Resize(m)
		x += m.Width + r.gap
	}
}

func (r *row) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var size fyne.Size
	n := 0
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		m := o.MinSize()
		size = fyne.NewSize(size.Width+m.Width, max(size.Height, m.Height))
		n++
	}
	size.Width += r.gap * float32(max(0, n-1))
	return size
}

// Ends puts left at the left, giving it all the room that right leaves; both are centred in height.
func Ends(left, right fyne.CanvasObject) *fyne.Container {
	return container.New(&ends{gap: 12}, left, right)
}

type ends struct{ gap float32 }

func (e *ends) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	left, right := objects[0], objects[1]
	room := size.Width
	if right.Visible() {
		m := right.MinSize()
		right.Resize(m)
		right.Move(fyne.NewPos(size.Width-m.Width, (size.Height-m.Height)/2))
		room -= m.Width + e.gap
	}
	left.Resize(fyne.NewSize(max(0, room), left.MinSize().Height))
	h := left.MinSize().Height
	left.Resize(fyne.NewSize(max(0, room), h))
	left.Move(fyne.NewPos(0, (size.Height-h)/2))
}

func (e *ends) MinSize(objects []fyne.CanvasObject) fyne.Size {
	l := objects[0].MinSize()
	if !objects[1].Visible() {
		return l
	}
	r := objects[1].MinSize()
	return fyne.NewSize(l.Width+e.gap+r.Width, max(l.Height, r.Height))
}

// Inset puts space around a thing.
func Inset(left, top, right, bottom float32, o fyne.CanvasObject) *fyne.Container {
	return container.New(&inset{left, top, right, bottom}, o)
}

type inset struct{ left, top, right, bottom float32 }

func (i *inset) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	for _, o := range objects {
		o.Move(fyne.NewPos(i.left, i.top))
		o.Resize(size.SubtractWidthHeight(i.left+i.right, i.top+i.bottom))
	}
}

func (i *inset) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var m fyne.Size
	for _, o := range objects {
		m = m.Max(o.MinSize())
	}
	return m.AddWidthHeight(i.left+i.right, i.top+i.bottom)
}

// Measure keeps a thing readable: at most width points wide, in the middle of wider space.
func Measure(width float32, o fyne.CanvasObject) *fyne.Container {
	return container.New(&measure{width}, o)
}

type measure struct{ width float32 }

func (m *measure) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	w := min(size.Width, m.width)
	for _, o := range objects {
		o.Move(fyne.NewPos((size.Width-w)/2, 0))
		o.Resize(fyne.NewSize(w, size.Height))
	}
}

func (m *measure) MinSize(objects []fyne.CanvasObject) fyne.Size { return largest(objects) }

// Grid puts things in as many equal columns as fit, each at least width points wide.
func Grid(width, gap float32, objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(&grid{width: width, gap: gap}, objects...)
}

type grid struct {
	width, gap float32
	columns    int // of the last layout
}

func (g *grid) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	n := len(objects)
	if n == 0 {
		return
	}
	g.columns = min(max(1, int((size.Width+g.gap)/(g.width+g.gap))), n)
	w := (size.Width - g.gap*float32(g.columns-1)) / float32(g.columns)
	y := float32(0)
	for first := 0; first < n; first += g.columns {
		line := objects[first:min(first+g.columns, n)]
		h := float32(0)
		for _, o := range line {
			if o.Size().Width != w {
				o.Resize(fyne.NewSize(w, max(o.Size().Height, o.MinSize().Height)))
			}
			h = max(h, o.MinSize().Height)
		}
		for i, o := range line {
			o.Move(fyne.NewPos(float32(i)*(w+g.gap), y))
			o.Resize(fyne.NewSize(w, h))
		}
		y += h + g.gap
	}
}

func (g *grid) MinSize(objects []fyne.CanvasObject) fyne.Size {
	columns := max(1, g.columns)
	var size fyne.Size
	for first := 0; first < len(objects); first += columns {
		h := float32(0)
		for _, o := range objects[first:min(first+columns, len(objects))] {
			m := o.MinSize()
			size.Width = max(size.Width, m.Width)
			h = max(h, m.Height)
		}
		if first > 0 {
			size.Height += g.gap
		}
		size.Height += h
	}
	return size
}

// Fixed gives a thing a size of its own.
func Fixed(width, height float32, o fyne.CanvasObject) *fyne.Container {
	return container.New(&fixed{fyne.NewSize(width, height)}, o)
}

type fixed struct{ size fyne.Size }

func (f *fixed) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	for _, o := range objects {
		o.Move(fyne.NewPos(0, 0))
		o.Resize(size)
	}
}

func (f *fixed) MinSize([]fyne.CanvasObject) fyne.Size { return f.size }

func largest(objects []fyne.CanvasObject) fyne.Size {
	var m fyne.Size
	for _, o := range objects {
		m = m.Max(o.MinSize())
	}
	return m
}

// Lead puts a small thing at the top left and gives the rest of the width to the other.
func Lead(gap float32, first, rest fyne.CanvasObject) *fyne.Container {
	return container.New(&lead{gap: gap}, first, rest)
}

type lead struct{ gap float32 }

func (l *lead) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	m := objects[0].MinSize()
	objects[0].Move(fyne.NewPos(0, 0))
	objects[0].Resize(m)
	objects[1].Move(fyne.NewPos(m.Width+l.gap, 0))
	objects[1].Resize(fyne.NewSize(max(0, size.Width-m.Width-l.gap), size.Height))
}

func (l *lead) MinSize(objects []fyne.CanvasObject) fyne.Size {
	a, b := objects[0].MinSize(), objects[1].MinSize()
	return fyne.NewSize(a.Width+l.gap+b.Width, max(a.Height, b.Height))
}

// Wide is Ends where there is room, and left above right where the width is under the break.
func Wide(least float32, left, right fyne.CanvasObject) *fyne.Container {
	return container.New(&wide{least: least}, left, right)
}

type wide struct {
	least   float32
	stacked bool
}

func (w *wide) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	w.stacked = size.Width < w.least
	if !w.stacked {
		(&ends{gap: 24}).Layout(objects, size)
		return
	}
	left, right := objects[0], objects[1]
	left.Resize(fyne.NewSize(size.Width, left.MinSize().Height))
	h := left.MinSize().Height
	left.Resize(fyne.NewSize(size.Width, h))
	left.Move(fyne.NewPos(0, 0))
	right.Resize(right.MinSize())
	right.Move(fyne.NewPos(0, h+10))
}

func (w *wide) MinSize(objects []fyne.CanvasObject) fyne.Size {
	l, r := objects[0].MinSize(), objects[1].MinSize()
	if w.stacked {
		return fyne.NewSize(max(l.Width, r.Width), l.Height+10+r.Height)
	}
	return fyne.NewSize(max(l.Width, r.Width), max(l.Height, r.Height))
}

// Roomy is Ends that leaves the right thing, a decoration, out where the width is under the break.
func Roomy(least float32, left, right fyne.CanvasObject) *fyne.Container {
	return container.New(&roomy{least}, left, right)
}

type roomy struct{ least float32 }

func (r *roomy) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	show(size.Width >= r.least, objects[1])
	(&ends{gap: 24}).Layout(objects, size)
}

func (r *roomy) MinSize(objects []fyne.CanvasObject) fyne.Size { return objects[0].MinSize() }

// Title puts a name and what is said of it on one line; both give way where there is too little room, what is said
// first.
func Title(gap float32, name, more fyne.CanvasObject) *fyne.Container {
	return container.New(&title{gap}, name, more)
}

type title struct{ gap float32 }

func (t *title) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	name, more := objects[0].MinSize(), objects[1].MinSize()
	w := min(name.Width, size.Width)
	objects[0].Move(fyne.NewPos(0, 0))
	objects[0].Resize(fyne.NewSize(w, name.Height))
	objects[1].Move(fyne.NewPos(w+t.gap, name.Height-more.Height-0.5))
	objects[1].Resize(fyne.NewSize(max(0, size.Width-w-t.gap), more.Height))
	show(size.Width-w-t.gap >= more.Width, objects[1])
}

func (t *title) MinSize(objects []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(shrunk, objects[0].MinSize().Height)
}
