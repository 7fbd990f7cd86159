package engine_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

func TestSamplersAreChecked(t *testing.T) {
	good := engine.Sampler{
		Sampling: core.Sampling{
			Temperature: 2, TopK: 40, TopP: 1, MinP: 0.05, RepeatPenalty: 1.1, FrequencyPenalty: -2, PresencePenalty: 2,
			TopLogprobs: engine.MaxTop, LogitBias: map[int32]float64{99: -100}, Grammar: `root ::= "x"`,
		},
		History: []int32{0, 99}, Accepted: []int32{5},
	}
	if err := good.Check(100); err != nil {
		t.Fatal(err)
	}
	nan := math.NaN()
	for name, c := range map[string]struct {
		param  string
		change func(s *engine.Sampler)
	}{
		"hot":                   {"temperature", func(s *engine.Sampler) { s.Temperature = 101 }},
		"negative temperature":  {"temperature", func(s *engine.Sampler) { s.Temperature = -0.1 }},
		"NaN as temperature":    {"temperature", func(s *engine.Sampler) { s.Temperature = nan }},
		"negative top_k":        {"top_k", func(s *engine.Sampler) { s.TopK = -1 }},
		"top_p":                 {"top_p", func(s *engine.Sampler) { s.TopP = 1.01 }},
		"NaN as top_p":          {"top_p", func(s *engine.Sampler) { s.TopP = nan }},
		"min_p":                 {"min_p", func(s *engine.Sampler) { s.MinP = -1 }},
		"repeat penalty":        {"repeat_penalty", func(s *engine.Sampler) { s.RepeatPenalty = math.Inf(1) }},
		"frequency penalty":     {"frequency_penalty", func(s *engine.Sampler) { s.FrequencyPenalty = -101 }},
		"presence penalty":      {"presence_penalty", func(s *engine.Sampler) { s.PresencePenalty = 101 }},
		"alternatives":          {"top_logprobs", func(s *engine.Sampler) { s.TopLogprobs = engine.MaxTop + 1 }},
		"negative alternatives": {"top_logprobs", func(s *engine.Sampler) { s.TopLogprobs = -1 }},
		"deep grammar":          {"grammar", func(s *engine.Sampler) { s.Grammar = "root ::= " + strings.Repeat("(", 1000) }},
		"bias of no token":      {"logit_bias", func(s *engine.Sampler) { s.LogitBias = map[int32]float64{100: 1} }},
		"bias of a negative":    {"logit_bias", func(s *engine.Sampler) { s.LogitBias = map[int32]float64{-1: 1} }},
		"NaN as bias":           {"logit_bias", func(s *engine.Sampler) { s.LogitBias = map[int32]float64{1: nan} }},
		"many biases": {"logit_bias", func(s *engine.Sampler) {
			s.LogitBias = map[int32]float64{}
			for i := range int32(4097) {
				s.LogitBias[i] = 1
			}
		}},
		"token of the prompt":      {"prompt", func(s *engine.Sampler) { s.History = []int32{100} }},
		"negative token":           {"prompt", func(s *engine.Sampler) { s.History = []int32{-1} }},
		"token accepted before":    {"prompt", func(s *engine.Sampler) { s.Accepted = []int32{100} }},
		"negative accepted before": {"prompt", func(s *engine.Sampler) { s.Accepted = []int32{-7} }},
	} {
		s := good
		c.change(&s)
		err := engine.CheckSamplers([]engine.Op{{Kind: engine.OpTrim}, {Kind: engine.OpSampler, Sampler: &s}}, 100)
		if e, ok := errors.AsType[*core.Error](err); !ok || e.Code != core.CodeInvalidRequest || e.Param != c.param {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := engine.CheckSamplers([]engine.Op{{Kind: engine.OpSampler}}, 100); core.CodeOf(err) != core.CodeInvalidRequest {
		t.Errorf("no sampler: %v", err)
	}
	unknown := engine.Sampler{History: []int32{1 << 30}}
	if err := unknown.Check(0); err != nil {
		t.Errorf("of a vocabulary that is not known: %v", err)
	}
}
