package openai

import "encoding/json"

const maxEmbeddings = 2048

// EmbeddingsRequest is a decoded request for embeddings.
type EmbeddingsRequest struct {
	Model  string
	Inputs []Prompt
	Base64 bool // vectors go out as base64 of little-endian float32 instead of numbers
}

type embeddingsBody struct {
	Model          string          `json:"model"`
	Input          json.RawMessage `json:"input"`
	EncodingFormat string          `json:"encoding_format"`
}

var embeddingsRules = map[string]rule{
	"user":       harmless,
	"metadata":   harmless,
	"dimensions": only("vectors have the model's own width; shortening is only sound for models trained for it"),
}

// EmbeddingRequest reads the body of POST /v1/embeddings.
func EmbeddingRequest(raw []byte) (*EmbeddingsRequest, error) {
	var in embeddingsBody
	if err := body(raw, &in, embeddingsRules); err != nil {
		return nil, err
	}
	if err := checkModel(in.Model); err != nil {
		return nil, err
	}
	switch in.EncodingFormat {
	case "", "float", "base64":
	default:
		return nil, refuse("encoding_format", "encoding_format must be float or base64")
	}
	inputs, err := textsOrTokens(in.Input, "input", maxEmbeddings)
	if err != nil {
		return nil, err
	}
	for _, p := range inputs {
		if p.Text == "" && len(p.Tokens) == 0 {
			return nil, refuse("input", "input must not hold an empty text")
		}
	}
	return &EmbeddingsRequest{Model: in.Model, Inputs: inputs, Base64: in.EncodingFormat == "base64"}, nil
}
