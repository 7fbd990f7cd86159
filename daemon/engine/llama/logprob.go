package llama

import (
	"math"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/engine"
)

// report adds the logarithms of the token's and its likeliest alternatives' probabilities, as the model gave
// them, before any sampler changed them.
func (s *sampler) report(w *Window, out *engine.Sample, logits []float32) {
	norm := logSum(logits)
	out.Logprob = float64(logits[out.Token]) - norm
	for _, t := range largest(logits, s.top) {
		out.Top = append(out.Top, engine.Candidate{Token: t, Piece: w.piece(t, true), Logprob: float64(logits[t]) - norm})
	}
}

// logSum is the logarithm of the sum of exp(logit).
func logSum(logits []float32) float64 {
	top := slices.Max(logits)
	sum := 0.0
	for _, l := range logits {
		sum += math.Exp(float64(l - top))
	}
	return float64(top) + math.Log(sum)
}

// largest lists the n tokens with the largest logits, largest first.
func largest(logits []float32, n int) []int32 {
	n = min(n, len(logits))
	list := make([]int32, 0, n+1)
	for i, l := range logits {
		if len(list) == n && (n == 0 || l <= logits[list[n-1]]) {
			continue
		}
		at, _ := slices.BinarySearchFunc(list, l, func(t int32, l float32) int {
			if logits[t] >= l {
				return -1
			}
			return 1
		})
		list = slices.Insert(list, at, int32(i))
		list = list[:min(len(list), n)]
	}
	return list
}
