package core

import "unicode/utf8"

// Limits of what a request may ask of the sampler, whoever takes it in.
const (
	MaxStops     = 16
	MaxStop      = 256 // bytes of a stop string
	MaxLogprobs  = 20
	MaxLogitBias = 1024 // tokens
)

// Check refuses a value that is out of range. The error has code CodeInvalidRequest and names the parameter. Tokens
// are those of a vocabulary; 0 is one that is not known.
func (s *Sampling) Check(vocabulary int32) error {
	for _, r := range []struct {
		name           string
		v, least, most float64
	}{
		{"temperature", s.Temperature, 0, 2},
		{"top_p", s.TopP, 0, 1},
		{"min_p", s.MinP, 0, 1},
		{"top_k", float64(s.TopK), 0, 1 << 20},
		{"repeat_penalty", s.RepeatPenalty, 0, 2},
		{"frequency_penalty", s.FrequencyPenalty, -2, 2},
		{"presence_penalty", s.PresencePenalty, -2, 2},
		{"top_logprobs", float64(s.TopLogprobs), 0, MaxLogprobs},
	} {
		if !(r.v >= r.least && r.v <= r.most) { // NaN is in no range
			return Errorf(CodeInvalidRequest, "%s must be from %g to %g", r.name, r.least, r.most).WithParam(r.name)
		}
	}
	if len(s.LogitBias) > MaxLogitBias {
		return Errorf(CodeInvalidRequest, "logit_bias may hold at most %d tokens", MaxLogitBias).WithParam("logit_bias")
	}
	for token, bias := range s.LogitBias {
		if token < 0 || vocabulary > 0 && token >= vocabulary || !(bias >= -100 && bias <= 100) {
			return Errorf(CodeInvalidRequest, "logit_bias must give tokens of the vocabulary, %d here, a number from -100 to 100", token).WithParam("logit_bias")
		}
	}
	return nil
}

// CheckStops refuses stop strings that are too many, too long or no text. The error has code CodeInvalidRequest.
func CheckStops(stops []string) error {
	if len(stops) > MaxStops {
		return Errorf(CodeInvalidRequest, "stop may hold at most %d strings", MaxStops).WithParam("stop")
	}
	for _, s := range stops {
		if s == "" || len(s) > MaxStop || !utf8.ValidString(s) {
			return Errorf(CodeInvalidRequest, "a stop string must be text of 1 to %d bytes", MaxStop).WithParam("stop")
		}
	}
	return nil
}
