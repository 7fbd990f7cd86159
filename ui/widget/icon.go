package widget

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	fynewidget "fyne.io/fyne/v2/widget"

	"github.com/shoal-p2p/shoal/ui/theme"
)

// Icon is one of our drawings.
type Icon struct {
	fynewidget.BaseWidget
	name  string
	color fyne.ThemeColorName
	side  float32
}

// NewIcon makes the drawing assets/icon/NAME.svg, side points wide and high.
func NewIcon(name string, c fyne.ThemeColorName, side float32) *Icon {
	i := &Icon{name: name, color: c, side: side}
	i.ExtendBaseWidget(i)
	return i
}

// Set changes the drawing and its colour.
func (i *Icon) Set(name string, c fyne.ThemeColorName) {
	if i.name != name || i.color != c {
		i.name, i.color = name, c
		i.Refresh()
	}
}

// CreateRenderer implements fyne.Widget.
func (i *Icon) CreateRenderer() fyne.WidgetRenderer {
	r := &iconRenderer{i, &canvas.Image{FillMode: canvas.ImageFillContain}}
	r.Refresh()
	return r
}

type iconRenderer struct {
	i   *Icon
	img *canvas.Image
}

func (r *iconRenderer) Layout(size fyne.Size) {
	side := min(r.i.side, size.Width, size.Height)
	r.img.Move(fyne.NewPos((size.Width-side)/2, (size.Height-side)/2))
	r.img.Resize(fyne.NewSquareSize(side))
}

func (r *iconRenderer) MinSize() fyne.Size { return fyne.NewSquareSize(r.i.side) }

func (r *iconRenderer) Refresh() { setIcon(r.img, theme.NewIcon(r.i.name, r.i.color)) }

// setIcon changes a picture, if it is another one: reading a drawing takes longer than showing it.
func setIcon(img *canvas.Image, icon *theme.Icon) {
	if img.Resource != nil && img.Resource.Name() == icon.Name() {
		return
	}
	img.Resource = fyne.NewStaticResource(icon.Name(), icon.Content())
	img.Refresh()
}

func (r *iconRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.img} }

func (r *iconRenderer) Destroy() {}
