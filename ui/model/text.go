package model

import (
	"errors"
	"strings"
	"unicode"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Text is a sentence for the screen: an English template, which is also the key of its translation, and what to
// fill in. Values that come from a model, a file or a peer have gone through Clean or Line.
type Text struct {
	Key  string
	Args map[string]string
}

// T makes a Text; pairs are names and values to fill in, alternating.
func T(key string, pairs ...string) Text {
	t := Text{Key: key}
	for i := 0; i+1 < len(pairs); i += 2 {
		if t.Args == nil {
			t.Args = make(map[string]string, len(pairs)/2)
		}
		t.Args[pairs[i]] = pairs[i+1]
	}
	return t
}

// IsZero tells whether there is nothing to say.
func (t Text) IsZero() bool { return t.Key == "" }

// Problem is an error as the user meets it: what happened, what to do, and what to paste into a report.
type Problem struct {
	Title   Text
	Hint    Text
	Details string
}

// ProblemOf puts err into plain words by the table of the error codes.
func ProblemOf(err error) Problem {
	report := core.ReportOf(core.CodeOf(err))
	p := Problem{Title: T(report.Text), Details: Line(err.Error(), 400)}
	if report.Hint != "" {
		p.Hint = T(report.Hint)
	}
	if e, ok := errors.AsType[*core.Error](err); ok && e.Hint != "" {
		p.Hint = T("{{.Hint}}", "Hint", Line(e.Hint, 300))
	}
	return p
}

// Clean makes text from a model, a file or a peer safe to draw: control characters and the marks that reorder or
// hide text are cut; new lines and tabs stay.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), hides(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// Line is Clean for a single line of at most limit characters.
func Line(s string, limit int) string {
	s = strings.Join(strings.Fields(Clean(s)), " ")
	if runes := []rune(s); len(runes) > limit {
		return strings.TrimRight(string(runes[:limit-1]), " ") + "…"
	}
	return s
}

// hides tells whether r changes the direction of the text around it, or is there but cannot be seen. The joiners
// U+200C and U+200D stay: emoji and several scripts need them.
func hides(r rune) bool {
	switch {
	case r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069: // embeddings, overrides, isolates
		return true
	case r == 0x200E, r == 0x200F, r == 0x061C: // direction marks
		return true
	case r == 0x200B, r == 0x2060, r == 0xFEFF, r == 0x00AD, r == 0x180E: // invisible separators
		return true
	case r >= 0xE0000 && r <= 0xE007F: // tag characters, an invisible alphabet
		return true
	case r == 0x2028, r == 0x2029: // line and paragraph separators
		return true
	}
	return false
}
