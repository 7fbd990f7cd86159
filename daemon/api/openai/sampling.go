package openai

import (
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"math"
	"strconv"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Bounds of a request. Each keeps one request from taking the node's memory or time for itself.
const (
	maxModelName = 256
	maxTokens    = 1 << 20
	maxChoices   = 16
	maxGrammar   = 1 << 20

	maxTemplateArgs = 1 << 20 // bytes
)

// What a request gets that does not say how to sample; llama.cpp's own defaults.
const (
	defaultTemperature = 0.8
	defaultTopK        = 40
	defaultTopP        = 0.95
	defaultMinP        = 0.05
)

// samplingParams are the fields about sampling that chat and plain completions share.
type samplingParams struct {
	Temperature      *float64        `json:"temperature"`
	TopP             *float64        `json:"top_p"`
	TopK             *int            `json:"top_k"`
	MinP             *float64        `json:"min_p"`
	RepeatPenalty    *float64        `json:"repeat_penalty"`
	FrequencyPenalty *float64        `json:"frequency_penalty"`
	PresencePenalty  *float64        `json:"presence_penalty"`
	Seed             *int64          `json:"seed"`
	LogitBias        json.RawMessage `json:"logit_bias"`
	Grammar          string          `json:"grammar"`
	Stop             stopList        `json:"stop"`
	N                *int            `json:"n"`
	Stream           bool            `json:"stream"`
	StreamOptions    *streamOptions  `json:"stream_options"`
}

type streamOptions struct {
	IncludeUsage       bool `json:"include_usage"`
	IncludeObfuscation bool `json:"include_obfuscation"`
}

// stopList is one stop string or a list of them.
type stopList []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *stopList) UnmarshalJSON(raw []byte) error {
	var one string
	if string(raw) == "null" {
		return nil
	}
	if json.Unmarshal(raw, &one) == nil {
		*l = stopList{one}
		return nil
	}
	return list(raw, "stop", core.MaxStops, func(_ string, value []byte) error {
		if value[0] != '"' {
			return refuse("stop", "stop must be a string or a list of strings")
		}
		*l = append(*l, text(value))
		return nil
	})
}

// sampling checks the parameters and returns them in the node's words, with defaults filled in.
func (p *samplingParams) sampling() (s core.Sampling, err error) {
	if err := p.check(); err != nil {
		return s, err
	}
	bias, err := logitBias(p.LogitBias)
	if err != nil {
		return s, err
	}
	s = core.Sampling{
		Temperature:      or(p.Temperature, defaultTemperature),
		TopK:             or(p.TopK, defaultTopK),
		TopP:             or(p.TopP, defaultTopP),
		MinP:             or(p.MinP, defaultMinP),
		RepeatPenalty:    or(p.RepeatPenalty, 1),
		FrequencyPenalty: or(p.FrequencyPenalty, 0),
		PresencePenalty:  or(p.PresencePenalty, 0),
		Seed:             engineSeed(p.Seed),
		LogitBias:        bias,
	}
	return s, s.Check(0)
}

func (p *samplingParams) check() error {
	for _, err := range []error{
		between("n", p.N, 1, maxChoices),
		core.CheckStops(p.Stop),
	} {
		if err != nil {
			return err
		}
	}
	if len(p.Grammar) > maxGrammar {
		return refuse("grammar", "grammar may have at most %d bytes", maxGrammar)
	}
	if p.StreamOptions != nil && !p.Stream {
		return refuse("stream_options", "stream_options may only be sent with stream: true")
	}
	return nil
}

// logitBias reads token ids from the keys of a JSON object.
func logitBias(raw json.RawMessage) (map[int32]float64, error) {
	if isNull(raw) {
		return nil, nil
	}
	if !isObject(raw) || count(raw, core.MaxLogitBias+1) > core.MaxLogitBias {
		return nil, refuse("logit_bias", "logit_bias must be an object of at most %d tokens", core.MaxLogitBias)
	}
	var in map[string]float64
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, jsonError(err, "logit_bias")
	}
	if len(in) == 0 {
		return nil, nil
	}
	out := make(map[int32]float64, len(in))
	for key, v := range in {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || id < 0 {
			return nil, refuse("logit_bias", "logit_bias: %q is not a token id", cut(key))
		}
		if !(v >= -100 && v <= 100) {
			return nil, refuse("logit_bias", "logit_bias values must be between -100 and 100")
		}
		out[int32(id)] = v
	}
	return out, nil
}

// engineSeed makes the 64-bit seed of the API fit the engine's 32 bits. -1 asks for another one each time, as in
// llama.cpp and LM Studio; small seeds stay as they are, and the others are mixed so that they lie apart from those.
func engineSeed(seed *int64) *uint32 {
	if seed == nil || *seed == -1 {
		return nil
	}
	if *seed >= 0 && *seed <= math.MaxUint32 {
		small := uint32(*seed)
		return &small
	}
	h := fnv.New32a()
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(*seed)))
	mixed := h.Sum32()
	return &mixed
}

// checkModel refuses an empty or absurd model name.
func checkModel(name string) error {
	if name == "" || len(name) > maxModelName {
		return refuse("model", "model must name a model in 1 to %d characters; GET /v1/models lists them", maxModelName)
	}
	return nil
}

// commonRules are the fields of chat and plain completions that ask for nothing or cannot be given.
var commonRules = map[string]rule{
	"user":                   harmless,
	"metadata":               harmless,
	"safety_identifier":      harmless,
	"prompt_cache_key":       harmless,
	"prompt_cache_retention": harmless,
	"cache_prompt":           harmless,
	"service_tier":           only("this node has one service tier", `"auto"`, `"default"`),
	"store":                  only("completions are never stored", "false"),
}
