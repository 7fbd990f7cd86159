package chat

import (
	"context"
	"math"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Embed returns the meaning of a text, or of tokens if they are not nil, as a vector of length 1: the mean of the
// hidden states of all its tokens. It also tells how many tokens there were.
func (s *Service) Embed(ctx context.Context, m Model, text string, tokens []int32) ([]float32, int, error) {
	if len(text) > maxPromptText {
		return nil, 0, core.Errorf(core.CodeContextTooLong, "the input has more than %d bytes", maxPromptText)
	}
	if err := validateTokens("input", tokens, int32(m.Runner.Shape().Vocabulary)); err != nil {
		return nil, 0, err
	}
	if tokens == nil {
		var err error
		if tokens, err = m.Runner.Tokenize(ctx, text, true, false); err != nil {
			return nil, 0, err
		}
	}
	if len(tokens) == 0 {
		return nil, 0, refuse("input", "an input is empty")
	}
	rows, err := m.Runner.Embed(ctx, tokens)
	if err != nil {
		return nil, 0, err
	}
	if len(rows) == 0 {
		return nil, 0, core.Errorf(core.CodeInternal, "embed: the engine gave no rows")
	}
	return normalise(mean(rows)), len(tokens), nil
}

// mean is the average of rows of equal length.
func mean(rows [][]float32) []float64 {
	sum := make([]float64, len(rows[0]))
	for _, row := range rows {
		for i, x := range row {
			sum[i] += float64(x) / float64(len(rows))
		}
	}
	return sum
}

// normalise scales v to length 1. A vector of zeros stays as it is.
func normalise(v []float64) []float32 {
	square := 0.0
	for _, x := range v {
		square += x * x
	}
	scale := 0.0
	if square > 0 {
		scale = 1 / math.Sqrt(square)
	}
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x * scale)
	}
	return out
}
