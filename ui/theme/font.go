package theme

import (
	"fyne.io/fyne/v2"
	base "fyne.io/fyne/v2/theme"

	"github.com/shoal-p2p/shoal/assets"
)

// fonts are the faces of the theme; characters they lack come from Fyne's own.
type fonts struct {
	regular, bold, italic, boldItalic fyne.Resource
}

func loadFonts() fonts {
	return fonts{
		regular: face("Inter-Regular.ttf"), bold: face("Inter-SemiBold.ttf"),
		italic: face("Inter-Italic.ttf"), boldItalic: face("Inter-SemiBoldItalic.ttf"),
	}
}

// face reads a built-in font; nil, which means Fyne's own, cannot happen while the file is embedded.
func face(name string) fyne.Resource {
	b, err := assets.Fonts.ReadFile("font/" + name)
	if err != nil {
		return nil
	}
	return fyne.NewStaticResource(name, b)
}

func (f *fonts) pick(s fyne.TextStyle) fyne.Resource {
	switch {
	case s.Monospace, s.Symbol:
		return base.DefaultTheme().Font(s)
	case s.Bold && s.Italic && f.boldItalic != nil:
		return f.boldItalic
	case s.Bold && f.bold != nil:
		return f.bold
	case s.Italic && f.italic != nil:
		return f.italic
	case f.regular != nil:
		return f.regular
	}
	return base.DefaultTheme().Font(s)
}
