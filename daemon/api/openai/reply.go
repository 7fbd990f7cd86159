package openai

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Completion is the reply of chat and plain completions, whole or, in a stream, one chunk of it.
type Completion struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Created int64    `json:"created"` // Unix seconds
	Model   string   `json:"model"`
	Choices []Choice `json:"choices"`
	Usage   *Usage   `json:"usage,omitempty"`
}

// Choice is one of the n replies. One of Message, Delta and Text is set.
type Choice struct {
	Index        int      `json:"index"`
	Message      *Message `json:"message,omitempty"`
	Delta        *Delta   `json:"delta,omitempty"`
	Text         *string  `json:"text,omitempty"`
	Logprobs     any      `json:"logprobs"` // *ChatLogprobs, *TextLogprobs or nil
	FinishReason *string  `json:"finish_reason"`
}

// Message is the assistant's message in a whole reply. Content is nil when there are only tool calls.
type Message struct {
	Role             string     `json:"role"`
	Content          *string    `json:"content"`
	Refusal          *string    `json:"refusal"` // always null: a local model's refusal is text
	ReasoningContent string     `json:"reasoning_content,omitempty"`
	ToolCalls        []ToolCall `json:"tool_calls,omitempty"`
}

// Delta is a piece of the assistant's message.
type Delta struct {
	Role             string     `json:"role,omitempty"`
	Content          *string    `json:"content,omitempty"`
	ReasoningContent string     `json:"reasoning_content,omitempty"`
	ToolCalls        []ToolCall `json:"tool_calls,omitempty"`
}

// ToolCall is a call of a function, or in a stream a piece of one.
type ToolCall struct {
	Index    *int         `json:"index,omitempty"` // in a stream
	ID       string       `json:"id,omitempty"`
	Type     string       `json:"type,omitempty"`
	Function FunctionCall `json:"function"`
}

// FunctionCall names a function and its arguments, a JSON object as text.
type FunctionCall struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

// Usage counts tokens.
type Usage struct {
	PromptTokens        int           `json:"prompt_tokens"`
	CompletionTokens    int           `json:"completion_tokens"`
	TotalTokens         int           `json:"total_tokens"`
	PromptTokensDetails *TokenDetails `json:"prompt_tokens_details,omitempty"`
}

// TokenDetails tells how many prompt tokens were taken from the prefix cache.
type TokenDetails struct {
	CachedTokens int `json:"cached_tokens"`
}

// ChatLogprobs are the log probabilities of a chat reply.
type ChatLogprobs struct {
	Content []TokenLogprob `json:"content"`
	Refusal *string        `json:"refusal"`
}

// TokenLogprob is one token with the natural logarithm of its probability. Bytes is nil for a token without text.
type TokenLogprob struct {
	Token       string         `json:"token"`
	Logprob     float64        `json:"logprob"`
	Bytes       []int          `json:"bytes"`
	TopLogprobs []TokenLogprob `json:"top_logprobs,omitzero"`
}

// TextLogprobs are the log probabilities of a plain completion; element i of each list is about token i.
type TextLogprobs struct {
	Tokens        []string             `json:"tokens"`
	TokenLogprobs []float64            `json:"token_logprobs"`
	TopLogprobs   []map[string]float64 `json:"top_logprobs"`
	TextOffset    []int                `json:"text_offset"` // in characters of the text
}

// NewUsage adds up the token counts of replies to prompts; each prompt was answered n times and counts once.
func NewUsage(replies []core.Usage, n int) *Usage {
	u := Usage{PromptTokensDetails: &TokenDetails{}}
	for i, r := range replies {
		u.CompletionTokens += r.CompletionTokens
		if i%n == 0 {
			u.PromptTokens += r.PromptTokens
			u.PromptTokensDetails.CachedTokens += r.CachedTokens
		}
	}
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	return &u
}

// NewMessage is the assistant's message of a whole reply.
func NewMessage(m core.Message) *Message {
	out := &Message{Role: "assistant", ReasoningContent: m.ReasoningContent}
	if m.Content != "" || len(m.ToolCalls) == 0 {
		out.Content = &m.Content
	}
	for _, c := range m.ToolCalls {
		out.ToolCalls = append(out.ToolCalls, ToolCall{ID: c.ID, Type: "function", Function: FunctionCall{c.Name, c.Arguments}})
	}
	return out
}

// NewDelta is a piece of the assistant's message in a stream.
func NewDelta(d core.Delta) *Delta {
	out := &Delta{ReasoningContent: d.Reasoning}
	if d.Text != "" {
		out.Content = &d.Text
	}
	for _, c := range d.ToolCalls {
		call := ToolCall{Index: &c.Index, ID: c.ID, Function: FunctionCall{c.Name, c.Arguments}}
		if c.ID != "" || c.Name != "" {
			call.Type = "function"
		}
		out.ToolCalls = append(out.ToolCalls, call)
	}
	return out
}

// NewChatLogprobs puts log probabilities in the shape of the chat API; it is nil for none.
func NewChatLogprobs(tokens []core.TokenLogprob) *ChatLogprobs {
	if len(tokens) == 0 {
		return nil
	}
	out := &ChatLogprobs{Content: make([]TokenLogprob, len(tokens))}
	for i, t := range tokens {
		out.Content[i] = tokenLogprob(t)
		out.Content[i].TopLogprobs = make([]TokenLogprob, len(t.Top))
		for j, top := range t.Top {
			out.Content[i].TopLogprobs[j] = tokenLogprob(top)
		}
	}
	return out
}

func tokenLogprob(t core.TokenLogprob) TokenLogprob {
	out := TokenLogprob{Token: t.Token, Logprob: finite(t.Logprob)}
	if len(t.Bytes) > 0 {
		out.Bytes = make([]int, len(t.Bytes))
		for i, b := range t.Bytes {
			out.Bytes[i] = int(b)
		}
	}
	return out
}

// TextOffset is a place in a text that comes in tokens, counted in characters. The zero value is its start.
type TextOffset struct {
	characters int
	begun      []byte // of a character whose end has not come
}

// pass goes over the bytes of a token and returns where it stands: the end of a character stands where the character does.
func (o *TextOffset) pass(token []byte) (at int) {
	at = o.characters
	o.begun = append(o.begun, token...)
	for len(o.begun) > 0 && utf8.FullRune(o.begun) {
		_, size := utf8.DecodeRune(o.begun)
		o.begun = o.begun[size:]
		o.characters++
	}
	return at
}

// NewTextLogprobs puts log probabilities in the shape of plain completions. offset is where the tokens begin; it goes
// over them.
func NewTextLogprobs(tokens []core.TokenLogprob, offset *TextOffset) *TextLogprobs {
	if len(tokens) == 0 {
		return nil
	}
	out := &TextLogprobs{}
	for _, t := range tokens {
		out.Tokens = append(out.Tokens, t.Token)
		out.TokenLogprobs = append(out.TokenLogprobs, finite(t.Logprob))
		out.TextOffset = append(out.TextOffset, offset.pass(t.Bytes))
		top := make(map[string]float64, len(t.Top))
		for _, c := range t.Top {
			top[c.Token] = finite(c.Logprob)
		}
		out.TopLogprobs = append(out.TopLogprobs, top)
	}
	return out
}

// finite replaces what JSON cannot hold: the logarithm of a probability of zero.
func finite(v float64) float64 {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return -9999
	}
	return v
}

// Embeddings is the reply of POST /v1/embeddings.
type Embeddings struct {
	Object string      `json:"object"`
	Data   []Embedding `json:"data"`
	Model  string      `json:"model"`
	Usage  struct {
		PromptTokens int `json:"prompt_tokens"`
		TotalTokens  int `json:"total_tokens"`
	} `json:"usage"`
}

// Embedding is one vector: []float32, or a string of base64.
type Embedding struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"`
}

// NewEmbeddings puts vectors in the shape of the API.
func NewEmbeddings(model string, vectors [][]float32, usage core.Usage, asBase64 bool) *Embeddings {
	out := &Embeddings{Object: "list", Model: model, Data: make([]Embedding, len(vectors))}
	for i, v := range vectors {
		out.Data[i] = Embedding{Object: "embedding", Index: i, Embedding: v}
		if asBase64 {
			out.Data[i].Embedding = encodeVector(v)
		}
	}
	out.Usage.PromptTokens = usage.PromptTokens
	out.Usage.TotalTokens = usage.PromptTokens
	return out
}

func encodeVector(v []float32) string {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// Model is one entry of GET /v1/models. The lengths are left out when unknown.
type Model struct {
	ID            string `json:"id"`
	Object        string `json:"object"`
	Created       int64  `json:"created"`
	OwnedBy       string `json:"owned_by"` // "local", "hybrid" or "network"
	MaxModelLen   int    `json:"max_model_len,omitempty"`
	ContextLength int    `json:"context_length,omitempty"`
}

// Models is the reply of GET /v1/models.
type Models struct {
	Object string  `json:"object"`
	Data   []Model `json:"data"`
}

// ErrorBody is the body of every error reply.
type ErrorBody struct {
	Error ErrorDetail `json:"error"`
}

// ErrorDetail says what went wrong, for programs and for people.
type ErrorDetail struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Code    string  `json:"code"`
	Param   *string `json:"param"`
	Hint    *string `json:"hint"`
}
