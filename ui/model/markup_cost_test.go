package model

import (
	"strings"
	"testing"
)

// An answer made of marks only must not stop the screen: the cost per byte stays the same however long it is.
func TestMarkupCostIsLinear(t *testing.T) {
	for _, mark := range []string{"*a", "`", "[", "_ ", "**x ", "![]("} {
		text := strings.Repeat(mark, 1<<20/len(mark))
		allocated := testing.AllocsPerRun(1, func() { ParseMarkup(text) })
		if allocated > float64(len(text)) {
			t.Errorf("%q repeated to %d bytes takes %.0f allocations", mark, len(text), allocated)
		}
	}
}
