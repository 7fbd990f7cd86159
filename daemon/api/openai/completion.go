package openai

import (
	"encoding/json"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/core"
)

const (
	maxPrompts              = 16
	defaultCompletionTokens = 16 // the API's own default
)

type completionBody struct {
	samplingParams `json:"-"`      // read on its own, so that errors name its fields as the caller does
	Model          string          `json:"model"`
	Prompt         json.RawMessage `json:"prompt"`
	MaxTokens      *int            `json:"max_tokens"`
	Echo           bool            `json:"echo"`
	Logprobs       *int            `json:"logprobs"`
	BestOf         *int            `json:"best_of"`
	User           string          `json:"user"`
}

var completionFields = append(slices.Clone(samplingFields),
	"model", "prompt", "max_tokens", "echo", "logprobs", "best_of", "user")

var completionRules = with(commonRules, map[string]rule{
	"suffix": only("filling in the middle is not supported", `""`),
})

// CompletionRequest reads the body of POST /v1/completions.
func CompletionRequest(body []byte) (*Request, error) {
	var in completionBody
	if err := decode(body, completionFields, completionRules, &in, &in.samplingParams); err != nil {
		return nil, err
	}
	if err := checkModel(in.Model); err != nil {
		return nil, err
	}
	req := &Request{N: or(in.N, 1), Stream: in.Stream, Caller: in.User}
	req.IncludeUsage = in.StreamOptions != nil && in.StreamOptions.IncludeUsage
	req.Model = in.Model
	req.Stop = in.Stop
	req.Echo = in.Echo
	if in.Grammar != "" {
		req.Format = core.Format{Kind: "grammar", GBNF: in.Grammar}
	}
	if err := between("max_tokens", in.MaxTokens, 1, maxTokens); err != nil {
		return nil, err
	}
	req.MaxTokens = or(in.MaxTokens, defaultCompletionTokens)
	if in.BestOf != nil && *in.BestOf != req.N {
		return nil, unsupported("best_of", "best_of: every reply that is made is returned; use n")
	}
	var err error
	if req.Sampling, err = in.completionSampling(); err != nil {
		return nil, err
	}
	if req.Prompts, err = prompts(in.Prompt); err != nil {
		return nil, err
	}
	if len(req.Prompts)*req.N > maxPrompts {
		return nil, refuse("n", "prompts times n may be at most %d", maxPrompts)
	}
	return req, nil
}

func (in *completionBody) completionSampling() (core.Sampling, error) {
	s, err := in.sampling()
	if err != nil || in.Logprobs == nil {
		return s, err
	}
	if in.Echo {
		return s, unsupported("logprobs", "logprobs: not available with echo, since those of the prompt are not computed")
	}
	s.Logprobs = true
	s.TopLogprobs = *in.Logprobs
	return s, between("logprobs", in.Logprobs, 0, core.MaxLogprobs)
}

// prompts reads a text, a list of texts, a list of tokens or a list of lists of tokens.
func prompts(raw json.RawMessage) ([]Prompt, error) {
	list, err := textsOrTokens(raw, "prompt", maxPrompts)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if p.Tokens != nil && len(p.Tokens) == 0 {
			return nil, refuse("prompt", "a prompt of tokens must not be empty")
		}
	}
	return list, nil
}

// textsOrTokens reads the four shapes that prompt and input may have, at most limit elements.
func textsOrTokens(raw json.RawMessage, param string, limit int) ([]Prompt, error) {
	var text string
	var texts []string
	var tokens []int32
	var lists [][]int32
	switch {
	case isNull(raw):
		return nil, refuse(param, "%s is missing", param)
	case json.Unmarshal(raw, &text) == nil:
		return []Prompt{{Text: text}}, nil
	case string(raw) == "[]":
		return nil, refuse(param, "%s must not be empty", param)
	case json.Unmarshal(raw, &texts) == nil:
		if len(texts) > limit || hasNull(raw) {
			return nil, refuse(param, "%s may hold at most %d texts and no null", param, limit)
		}
		list := make([]Prompt, len(texts))
		for i, s := range texts {
			list[i].Text = s
		}
		return list, nil
	case json.Unmarshal(raw, &tokens) == nil:
		return []Prompt{{Tokens: tokens}}, checkTokens(param, tokens)
	case json.Unmarshal(raw, &lists) == nil:
		if len(lists) > limit {
			return nil, refuse(param, "%s may hold at most %d lists", param, limit)
		}
		list := make([]Prompt, len(lists))
		for i, t := range lists {
			if err := checkTokens(param, t); err != nil {
				return nil, err
			}
			if t == nil {
				return nil, refuse(param, "%s may not hold null", param)
			}
			list[i].Tokens = t
		}
		return list, nil
	}
	return nil, refuse(param, "%s must be a string, a list of strings, a list of token ids or a list of such lists", param)
}

// hasNull tells whether a JSON list has a null among its elements, which json reads as "".
func hasNull(raw json.RawMessage) bool {
	var elements []*string
	return json.Unmarshal(raw, &elements) == nil && slices.Contains(elements, nil)
}

func checkTokens(param string, tokens []int32) error {
	for _, t := range tokens {
		if t < 0 {
			return refuse(param, "%s: %d is not a token id", param, t)
		}
	}
	return nil
}
