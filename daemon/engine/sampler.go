package engine

import (
	"math"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/gbnf"
)

// Limits of a Sampler.
const (
	MaxTop  = 128  // alternatives that are reported with a token
	maxBias = 4096 // tokens

	// PenaltyWindow is how many tokens of the prompt the repetition penalties see when a job does not say.
	PenaltyWindow = 64
)

// Check refuses a sampler with a value that is out of range, or a grammar that costs too much. The error has code
// core.CodeInvalidRequest, or core.CodeTooLarge for a long grammar, and names the parameter. Tokens are those of a vocabulary; 0 is one that is not known.
func (s *Sampler) Check(vocabulary int) error {
	for _, v := range []struct {
		param     string
		value     float64
		low, high float64
	}{
		{"temperature", s.Temperature, 0, 100},
		{"top_k", float64(s.TopK), 0, math.MaxInt32},
		{"top_p", s.TopP, 0, 1},
		{"min_p", s.MinP, 0, 1},
		{"repeat_penalty", s.RepeatPenalty, 0, 100},
		{"frequency_penalty", s.FrequencyPenalty, -100, 100},
		{"presence_penalty", s.PresencePenalty, -100, 100},
		{"top_logprobs", float64(s.TopLogprobs), 0, MaxTop},
	} {
		if !(v.value >= v.low && v.value <= v.high) { // true for NaN
			return invalid(v.param, "must be %g to %g", v.low, v.high)
		}
	}
	if len(s.LogitBias) > maxBias {
		return invalid("logit_bias", "has %d tokens, most are %d", len(s.LogitBias), maxBias)
	}
	known := func(token int32) bool { return token >= 0 && (vocabulary == 0 || int(token) < vocabulary) }
	for token, b := range s.LogitBias {
		if !known(token) || !(b >= -1e6 && b <= 1e6) {
			return invalid("logit_bias", "of token %d of %d is %g", token, vocabulary, b)
		}
	}
	for _, list := range [][]int32{s.History, s.Accepted} {
		for _, token := range list {
			if !known(token) {
				return invalid("prompt", "has token %d of %d", token, vocabulary)
			}
		}
	}
	if s.Grammar != "" {
		return gbnf.Check(s.Grammar)
	}
	return nil
}

func invalid(param, format string, args ...any) error {
	return core.Errorf(core.CodeInvalidRequest, param+" "+format, args...).WithParam(param)
}

// CheckSamplers checks the samplers of operations.
func CheckSamplers(ops []Op, vocabulary int) error {
	for _, op := range ops {
		if op.Kind != OpSampler {
			continue
		}
		if op.Sampler == nil {
			return core.Errorf(core.CodeInvalidRequest, "operation without a sampler")
		}
		if err := op.Sampler.Check(vocabulary); err != nil {
			return err
		}
	}
	return nil
}
