package core

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain makes a stranger's text fit to show: at most so many runes, nothing that controls a terminal or turns the
// writing direction.
func Plain(s string, runes int) string {
	s = s[:min(len(s), runes*utf8.UTFMax)]
	clean := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
	if list := []rune(clean); len(list) > runes {
		clean = string(list[:runes])
	}
	return clean
}
