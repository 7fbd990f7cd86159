package theme

import (
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/test"
	base "fyne.io/fyne/v2/theme"

	"github.com/shoal-p2p/shoal/assets"
)

// TestEveryIconDraws finds drawings that the SVG library cannot read, or that come out empty.
func TestEveryIconDraws(t *testing.T) {
	test.NewTempApp(t)
	test.ApplyTheme(t, New(ModeDark))
	files, err := assets.Icons.ReadDir("icon")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d icons are built in: %v", len(files), err)
	}
	for _, f := range files {
		name := f.Name()[:len(f.Name())-len(".svg")]
		img := canvas.NewImageFromResource(NewIcon(name, base.ColorNameError))
		w := test.NewTempWindow(t, img)
		w.SetPadded(false)
		w.Resize(fyne.NewSquareSize(48))
		shot := w.Canvas().Capture()
		painted := 0
		for y := range 48 {
			for x := range 48 {
				if r, _, _, _ := shot.At(x, y).RGBA(); r>>8 > 0xC0 {
					painted++
				}
			}
		}
		if painted < 20 {
			t.Errorf("icon %s paints %d points in its colour", name, painted)
		}
	}
}
