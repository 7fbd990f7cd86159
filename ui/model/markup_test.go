package model

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseMarkupBlocks(t *testing.T) {
	got := ParseMarkup("# Title\n\nSome *text*\nover lines.\n\n- one\n  more\n- two\n  - deep\n3. three\n\n```go\nfmt.Println(\"*\")\n```\n> said\n> so\n\n---\n| a | b |\n|---|---|\n| 1 | 22 |\n")
	want := []Block{
		{Kind: BlockHeading, Level: 1, Spans: []Span{{Text: "Title"}}},
		{Kind: BlockParagraph, Spans: []Span{{Text: "Some "}, {Text: "text", Italic: true}, {Text: "\nover lines."}}},
		{Kind: BlockItem, Marker: "•", Spans: []Span{{Text: "one more"}}},
		{Kind: BlockItem, Marker: "•", Spans: []Span{{Text: "two"}}},
		{Kind: BlockItem, Marker: "•", Level: 1, Spans: []Span{{Text: "deep"}}},
		{Kind: BlockItem, Marker: "3.", Spans: []Span{{Text: "three"}}},
		{Kind: BlockCode, Language: "go", Code: "fmt.Println(\"*\")"},
		{Kind: BlockQuote, Spans: []Span{{Text: "said so"}}},
		{Kind: BlockRule},
		{Kind: BlockCode, Code: "a  b \n─  ──\n1  22"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("blocks\n%+v\nwant\n%+v", got, want)
	}
}

func TestParseSpans(t *testing.T) {
	for in, want := range map[string][]Span{
		"a **b** c":                      {{Text: "a "}, {Text: "b", Bold: true}, {Text: " c"}},
		"**bold *both***":                {{Text: "bold ", Bold: true}, {Text: "both", Bold: true, Italic: true}},
		"2 * 3 * 4":                      {{Text: "2 * 3 * 4"}},
		"snake_case_name":                {{Text: "snake_case_name"}},
		"_it_ is":                        {{Text: "it", Italic: true}, {Text: " is"}},
		"use `x*y` here":                 {{Text: "use "}, {Text: "x*y", Code: true}, {Text: " here"}},
		"open `tick":                     {{Text: "open `tick"}},
		"open **bold":                    {{Text: "open **bold"}},
		`\*not\*`:                        {{Text: "*not*"}},
		"[here](https://e.org)":          {{Text: "here (https://e.org)"}},
		"![x](http://evil/track.png)":    {{Text: "x (http://evil/track.png)"}},
		"[https://e.org](https://e.org)": {{Text: "https://e.org"}},
		"[not a link] (x)":               {{Text: "[not a link] (x)"}},
	} {
		if got := parseSpans(in); !reflect.DeepEqual(got, want) {
			t.Errorf("parseSpans(%q) = %+v, want %+v", in, got, want)
		}
	}
}

func TestUnfinishedTextIsDrawn(t *testing.T) {
	got := ParseMarkup("Look:\n```py\nprint(1)")
	if len(got) != 2 || got[1].Kind != BlockCode || got[1].Code != "print(1)" {
		t.Errorf("blocks %+v", got)
	}
}

func FuzzParseMarkup(f *testing.F) {
	for _, s := range []string{"# a\n- b\n```\nc", "**a*b***`", "[a](b", "|a|\n|-|", ">\n>", strings.Repeat("- x\n", 3000), "_ __ * ** *** `"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		blocks := ParseMarkup(s)
		if len(blocks) > maxBlocks+1 {
			t.Fatalf("%d blocks", len(blocks))
		}
		shown := 0
		for _, b := range blocks {
			shown += len(b.Code)
			for _, span := range b.Spans {
				if !utf8.ValidString(span.Text) {
					t.Fatalf("%q is cut inside a character", span.Text)
				}
				shown += len(span.Text)
			}
		}
		if shown > 16*len(s)*len(s)+16 {
			t.Fatalf("%d bytes became %d", len(s), shown)
		}
	})
}
