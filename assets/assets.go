// Package assets holds the files that are built into the programs: icons, fonts and translations.
package assets

import "embed"

// Icon is the program's icon, a square PNG.
//
//go:embed icon.png
var Icon []byte

// Icons are the small drawings of the screen, icon/NAME.svg: 24 units square, drawn in currentColor.
//
//go:embed icon
var Icons embed.FS

// Tray are the icons of the system tray, tray/STATE.png.
//
//go:embed tray
var Tray embed.FS

// Fonts are the screen's text faces, font/NAME.ttf (Inter, under the SIL Open Font License beside them).
//
//go:embed font
var Fonts embed.FS

// Translations are the screen's words, translations/LANGUAGE.json.
//
//go:embed translations
var Translations embed.FS
