package theme

import (
	"bytes"
	"fmt"
	"image/color"

	"fyne.io/fyne/v2"

	"github.com/shoal-p2p/shoal/assets"
)

// Icon is one of our drawings in a colour of the theme. It is drawn anew when the theme changes.
type Icon struct {
	name  string
	color fyne.ThemeColorName
	svg   []byte
}

// NewIcon returns the drawing assets/icon/NAME.svg; an unknown name is an empty picture.
func NewIcon(name string, c fyne.ThemeColorName) *Icon {
	svg, err := assets.Icons.ReadFile("icon/" + name + ".svg")
	if err != nil {
		svg = []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" viewBox="0 0 24 24"></svg>`)
	}
	return &Icon{name: name, color: c, svg: svg}
}

var _ fyne.Resource = (*Icon)(nil)

// Name implements fyne.Resource; it differs by colour, because pictures are cached by name.
func (i *Icon) Name() string { return i.name + "-" + hexOf(Color(i.color))[1:] + ".svg" }

// Content implements fyne.Resource.
func (i *Icon) Content() []byte {
	return bytes.ReplaceAll(i.svg, []byte("currentColor"), []byte(hexOf(Color(i.color))))
}

func hexOf(c color.Color) string {
	r, g, b, _ := c.RGBA()
	return fmt.Sprintf("#%02X%02X%02X", r>>8, g>>8, b>>8)
}

// Color is a colour of the running app's theme.
func Color(name fyne.ThemeColorName) color.Color {
	s := fyne.CurrentApp().Settings()
	return s.Theme().Color(name, s.ThemeVariant())
}

// Font is the font of a style in the running app's theme.
func Font(style fyne.TextStyle) fyne.Resource {
	return fyne.CurrentApp().Settings().Theme().Font(style)
}

// Size is a size of the running app's theme, in points.
func Size(name fyne.ThemeSizeName) float32 {
	return fyne.CurrentApp().Settings().Theme().Size(name)
}
