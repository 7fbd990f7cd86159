package theme

import (
	"image/color"

	"fyne.io/fyne/v2"
	base "fyne.io/fyne/v2/theme"
)

// Colours of our own, beside Fyne's.
const (
	ColorRail       fyne.ThemeColorName = "shoalRail"       // behind the navigation
	ColorSurface    fyne.ThemeColorName = "shoalSurface"    // a card
	ColorRaised     fyne.ThemeColorName = "shoalRaised"     // a thing on a card: a button, code
	ColorRaisedMore fyne.ThemeColorName = "shoalRaisedMore" // the same under the pointer
	ColorBorder     fyne.ThemeColorName = "shoalBorder"
	ColorMuted      fyne.ThemeColorName = "shoalMuted"      // text of second rank
	ColorAccentSoft fyne.ThemeColorName = "shoalAccentSoft" // accent as a background
	ColorAccentMore fyne.ThemeColorName = "shoalAccentMore" // accent under the pointer
	ColorOthers     fyne.ThemeColorName = "shoalOthers"     // memory of games and other programs
	ColorTrack      fyne.ThemeColorName = "shoalTrack"      // the empty part of a bar
)

// palette is one form of the theme.
type palette struct {
	background, rail, surface, raised, raisedMore, border, track color.NRGBA
	input, inputBorder                                           color.NRGBA
	text, muted, faint                                           color.NRGBA
	accent, accentMore, accentSoft, onAccent                     color.NRGBA
	success, warning, danger, onDanger, others                   color.NRGBA
	hover, pressed, selection, shadow, scroll                    color.NRGBA
}

// dark is deep water with the colour of the fish.
var dark = palette{
	background: hex(0x0D1820), rail: hex(0x09121A), surface: hex(0x14232D), raised: hex(0x1D303C), raisedMore: hex(0x263D4B),
	border: hex(0x223642), track: hex(0x0B161E), input: hex(0x0B161E), inputBorder: hex(0x2A4150),
	text: hex(0xE8F0F4), muted: hex(0x98ACB9), faint: hex(0x7F95A3),
	accent: hex(0x35D0C6), accentMore: hex(0x5FE3DA), accentSoft: hex(0x12383F), onAccent: hex(0x04201F),
	success: hex(0x4FD69C), warning: hex(0xF3BC55), danger: hex(0xF4727A), onDanger: hex(0x2A070A), others: hex(0x5A7CA8),
	hover: alpha(0xFFFFFF, 0x10), pressed: alpha(0xFFFFFF, 0x1C), selection: alpha(0x35D0C6, 0x50), shadow: alpha(0x000000, 0x80), scroll: alpha(0x9FB6C4, 0x70),
}

// light is the same in daylight.
var light = palette{
	background: hex(0xF2F6F8), rail: hex(0xE6EDF1), surface: hex(0xFFFFFF), raised: hex(0xEDF2F5), raisedMore: hex(0xDFE8ED),
	border: hex(0xD5E0E6), track: hex(0xE3EBF0), input: hex(0xF8FAFB), inputBorder: hex(0xC3D1D9),
	text: hex(0x10242F), muted: hex(0x4E6573), faint: hex(0x586E7C),
	accent: hex(0x0A7A78), accentMore: hex(0x0C8F8C), accentSoft: hex(0xD5EFED), onAccent: hex(0xFFFFFF),
	success: hex(0x137A4B), warning: hex(0x8F5D00), danger: hex(0xC2303C), onDanger: hex(0xFFFFFF), others: hex(0x6F8FB8),
	hover: alpha(0x0A2A3A, 0x0E), pressed: alpha(0x0A2A3A, 0x1C), selection: alpha(0x0A7A78, 0x40), shadow: alpha(0x0A2A3A, 0x40), scroll: alpha(0x4E6573, 0x70),
}

// color looks up a colour by its Fyne or Shoal name.
func (p *palette) color(name fyne.ThemeColorName) (color.NRGBA, bool) {
	switch name {
	case base.ColorNameBackground:
		return p.background, true
	case ColorRail:
		return p.rail, true
	case ColorSurface, base.ColorNameMenuBackground, base.ColorNameOverlayBackground, base.ColorNameHeaderBackground:
		return p.surface, true
	case ColorRaised, base.ColorNameButton, base.ColorNameDisabledButton:
		return p.raised, true
	case ColorRaisedMore:
		return p.raisedMore, true
	case ColorBorder, base.ColorNameSeparator:
		return p.border, true
	case base.ColorNameInputBorder:
		return p.inputBorder, true
	case ColorTrack:
		return p.track, true
	case base.ColorNameInputBackground:
		return p.input, true
	case base.ColorNameForeground:
		return p.text, true
	case ColorMuted:
		return p.muted, true
	case base.ColorNamePlaceHolder, base.ColorNameDisabled:
		return p.faint, true
	case base.ColorNamePrimary, base.ColorNameHyperlink, base.ColorNameFocus:
		return p.accent, true
	case ColorAccentMore:
		return p.accentMore, true
	case ColorAccentSoft:
		return p.accentSoft, true
	case base.ColorNameForegroundOnPrimary:
		return p.onAccent, true
	}
	return p.signal(name)
}

// signal looks up the colours of states and of the pointer.
func (p *palette) signal(name fyne.ThemeColorName) (color.NRGBA, bool) {
	switch name {
	case base.ColorNameSuccess:
		return p.success, true
	case base.ColorNameWarning:
		return p.warning, true
	case base.ColorNameError:
		return p.danger, true
	case base.ColorNameForegroundOnError, base.ColorNameForegroundOnWarning, base.ColorNameForegroundOnSuccess:
		return p.onDanger, true
	case ColorOthers:
		return p.others, true
	case base.ColorNameHover:
		return p.hover, true
	case base.ColorNamePressed:
		return p.pressed, true
	case base.ColorNameSelection:
		return p.selection, true
	case base.ColorNameShadow:
		return p.shadow, true
	case base.ColorNameScrollBar:
		return p.scroll, true
	case base.ColorNameScrollBarBackground:
		return color.NRGBA{}, true
	}
	return color.NRGBA{}, false
}

func hex(rgb uint32) color.NRGBA { return alpha(rgb, 0xFF) }

func alpha(rgb uint32, a uint8) color.NRGBA {
	return color.NRGBA{R: uint8(rgb >> 16), G: uint8(rgb >> 8), B: uint8(rgb), A: a}
}
