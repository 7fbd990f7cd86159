// Package apitest has a scripted node, for tests of the API and of its clients.
package apitest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/event"
)

// Key is the API key of a Node.
const Key = "test-key-0123456789abcdef0123456789abcdef"

// Models on a Node.
const (
	Loaded  = "shoal-demo" // in memory
	OnDisk  = "tiny"       // on disk only
	Crashed = "crashed"    // its engine dies after the first piece of a reply
	Busy    = "busy"       // its queue is full
)

// Node is an admin.Node with a script instead of an engine. The zero value is ready. It is safe for concurrent use.
type Node struct {
	// Script, if set, answers instead of Answer.
	Script func(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error)

	// NotANumber puts a number into the metadata that JSON cannot hold.
	NotANumber bool

	calls  atomic.Int64
	events event.Bus
	past   sync.Once

	mu        sync.Mutex // guards what follows
	requests  []*core.GenerateRequest
	locked    map[int]bool
	encrypted bool
	patch     []byte
	paused    bool
	stopped   bool
}

var _ admin.Node = (*Node)(nil)

// Calls is how many methods of the node the API called, APIKey not counted: the guard needs that one.
func (n *Node) Calls() int { return int(n.calls.Load()) }

// Requests are those that Generate got.
func (n *Node) Requests() []*core.GenerateRequest {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.requests)
}

// Stopped tells whether Shutdown was called, and Paused whether the node is paused.
func (n *Node) Stopped() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stopped
}

// Paused tells whether the node was paused and not resumed.
func (n *Node) Paused() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.paused
}

// Patch is the last settings that SetConfig got.
func (n *Node) Patch() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.patch
}

// Generate implements admin.Generator.
func (n *Node) Generate(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
	n.calls.Add(1)
	n.mu.Lock()
	n.requests = append(n.requests, req)
	n.mu.Unlock()
	switch {
	case n.Script != nil:
		return n.Script(ctx, req, emit)
	case req.Model == Busy:
		return nil, core.Errorf(core.CodeOverloaded, "64 requests are waiting")
	case req.Model == Crashed:
		if err := emit(core.Delta{Text: "Once"}); err != nil {
			return nil, err
		}
		return nil, core.Errorf(core.CodeEngineCrashed, "the engine of model crashed stopped")
	case req.Model != Loaded && req.Model != OnDisk:
		return nil, core.Errorf(core.CodeNotFound, "the model %q does not exist here", req.Model).WithParam("model")
	}
	return Answer(ctx, req, emit)
}

// Answer is the scripted reply: a tool call when a tool was offered, JSON when JSON was asked for, else a sentence
// in pieces of one word, as many as MaxTokens allows.
func Answer(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
	reply := &core.Reply{Model: req.Model, Message: core.Message{Role: "assistant"}, FinishReason: core.FinishStop}
	send := func(d core.Delta) error {
		if err := ctx.Err(); err != nil {
			return core.Errorf(core.CodeCancelled, "the request was cancelled")
		}
		reply.Usage.CompletionTokens++
		reply.Message.Content += d.Text
		reply.Message.ReasoningContent += d.Reasoning
		reply.Logprobs = append(reply.Logprobs, d.Logprobs...)
		return emit(d)
	}
	reply.Route = core.Route{Kind: core.RouteLocal}
	if err := emit(core.Delta{Route: &reply.Route}); err != nil {
		return nil, err
	}
	reply.Usage.PromptTokens = promptTokens(req)
	reply.Usage.CachedTokens = 1
	if len(req.Tools) > 0 && req.ToolChoice != "none" {
		return reply, callTool(req, reply, send)
	}
	words := sentence(req)
	if req.MaxTokens > 0 && req.MaxTokens < len(words) {
		words, reply.FinishReason = words[:req.MaxTokens], core.FinishLength
	}
	for i, word := range words {
		d := core.Delta{Text: word}
		if req.Sampling.Logprobs {
			d.Logprobs = []core.TokenLogprob{logprob(word, i, req.Sampling.TopLogprobs)}
		}
		if err := send(d); err != nil {
			return nil, err
		}
	}
	return reply, nil
}

func promptTokens(req *core.GenerateRequest) int {
	count := len(req.PromptIDs) + len(strings.Fields(req.Prompt))
	for _, m := range req.Messages {
		count += len(strings.Fields(m.Content))
	}
	return count
}

func sentence(req *core.GenerateRequest) []string {
	switch req.Format.Kind {
	case "json_object":
		return []string{`{"ok":`, ` true}`}
	case "json_schema":
		return []string{`{"name":`, ` "Shoal",`, ` "nodes":`, ` 3}`}
	}
	words := []string{"A", " shoal", " is", " many", " fish", "."}
	if req.Echo {
		words = append([]string{req.Prompt}, words...)
	}
	return words
}

func logprob(word string, i, top int) core.TokenLogprob {
	out := core.TokenLogprob{Token: word, Bytes: []byte(word), ID: int32(i), Logprob: -0.25}
	for j := range top {
		out.Top = append(out.Top, core.TokenLogprob{Token: fmt.Sprintf("%s%d", word, j), Bytes: []byte(word), ID: int32(j), Logprob: -0.25 - float64(j)})
	}
	return out
}

// callTool calls the first tool, or the one that was chosen, twice.
func callTool(req *core.GenerateRequest, reply *core.Reply, send func(core.Delta) error) error {
	name := req.Tools[0].Name
	if c := req.ToolChoice; c != "" && c != "auto" && c != "required" {
		name = c
	}
	for i, city := range []string{"Paris", "Rome"} {
		id := fmt.Sprintf("call_%d", i)
		arguments := fmt.Sprintf(`{"city":%q}`, city)
		reply.Message.ToolCalls = append(reply.Message.ToolCalls, core.ToolCall{ID: id, Name: name, Arguments: arguments})
		for _, d := range []core.ToolCallDelta{
			{Index: i, ID: id, Name: name},
			{Index: i, Arguments: arguments[:5]},
			{Index: i, Arguments: arguments[5:]},
		} {
			if err := send(core.Delta{ToolCalls: []core.ToolCallDelta{d}}); err != nil {
				return err
			}
		}
	}
	reply.FinishReason = core.FinishToolCalls
	return nil
}

// Embed implements admin.Generator: the vector of a text is (1, 0, …) turned by its length.
func (n *Node) Embed(_ context.Context, req *core.EmbedRequest) ([][]float32, core.Usage, error) {
	n.calls.Add(1)
	if req.Model != Loaded {
		return nil, core.Usage{}, core.Errorf(core.CodeNotFound, "the model %q does not exist here", req.Model).WithParam("model")
	}
	out := make([][]float32, len(req.Inputs))
	usage := core.Usage{}
	for i, in := range req.Inputs {
		size := len(in.Text) + len(in.Tokens)
		out[i] = make([]float32, 4)
		out[i][size%4] = 1
		usage.PromptTokens += max(1, len(strings.Fields(in.Text))+len(in.Tokens))
	}
	return out, usage, nil
}

// Config implements admin.Control.
func (n *Node) Config(context.Context) (json.RawMessage, error) {
	n.calls.Add(1)
	return json.RawMessage(`{"max_concurrent_requests":8,"shard_size_mb":512}`), nil
}

// SetConfig implements admin.Control.
func (n *Node) SetConfig(_ context.Context, patch json.RawMessage) error {
	n.calls.Add(1)
	var in map[string]any
	if err := json.Unmarshal(patch, &in); err != nil {
		return core.Errorf(core.CodeInvalidRequest, "settings: %w", err)
	}
	if _, ok := in["no_such_setting"]; ok {
		return core.Errorf(core.CodeInvalidRequest, "there is no setting no_such_setting").WithParam("no_such_setting")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.patch = patch
	return nil
}

// ReloadConfig implements admin.Control.
func (n *Node) ReloadConfig(context.Context) (admin.ConfigReloaded, error) {
	n.calls.Add(1)
	return admin.ConfigReloaded{Status: "ok", Changed: 1, Applied: []string{"max_concurrent_requests"}}, nil
}

// Pause implements admin.Control.
func (n *Node) Pause(context.Context) error { return n.setPaused(true) }

// Resume implements admin.Control.
func (n *Node) Resume(context.Context) error { return n.setPaused(false) }

func (n *Node) setPaused(paused bool) error {
	n.calls.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.paused = paused
	return nil
}

// Shutdown implements admin.Control.
func (n *Node) Shutdown(context.Context) error {
	n.calls.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
	return nil
}

// APIKey implements admin.Control.
func (n *Node) APIKey() string { return Key }

// Ready implements admin.Control; a paused node is not ready.
func (n *Node) Ready(context.Context) (bool, map[string]string) {
	n.calls.Add(1)
	if n.Paused() {
		return false, map[string]string{"api": "ok", "store": "ok", "runtime": "ok", "models": "paused"}
	}
	return true, map[string]string{"api": "ok", "store": "ok", "runtime": "ok", "models": "ok"}
}

// Subscribe implements admin.Control: first two events from the past, then those of Publish, over the bus of a real node.
func (n *Node) Subscribe(ctx context.Context, since uint64) <-chan core.Event {
	n.calls.Add(1)
	n.past.Do(func() {
		for i, kind := range []string{"daemon_started", "model_loaded"} {
			n.events.Publish(core.EventActivity, core.Activity{Kind: kind, Message: kind, Timestamp: time.Unix(int64(i), 0)})
		}
	})
	return n.events.Subscribe(ctx, since)
}

// Publish sends an event to all subscribers.
func (n *Node) Publish(kind core.EventType, data any) { n.events.Publish(kind, data) }

// Subscribers is how many subscriptions are open.
func (n *Node) Subscribers() int {
	count, _ := n.events.Watched()
	return count
}
