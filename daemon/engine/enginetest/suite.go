// Package enginetest checks that an implementation of engine.Window keeps the contract of that interface. The
// scripted windows of engine/fake and the worker windows of engine/worker run the same suite.
package enginetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
)

// Config says what the suite runs on.
type Config struct {
	// Open loads the model cut into that many windows with the Context, Sequences and BatchRows of spec; a context
	// may come out larger. The windows are closed by the suite.
	Open func(t *testing.T, windows int, spec engine.Spec) []engine.Window
	// Windows are the cuts to try; nil is 1 and 2.
	Windows []int
	// Text is a prompt that the model continues for at least 8 tokens at temperature 0; empty is a plain one.
	Text string
}

// Run runs every test of the suite for every cut.
func Run(t *testing.T, c Config) {
	if c.Windows == nil {
		c.Windows = []int{1, 2}
	}
	if c.Text == "" {
		c.Text = "Once upon a time there was a little fish"
	}
	tests := []struct {
		name string
		run  func(t *testing.T, s *suite)
	}{
		{"Shape", testShape},
		{"SameAsWhole", testSameAsWhole},
		{"ChunkedPrefill", testChunkedPrefill},
		{"SequencesAreApart", testSequencesAreApart},
		{"Trim", testTrim},
		{"TrimAll", testTrimAll},
		{"Copy", testCopy},
		{"Drafts", testDrafts},
		{"Accepted", testAccepted},
		{"RefusesBadRows", testRefusesBadRows},
		{"RefusesBadHidden", testRefusesBadHidden},
		{"RefusesFullCache", testRefusesFullCache},
		{"OperationsWithoutRows", testOperationsWithoutRows},
		{"EndedContext", testEndedContext},
		{"CancelledStep", testCancelledStep},
		{"Spare", testSpare},
		{"Seed", testSeed},
		{"LogitBias", testLogitBias},
		{"Logprobs", testLogprobs},
		{"BadGrammar", testBadGrammar},
		{"Embed", testEmbed},
		{"Tokenizer", testTokenizer},
		{"Close", testClose},
	}
	for _, windows := range c.Windows {
		t.Run(fmt.Sprintf("%dWindows", windows), func(t *testing.T) {
			for _, test := range tests {
				t.Run(test.name, func(t *testing.T) { test.run(t, &suite{Config: c, windows: windows}) })
			}
		})
	}
}

// suite is one cut of the model under test.
type suite struct {
	Config
	windows int
}

// open loads the cut with room for 4 sequences and 64 rows.
func (s *suite) open(t *testing.T) *chain { return s.openCut(t, s.windows) }

func (s *suite) openCut(t *testing.T, windows int) *chain {
	t.Helper()
	c := &chain{windows: s.Open(t, windows, engine.Spec{Context: 256, Sequences: 4, BatchRows: 64})}
	t.Cleanup(func() {
		for _, w := range c.windows {
			_ = w.Close()
		}
	})
	if len(c.windows) != windows {
		t.Fatalf("opened %d windows, want %d", len(c.windows), windows)
	}
	return c
}

// prompt is the text in tokens.
func (s *suite) prompt(t *testing.T, c *chain) []int32 {
	t.Helper()
	tokens, err := c.last().Tokenize(t.Context(), s.Text, true, false)
	if err != nil || len(tokens) < 4 || len(tokens) > 60 {
		t.Fatalf("the prompt has %d tokens, want 4 to 60; %v", len(tokens), err)
	}
	return tokens
}

func testShape(t *testing.T, s *suite) {
	c := s.open(t)
	layer := 0
	for i, w := range c.windows {
		shape := w.Shape()
		if shape.First != (i == 0) || shape.Last != (i == len(c.windows)-1) {
			t.Errorf("window %d: first %v, last %v", i, shape.First, shape.Last)
		}
		if shape.Layers.First != layer || shape.Layers.Len() < 1 {
			t.Errorf("window %d holds layers %+v, want them from %d", i, shape.Layers, layer)
		}
		if shape.Embedding < 1 || shape.Context < 256 || shape.Sequences != 4 || shape.BatchRows != 64 {
			t.Errorf("window %d: %+v", i, shape)
		}
		layer = shape.Layers.End
	}
	if c.last().Shape().Vocabulary < 1 {
		t.Error("the last window has no vocabulary")
	}
}

func testSameAsWhole(t *testing.T, s *suite) {
	whole, cut := s.openCut(t, 1), s.open(t)
	prompt := s.prompt(t, whole)
	if want, got := whole.greedy(t, 0, prompt, 8), cut.greedy(t, 0, prompt, 8); !slices.Equal(got, want) {
		t.Errorf("got %v, the whole model gives %v", got, want)
	}
}

func testChunkedPrefill(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	want := c.greedy(t, 0, prompt, 8)
	c.must(t, c.step(t.Context(), rows(1, 0, prompt[:2], false)))
	c.must(t, c.step(t.Context(), rows(1, 2, prompt[2:3], false)))
	if got := c.continued(t, 1, 3, prompt[3:], 8); !slices.Equal(got, want) {
		t.Errorf("in chunks %v, at once %v", got, want)
	}
}

func testSequencesAreApart(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	prompts := [][]int32{prompt, prompt[:len(prompt)/2], prompt[:2]}
	var want [3][]int32
	for i, p := range prompts {
		want[i] = c.greedy(t, 3, p, 6)
		c.trim(t, 3, 0)
	}
	var got [3][]int32
	next, at := prompts, [3]int{}
	for range 6 {
		var b engine.Batch
		for seq, p := range next {
			b.Rows = append(b.Rows, rows(int32(seq), at[seq], p, true).Rows...)
			at[seq] += len(p)
		}
		out := c.must(t, c.step(t.Context(), &b))
		next = nil
		for seq, sample := range out.Samples {
			got[seq] = append(got[seq], sample.Token)
			next = append(next, []int32{sample.Token})
		}
	}
	for seq := range got {
		if !slices.Equal(got[seq], want[seq]) {
			t.Errorf("sequence %d beside others %v, alone %v", seq, got[seq], want[seq])
		}
	}
}
