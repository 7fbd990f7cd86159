package core

import "encoding/json"

// Message is one turn of a conversation.
type Message struct {
	Role             string     `json:"role"` // "system", "user", "assistant" or "tool"
	Content          string     `json:"content"`
	ReasoningContent string     `json:"reasoning_content,omitempty"`
	Name             string     `json:"name,omitempty"`
	ToolCalls        []ToolCall `json:"tool_calls,omitempty"`
	ToolCallID       string     `json:"tool_call_id,omitempty"`
}

// ToolCall is a function the model asks the client to call. Arguments is a JSON object as text.
type ToolCall struct {
	ID        string
	Name      string
	Arguments string
}

// Tool is a function a request offers to the model. Parameters is a JSON schema, or nil for none.
type Tool struct {
	Name        string
	Description string
	Parameters  json.RawMessage
	Strict      bool
}

// Format is what the text of a reply must be.
type Format struct {
	Kind   string          // "" or "text": anything, "json_object", "json_schema", "grammar"
	Schema json.RawMessage // for "json_schema"
	GBNF   string          // for "grammar"
}

// Sampling is how the next token is chosen. The zero value is greedy; pointers tell "not given" from zero.
type Sampling struct {
	Temperature      float64 // 0 is greedy
	TopK             int     // 0 keeps all
	TopP             float64 // 0 or 1 keeps all
	MinP             float64
	RepeatPenalty    float64 // 0 or 1 is none
	FrequencyPenalty float64
	PresencePenalty  float64
	Seed             *uint32 // nil draws one
	LogitBias        map[int32]float64
	Grammar          string // GBNF, root rule "root"; empty for none
	TopLogprobs      int    // alternatives to report per token, with Logprobs
	Logprobs         bool
}

// GenerateRequest asks for one continuation. Either Messages is set (the model's chat template makes the
// prompt) or Prompt is.
type GenerateRequest struct {
	Model string
	// Requester is who asks: the sender, his program and its user, with "\x00" between them. Requests wait in turn by it,
	// and a prefix cache is never shared between requesters.
	Requester  string
	Messages   []Message
	Prompt     string
	PromptIDs  []int32 // a prompt already in tokens, instead of Prompt
	Tools      []Tool
	ToolChoice string // "auto", "none", "required" or the name of a tool
	Format     Format
	Sampling   Sampling
	MaxTokens  int // 0 is as many as the context holds
	Stop       []string
	Echo       bool
	// TemplateArgs are extra variables of the chat template, such as enable_thinking.
	TemplateArgs map[string]any
}

// Delta is one piece of a reply, in order. Text never ends inside a UTF-8 sequence.
type Delta struct {
	Text      string
	Reasoning string
	ToolCalls []ToolCallDelta
	Logprobs  []TokenLogprob
	// Route comes alone, before the first piece: which way the request goes. A reply without one is a local one.
	Route *Route
}

// ToolCallDelta is a piece of a tool call. ID and Name come with the first piece of each Index.
type ToolCallDelta struct {
	Index     int
	ID        string
	Name      string
	Arguments string
}

// TokenLogprob is a sampled token with the natural logarithm of its probability.
type TokenLogprob struct {
	Token   string
	Bytes   []byte
	ID      int32
	Logprob float64
	Top     []TokenLogprob
}

// Finish reasons of a Reply.
const (
	FinishStop      = "stop"
	FinishLength    = "length"
	FinishToolCalls = "tool_calls"
)

// Usage counts the tokens of a request.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	CachedTokens     int `json:"-"` // prompt tokens whose KV cache was reused
}

// Reply is a finished continuation. Message holds the whole text, also when it was streamed.
type Reply struct {
	Model        string
	Message      Message
	Logprobs     []TokenLogprob
	FinishReason string
	Usage        Usage
	Route        Route // the way it went in the end
}

// The ways a request can go.
const (
	RouteLocal       = "local"       // one window on this PC
	RouteSplit       = "split"       // several windows, all on this PC
	RouteDistributed = "distributed" // windows on other PCs too
	RouteNone        = "none"        // nobody can serve it
)

// Route is which way a request went.
type Route struct {
	Kind  string   // a route
	Peers []PeerID // other nodes that took part, in the order of the chain
}

// EmbedRequest asks for the vectors of texts.
type EmbedRequest struct {
	Model     string
	Requester string // as in GenerateRequest
	Inputs    []EmbedInput
}

// EmbedInput is one text to turn into a vector; Tokens, if not nil, stand for it.
type EmbedInput struct {
	Text   string
	Tokens []int32
}
