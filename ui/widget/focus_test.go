package widget

import (
	"image"
	"image/color"
	"math"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/test"

	"github.com/shoal-p2p/shoal/ui/theme"
)

// luminance is the relative luminance of the WCAG.
func luminance(c color.Color) float64 {
	r, g, b, _ := c.RGBA()
	channel := func(v uint32) float64 {
		f := float64(v) / 0xFFFF
		if f <= 0.04045 {
			return f / 12.92
		}
		return math.Pow((f+0.055)/1.055, 2.4)
	}
	return 0.2126*channel(r) + 0.7152*channel(g) + 0.0722*channel(b)
}

func contrast(a, b color.Color) float64 {
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// changed counts the points that stand out, with the contrast that the WCAG wants of edges, against what was there.
func changed(before, after image.Image) int {
	n, b := 0, after.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if contrast(before.At(x, y), after.At(x, y)) >= 3 {
				n++
			}
		}
	}
	return n
}

// Who uses the keyboard must see which button has it, whatever its colour.
func TestFocusIsSeenOnEveryButton(t *testing.T) {
	for _, mode := range []theme.Mode{theme.ModeDark, theme.ModeLight} {
		for kind := ButtonPlain; kind <= ButtonDanger; kind++ {
			newApp(t)
			test.ApplyTheme(t, theme.New(mode))
			b := NewButton(kind, "Open chat", "", func() {})
			w := shown(t, container.NewCenter(container.NewStack(b)), 300, 120)
			before := w.Canvas().Capture()
			w.Canvas().Focus(fyne.Focusable(b))
			if n := changed(before, w.Canvas().Capture()); n < int(2*b.Size().Width) {
				t.Errorf("%s: focus changes %d points of a button of kind %d, too few to be seen", mode, n, kind)
			}
		}
	}
}
