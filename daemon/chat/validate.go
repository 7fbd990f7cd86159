package chat

import (
	"strings"
	"unicode/utf8"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Limits of a request.
const (
	maxStops      = 16
	maxStop       = 256 // bytes
	maxLogprobs   = 20
	maxLogitBias  = 1024
	maxMessages   = 4096
	maxPromptText = 8 << 20 // bytes
	maxTools      = 128
)

func refuse(param, format string, args ...any) error {
	return core.Errorf(core.CodeInvalidRequest, format, args...).WithParam(param)
}

// validate checks every number and size of a request, since all of them reach the engine.
func validate(req *core.GenerateRequest, vocabulary int32) error {
	for _, check := range []error{
		validateSampling(&req.Sampling, vocabulary),
		validateStop(req.Stop),
		validatePrompt(req, vocabulary),
	} {
		if check != nil {
			return check
		}
	}
	if req.MaxTokens < 0 {
		return refuse("max_tokens", "max_tokens must not be negative")
	}
	if len(req.Tools) > maxTools {
		return refuse("tools", "there may be at most %d tools", maxTools)
	}
	return nil
}

func validateSampling(s *core.Sampling, vocabulary int32) error {
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
		{"top_logprobs", float64(s.TopLogprobs), 0, maxLogprobs},
	} {
		if !(r.v >= r.least && r.v <= r.most) { // NaN is in no range
			return refuse(r.name, "%s must be from %g to %g", r.name, r.least, r.most)
		}
	}
	if len(s.LogitBias) > maxLogitBias {
		return refuse("logit_bias", "logit_bias may hold at most %d tokens", maxLogitBias)
	}
	for token, bias := range s.LogitBias {
		if token < 0 || token >= vocabulary || !(bias >= -100 && bias <= 100) {
			return refuse("logit_bias", "logit_bias must give tokens from 0 to %d a number from -100 to 100", vocabulary-1)
		}
	}
	return nil
}

func validateStop(stops []string) error {
	if len(stops) > maxStops {
		return refuse("stop", "there may be at most %d stop strings", maxStops)
	}
	for _, s := range stops {
		if s == "" || len(s) > maxStop || !utf8.ValidString(s) {
			return refuse("stop", "a stop string must be text of 1 to %d bytes", maxStop)
		}
	}
	return nil
}

func validatePrompt(req *core.GenerateRequest, vocabulary int32) error {
	if len(req.Messages) > maxMessages {
		return refuse("messages", "there may be at most %d messages", maxMessages)
	}
	if req.Messages != nil && len(req.Messages) == 0 {
		return refuse("messages", "there must be a message")
	}
	size := len(req.Prompt)
	for i := range req.Messages {
		size += len(req.Messages[i].Content) + len(req.Messages[i].ReasoningContent)
	}
	if size > maxPromptText {
		return core.Errorf(core.CodeContextTooLong, "the prompt has more than %d bytes", maxPromptText)
	}
	return validateTokens("prompt", req.PromptIDs, vocabulary)
}

func validateTokens(param string, tokens []int32, vocabulary int32) error {
	for _, t := range tokens {
		if t < 0 || t >= vocabulary {
			return refuse(param, "token %d is not in the model's vocabulary of %d", t, vocabulary)
		}
	}
	return nil
}

// validText makes text of bytes that may end inside a character.
func validText(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") }
