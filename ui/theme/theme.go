// Package theme is how Shoal looks: colours, type and spacing, in a dark and a light form.
package theme

import (
	"image/color"

	"fyne.io/fyne/v2"
	base "fyne.io/fyne/v2/theme"
)

// Mode is which form of the theme is used.
type Mode string

// The modes; ModeSystem follows the desktop.
const (
	ModeSystem Mode = "system"
	ModeDark   Mode = "dark"
	ModeLight  Mode = "light"
)

// Theme is a fyne.Theme. Make it with New.
type Theme struct {
	mode  Mode
	fonts fonts
}

// New makes the theme in one of its modes; an unknown mode is dark.
func New(mode Mode) *Theme { return &Theme{mode: mode, fonts: loadFonts()} }

var _ fyne.Theme = (*Theme)(nil)

// Color implements fyne.Theme.
func (t *Theme) Color(name fyne.ThemeColorName, variant fyne.ThemeVariant) color.Color {
	p := dark
	if t.mode == ModeLight || t.mode == ModeSystem && variant == base.VariantLight {
		p = light
	}
	if c, ok := p.color(name); ok {
		return c
	}
	return base.DefaultTheme().Color(name, variant)
}

// Font implements fyne.Theme.
func (t *Theme) Font(style fyne.TextStyle) fyne.Resource { return t.fonts.pick(style) }

// Icon implements fyne.Theme.
func (t *Theme) Icon(name fyne.ThemeIconName) fyne.Resource { return base.DefaultTheme().Icon(name) }

// Sizes of our own, in points.
const (
	SizeTitle     fyne.ThemeSizeName = "shoalTitle"     // the name of a page
	SizeCard      fyne.ThemeSizeName = "shoalCard"      // padding inside a card
	SizeGap       fyne.ThemeSizeName = "shoalGap"       // between cards
	SizeRadius    fyne.ThemeSizeName = "shoalRadius"    // corners of a card
	SizeControl   fyne.ThemeSizeName = "shoalControl"   // height of a button
	SizeFigure    fyne.ThemeSizeName = "shoalFigure"    // the number of a tile
	SizeSmallText fyne.ThemeSizeName = "shoalSmallText" // labels and facts
)

// Size implements fyne.Theme.
func (t *Theme) Size(name fyne.ThemeSizeName) float32 {
	switch name {
	case SizeTitle:
		return 26
	case SizeFigure:
		return 22
	case SizeSmallText:
		return 12.5
	case SizeCard:
		return 18
	case SizeGap:
		return 14
	case SizeRadius:
		return 12
	case SizeControl:
		return 36
	case base.SizeNameText:
		return 14
	case base.SizeNameCaptionText:
		return 11.5
	case base.SizeNameSubHeadingText:
		return 16
	case base.SizeNameHeadingText:
		return 20
	case base.SizeNameInputRadius:
		return 8
	case base.SizeNameSelectionRadius:
		return 6
	case base.SizeNameScrollBar:
		return 10
	case base.SizeNameScrollBarSmall:
		return 4
	case base.SizeNameScrollBarRadius:
		return 5
	}
	return base.DefaultTheme().Size(name)
}
