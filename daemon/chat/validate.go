package chat

import (
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Limits of a request, beside those of core.
const (
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
		req.Sampling.Check(vocabulary),
		core.CheckStops(req.Stop),
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
