package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/api/openai"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// maxEvent bounds one line of a stream.
const maxEvent = 8 << 20

// Generate implements admin.Generator by a stream of chat completions or, for a prompt, plain completions.
func (c *Client) Generate(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
	path, body := "/v1/completions", completionBody(req)
	if req.Messages != nil {
		path, body = "/v1/chat/completions", chatBody(req)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	response, err := c.send(ctx, http.MethodPost, path, body, "text/event-stream")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return nil, replyError(response)
	}
	reply := &core.Reply{Message: core.Message{Role: "assistant"}, Route: route(response.Header)}
	if err := emit(core.Delta{Route: &reply.Route}); err != nil {
		return nil, err
	}
	err = c.readEvents(ctx, response.Body, func(data []byte) error { return addChunk(reply, data, emit) })
	if err != nil {
		return nil, err
	}
	return reply, nil
}

// route reads the headers that tell which way a request went.
func route(h http.Header) core.Route {
	r := core.Route{Kind: h.Get("X-Shoal-Route")}
	for name := range strings.SplitSeq(h.Get("X-Shoal-Peers"), ",") {
		if id, err := core.ParsePeerID(name); err == nil {
			r.Peers = append(r.Peers, id)
		}
	}
	return r
}

// readEvents calls handle with the data of each event until the mark of a complete reply.
func (c *Client) readEvents(ctx context.Context, r io.Reader, handle func([]byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), maxEvent)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue // an empty line or a comment
		}
		if string(data) == "[DONE]" {
			return nil
		}
		if err := handle(data); err != nil {
			return err
		}
	}
	return c.cutOff(ctx, errors.Join(lines.Err(), io.ErrUnexpectedEOF))
}

// chunk is what the client reads of a chunk, of either kind of completions.
type chunk struct {
	Model   string `json:"model"`
	Choices []struct {
		Text         string        `json:"text"`
		Delta        openai.Delta  `json:"delta"`
		Logprobs     chunkLogprobs `json:"logprobs"`
		FinishReason string        `json:"finish_reason"`
	} `json:"choices"`
	Usage *openai.Usage       `json:"usage"`
	Error *openai.ErrorDetail `json:"error"`
}

// chunkLogprobs reads both shapes of log probabilities.
type chunkLogprobs struct {
	Content []openai.TokenLogprob `json:"content"`
	openai.TextLogprobs
}

// addChunk adds one chunk to reply and emits what is new.
func addChunk(reply *core.Reply, data []byte, emit func(core.Delta) error) error {
	var in chunk
	if err := json.Unmarshal(data, &in); err != nil {
		return core.Errorf(core.CodeInternal, "read a chunk of the reply: %w", err)
	}
	if in.Error != nil {
		return bodyError(openai.ErrorBody{Error: *in.Error})
	}
	reply.Model = in.Model
	if in.Usage != nil {
		reply.Usage = core.Usage{PromptTokens: in.Usage.PromptTokens, CompletionTokens: in.Usage.CompletionTokens}
		if d := in.Usage.PromptTokensDetails; d != nil {
			reply.Usage.CachedTokens = d.CachedTokens
		}
	}
	if len(in.Choices) == 0 {
		return nil
	}
	choice := in.Choices[0]
	if choice.FinishReason != "" {
		reply.FinishReason = choice.FinishReason
	}
	d := core.Delta{Text: choice.Text, Reasoning: choice.Delta.ReasoningContent, Logprobs: choice.Logprobs.tokens()}
	if choice.Delta.Content != nil {
		d.Text = *choice.Delta.Content
	}
	for _, call := range choice.Delta.ToolCalls {
		piece := core.ToolCallDelta{ID: call.ID, Name: call.Function.Name, Arguments: call.Function.Arguments}
		if call.Index != nil {
			piece.Index = *call.Index
		}
		d.ToolCalls = append(d.ToolCalls, piece)
	}
	if d.Text == "" && d.Reasoning == "" && d.ToolCalls == nil && d.Logprobs == nil {
		return nil
	}
	if err := addDelta(reply, d); err != nil {
		return err
	}
	return emit(d)
}

// addDelta adds a piece to the whole message.
func addDelta(reply *core.Reply, d core.Delta) error {
	m := &reply.Message
	m.Content += d.Text
	m.ReasoningContent += d.Reasoning
	reply.Logprobs = append(reply.Logprobs, d.Logprobs...)
	for _, piece := range d.ToolCalls {
		if piece.Index < 0 || piece.Index > len(m.ToolCalls) {
			return core.Errorf(core.CodeInternal, "the node sent tool call %d before those in front of it", piece.Index)
		}
		if piece.Index == len(m.ToolCalls) {
			m.ToolCalls = append(m.ToolCalls, core.ToolCall{})
		}
		call := &m.ToolCalls[piece.Index]
		call.ID += piece.ID
		call.Name += piece.Name
		call.Arguments += piece.Arguments
	}
	return nil
}

func (l chunkLogprobs) tokens() []core.TokenLogprob {
	var out []core.TokenLogprob
	for _, t := range l.Content {
		token := tokenLogprob(t)
		for _, top := range t.TopLogprobs {
			token.Top = append(token.Top, tokenLogprob(top))
		}
		out = append(out, token)
	}
	for i, text := range l.Tokens {
		token := core.TokenLogprob{Token: text, Bytes: []byte(text)}
		if i < len(l.TokenLogprobs) {
			token.Logprob = l.TokenLogprobs[i]
		}
		out = append(out, token)
	}
	return out
}

func tokenLogprob(t openai.TokenLogprob) core.TokenLogprob {
	out := core.TokenLogprob{Token: t.Token, Logprob: t.Logprob}
	for _, b := range t.Bytes {
		out.Bytes = append(out.Bytes, byte(b))
	}
	return out
}

// Embed implements admin.Generator. The inputs must be all texts or all tokens.
func (c *Client) Embed(ctx context.Context, req *core.EmbedRequest) ([][]float32, core.Usage, error) {
	var texts []string
	var tokens [][]int32
	for _, in := range req.Inputs {
		if in.Tokens != nil {
			tokens = append(tokens, in.Tokens)
		} else {
			texts = append(texts, in.Text)
		}
	}
	body := map[string]any{"model": req.Model, "input": texts, "encoding_format": "base64"}
	if tokens != nil {
		if texts != nil {
			return nil, core.Usage{}, core.Errorf(core.CodeInvalidRequest, "the inputs must be all texts or all tokens")
		}
		body["input"] = tokens
	}
	var out struct {
		Data []struct {
			Index     int    `json:"index"`
			Embedding []byte `json:"embedding"` // base64 in JSON
		} `json:"data"`
		Usage core.Usage `json:"usage"`
	}
	if err := c.call(ctx, http.MethodPost, "/v1/embeddings", body, &out); err != nil {
		return nil, core.Usage{}, err
	}
	vectors := make([][]float32, len(req.Inputs))
	for _, e := range out.Data {
		if e.Index < 0 || e.Index >= len(vectors) {
			return nil, core.Usage{}, core.Errorf(core.CodeInternal, "the node sent a vector that was not asked for")
		}
		vectors[e.Index] = decodeVector(e.Embedding)
	}
	return vectors, out.Usage, nil
}

func decodeVector(raw []byte) []float32 {
	v := make([]float32, len(raw)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return v
}
