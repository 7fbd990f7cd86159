package theme

import (
	"image/color"
	"math"
	"testing"

	"fyne.io/fyne/v2"
	base "fyne.io/fyne/v2/theme"
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

func TestTextIsReadable(t *testing.T) {
	surfaces := []fyne.ThemeColorName{base.ColorNameBackground, ColorRail, ColorSurface, ColorRaised, base.ColorNameInputBackground}
	texts := []fyne.ThemeColorName{base.ColorNameForeground, ColorMuted}
	for _, mode := range []Mode{ModeDark, ModeLight} {
		th := New(mode)
		check := func(text, surface fyne.ThemeColorName, atLeast float64) {
			t.Helper()
			got := contrast(th.Color(text, base.VariantDark), th.Color(surface, base.VariantDark))
			if got < atLeast {
				t.Errorf("%s: %s on %s has contrast %.2f, want %.1f", mode, text, surface, got, atLeast)
			}
		}
		for _, s := range surfaces {
			for _, text := range texts {
				check(text, s, 4.5)
			}
		}
		for _, s := range []fyne.ThemeColorName{base.ColorNameBackground, ColorSurface} {
			check(base.ColorNamePlaceHolder, s, 4.5)
			for _, c := range []fyne.ThemeColorName{base.ColorNamePrimary, base.ColorNameSuccess, base.ColorNameWarning, base.ColorNameError} {
				check(c, s, 4.5)
			}
		}
		check(base.ColorNameForegroundOnPrimary, base.ColorNamePrimary, 4.5)
		check(base.ColorNameForegroundOnPrimary, ColorAccentMore, 3.9)
		check(base.ColorNameForegroundOnError, base.ColorNameError, 4.5)
		check(base.ColorNameForeground, ColorAccentSoft, 7)
	}
}

func TestModeFollowsSystemOnlyWhenAsked(t *testing.T) {
	bg := func(m Mode, v fyne.ThemeVariant) color.Color { return New(m).Color(base.ColorNameBackground, v) }
	if bg(ModeSystem, base.VariantLight) != color.Color(light.background) || bg(ModeSystem, base.VariantDark) != color.Color(dark.background) {
		t.Error("the system mode does not follow the variant")
	}
	if bg(ModeDark, base.VariantLight) != color.Color(dark.background) || bg(ModeLight, base.VariantDark) != color.Color(light.background) {
		t.Error("a fixed mode follows the variant")
	}
}

func TestFontsAreBuiltIn(t *testing.T) {
	th := New(ModeDark)
	for _, s := range []fyne.TextStyle{{}, {Bold: true}, {Italic: true}, {Bold: true, Italic: true}} {
		if f := th.Font(s); f == nil || len(f.Content()) < 10_000 || f.Name()[:5] != "Inter" {
			t.Errorf("style %+v has no face of ours", s)
		}
	}
}
