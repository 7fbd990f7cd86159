package enginetest

import (
	"math"
	"slices"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
)

// What half floats between windows may do to a model that is to have them.
const (
	HalfTokens = 64   // of each reply
	HalfBound  = 0.1  // change of a logit, in standard deviations of the logits of its row
	HalfRange  = 4096 // size of a number; a sixteenth of what a half float holds
)

// HalfConfig says on which model half floats are tried.
type HalfConfig struct {
	// Open loads the layers between consecutive bounds as windows, with room for a sequence per prompt. It closes them
	// when the test ends.
	Open    func(t *testing.T, bounds []int) []engine.Window
	Layers  int
	Prompts [][]int32
	Logits  func(w engine.Window, row int) []float32 // of a sampled row of the last step
}

// HalfOutcome is what half floats do at worst, over all cuts into two windows and all prompts.
type HalfOutcome struct {
	Same    bool    // every reply at temperature 0 is that of the whole model
	Diff    float64 // largest change of a logit, in standard deviations of the logits of its row
	Largest float64 // largest number of a hidden state
}

// Close tells whether the logits stay as they are, but for what the bounds allow.
func (o HalfOutcome) Close() bool { return o.Diff <= HalfBound && o.Largest <= HalfRange }

// MeasureHalf compares the whole model with its cuts, between whose windows rows travel as half floats. The cuts read the
// whole model's replies, token by token: as long as their own likeliest tokens are those of the reply, they would have
// given it too.
func MeasureHalf(t *testing.T, c HalfConfig) HalfOutcome {
	t.Helper()
	replies, want, _ := c.run(t, []int{0, c.Layers}, nil)
	out := HalfOutcome{Same: true}
	for cut := 1; cut < c.Layers; cut++ {
		tokens, logits, largest := c.run(t, []int{0, cut, c.Layers}, replies)
		out.Largest = max(out.Largest, largest)
		for i := range replies {
			out.Same = out.Same && slices.Equal(tokens[i], replies[i])
			for k := range replies[i] {
				out.Diff = max(out.Diff, distance(logits[i][k], want[i][k]))
			}
		}
	}
	return out
}

// run generates on a cut, all prompts at once. It goes on with the tokens of replies, if there are any, whatever its own
// are, and returns those, the logits they are from, and the largest number between windows.
func (c HalfConfig) run(t *testing.T, bounds []int, replies [][]int32) (tokens [][]int32, logits [][][]float32, largest float64) {
	t.Helper()
	parts := &chain{windows: c.Open(t, bounds), half: true}
	tokens, logits = make([][]int32, len(c.Prompts)), make([][][]float32, len(c.Prompts))
	next, at := slices.Clone(c.Prompts), make([]int, len(c.Prompts))
	for k := range HalfTokens {
		b := &engine.Batch{}
		for i, list := range next {
			b.Rows = append(b.Rows, rows(int32(i), at[i], list, true).Rows...)
			at[i] += len(list)
		}
		for i, s := range parts.must(t, parts.step(t.Context(), b)).Samples {
			tokens[i] = append(tokens[i], s.Token)
			logits[i] = append(logits[i], slices.Clone(c.Logits(parts.last(), s.Row)))
			next[i] = tokens[i][k:]
			if replies != nil {
				next[i] = replies[i][k : k+1]
			}
		}
	}
	return tokens, logits, parts.largest
}

// distance is the largest difference between two rows of logits, in standard deviations of want.
func distance(got, want []float32) float64 {
	var sum, squares, worst float64
	for i, w := range want {
		sum, squares = sum+float64(w), squares+float64(w)*float64(w)
		worst = max(worst, math.Abs(float64(got[i]-w)))
	}
	n := float64(len(want))
	return worst / math.Sqrt(squares/n-sum/n*sum/n)
}
