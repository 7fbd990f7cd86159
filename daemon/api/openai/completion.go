package openai

import (
	"bytes"
	"encoding/json"

	"github.com/shoal-p2p/shoal/daemon/core"
)

const (
	maxPrompts              = 16
	defaultCompletionTokens = 16 // the API's own default
)

type completionBody struct {
	samplingParams
	Model     string          `json:"model"`
	Prompt    json.RawMessage `json:"prompt"`
	MaxTokens *int            `json:"max_tokens"`
	Echo      bool            `json:"echo"`
	Logprobs  *int            `json:"logprobs"`
	BestOf    *int            `json:"best_of"`
	User      string          `json:"user"`
}

var completionRules = with(commonRules, map[string]rule{
	"suffix": only("filling in the middle is not supported", `""`),
})

// CompletionRequest reads the body of POST /v1/completions.
func CompletionRequest(raw []byte) (*Request, error) {
	var in completionBody
	if err := body(raw, &in, completionRules); err != nil {
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

// textsOrTokens reads the four shapes that prompt and input may have, at most limit elements; the first byte of the value
// and of its first element tell which it is.
func textsOrTokens(raw json.RawMessage, param string, limit int) ([]Prompt, error) {
	if isNull(raw) {
		return nil, refuse(param, "%s is missing", param)
	}
	if raw[0] == '"' {
		return []Prompt{{Text: text(raw)}}, nil
	}
	shape := refuse(param, "%s must be a string, a list of strings, a list of token ids or a list of such lists", param)
	if raw[0] != '[' {
		return nil, shape
	}
	first := raw[blank(raw, 1)]
	switch {
	case first == ']':
		return nil, refuse(param, "%s must not be empty", param)
	case first != '"' && first != '[':
		tokens, err := tokenList(raw, param)
		return []Prompt{{Tokens: tokens}}, err
	}
	var all []Prompt
	err := list(raw, param, limit, func(_ string, value []byte) (err error) {
		var p Prompt
		switch {
		case value[0] != first:
			return shape
		case first == '"':
			p.Text = text(value)
		default:
			p.Tokens, err = tokenList(value, param)
		}
		all = append(all, p)
		return err
	})
	return all, err
}

// tokenList reads a list of token ids; it is never nil.
func tokenList(raw []byte, param string) ([]int32, error) {
	if count(raw, maxTokens+1) > maxTokens {
		return nil, refuse(param, "%s may hold at most %d token ids", param, maxTokens)
	}
	tokens := []int32{}
	if json.Unmarshal(raw, &tokens) != nil || bytes.Contains(raw, []byte("null")) {
		return nil, refuse(param, "%s must be a string, a list of strings, a list of token ids or a list of such lists", param)
	}
	return tokens, checkTokens(param, tokens)
}

func checkTokens(param string, tokens []int32) error {
	for _, t := range tokens {
		if t < 0 {
			return refuse(param, "%s: %d is not a token id", param, t)
		}
	}
	return nil
}
