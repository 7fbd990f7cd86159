package model

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestCleanCutsWhatHidesOrReorders(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n\ttext":                     "plain\n\ttext",
		"a\u202Egnp.exe":                    "agnp.exe",
		"in\u2066ner\u2069":                 "inner",
		"ze\u200Bro":                        "zero",
		"bell\x07 esc\x1b[31mred":           "bell esc[31mred",
		"\U000E0041tag":                     "tag",
		"family 👩\u200D👩\u200D👧":            "family 👩\u200D👩\u200D👧",
		"bad \xff byte":                     "bad \uFFFD byte",
		"one\u2028two":                      "onetwo",
		"אבג stays":                         "אבג stays",
		"carriage\r\nreturn and \u0085 nel": "carriage\nreturn and  nel",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLineIsShortAndSingle(t *testing.T) {
	if got := Line("  a\n\n b\tc  ", 10); got != "a b c" {
		t.Errorf("Line = %q", got)
	}
	if got := Line(strings.Repeat("é", 50), 10); utf8.RuneCountInString(got) != 10 || !strings.HasSuffix(got, "…") {
		t.Errorf("Line = %q", got)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("x\u202Ey")
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if !utf8.ValidString(got) || Clean(got) != got {
			t.Fatalf("Clean(%q) = %q is not clean", s, got)
		}
	})
}

func TestProblemOfUsesTheErrorTable(t *testing.T) {
	p := ProblemOf(core.Errorf(core.CodeDiskFull, "write shard 3: no space left"))
	if p.Title.Key != "The disk is full." || p.Hint.IsZero() || !strings.Contains(p.Details, "shard 3") {
		t.Errorf("problem %+v", p)
	}
}
