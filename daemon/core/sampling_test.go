package core_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestSamplingIsInRange(t *testing.T) {
	good := core.Sampling{Temperature: 2, TopP: 1, TopK: 40, RepeatPenalty: 1.1, FrequencyPenalty: -2, TopLogprobs: 20, LogitBias: map[int32]float64{5: -100}}
	if err := good.Check(6); err != nil {
		t.Error(err)
	}
	many := map[int32]float64{}
	for i := range int32(core.MaxLogitBias + 1) {
		many[i] = 1
	}
	for param, s := range map[string]core.Sampling{
		"temperature": {Temperature: math.NaN()}, "top_p": {TopP: 1.1}, "min_p": {MinP: -1}, "top_k": {TopK: -1}, "repeat_penalty": {RepeatPenalty: math.Inf(1)},
		"presence_penalty": {PresencePenalty: 3}, "top_logprobs": {TopLogprobs: 21}, "logit_bias": {LogitBias: many},
	} {
		if e, ok := s.Check(0).(*core.Error); !ok || e.Code != core.CodeInvalidRequest || e.Param != param {
			t.Errorf("%s: got %v", param, e)
		}
	}
	for _, bias := range []map[int32]float64{{6: 1}, {-1: 1}, {1: 101}, {1: math.NaN()}} {
		if err := (&core.Sampling{LogitBias: bias}).Check(6); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("%v: got %v", bias, err)
		}
	}
	for _, stops := range [][]string{{""}, {strings.Repeat("x", 257)}, {"\xff"}, slices.Repeat([]string{"x"}, 17)} {
		if err := core.CheckStops(stops); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("%.20q: got %v", stops, err)
		}
	}
}
