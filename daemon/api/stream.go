package api

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/api/openai"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// streamCompletion sends a reply in chunks as it is made. An error before the first chunk has its own status; one
// that comes later is an event, and the stream then ends without the mark of a complete reply.
func (s *Server) streamCompletion(c *call, req *openai.Request) error {
	ctx, cancel := context.WithCancel(c.ctx())
	defer cancel()
	events := openEvents(c.Context, s.limits.KeepAlive)
	defer events.close()
	jobs := split(req)
	out := &chunks{events: events, req: req, began: time.Now(), head: newCompletion(req, "chat.completion.chunk"), choices: make([]chunkState, len(jobs))}

	replies, err := s.generate(ctx, jobs, out.delta)
	if err != nil {
		return events.fail(err)
	}
	for i, r := range replies {
		if err := out.finish(i, r.FinishReason); err != nil {
			return events.fail(err)
		}
	}
	if req.IncludeUsage {
		last := out.head
		last.Choices = []openai.Choice{}
		last.Usage = openai.NewUsage(usages(replies), req.N)
		if err := events.send(last); err != nil {
			return events.fail(err)
		}
	}
	return events.done()
}

// chunks turns the pieces of several replies into the chunks of one stream.
type chunks struct {
	events *eventStream
	req    *openai.Request
	began  time.Time
	head   openai.Completion

	mu      sync.Mutex // guards all below, and keeps the chunks of a choice in order
	choices []chunkState
	route   core.Route // of the reply that told it first
	opened  bool       // the headers are out
}

type chunkState struct {
	begun  bool              // the chunk with the role was sent
	offset openai.TextOffset // of the text with log probabilities so far
}

// delta sends a piece of reply i.
func (o *chunks) delta(i int, d core.Delta) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d.Route != nil {
		if o.route.Kind == "" {
			o.route = *d.Route
		}
		return nil
	}
	if err := o.begin(i); err != nil {
		return err
	}
	if o.req.SingleToolCall {
		d.ToolCalls = slices.DeleteFunc(slices.Clone(d.ToolCalls), func(c core.ToolCallDelta) bool { return c.Index > 0 })
	}
	if d.Text == "" && d.Reasoning == "" && len(d.ToolCalls) == 0 && len(d.Logprobs) == 0 {
		return nil
	}
	choice := openai.Choice{Index: i}
	if o.req.Chat {
		choice.Delta = openai.NewDelta(d)
		if lp := openai.NewChatLogprobs(d.Logprobs); lp != nil {
			choice.Logprobs = lp
		}
		return o.send(choice)
	}
	choice.Text = &d.Text
	if lp := openai.NewTextLogprobs(d.Logprobs, &o.choices[i].offset); lp != nil {
		choice.Logprobs = lp
	}
	return o.send(choice)
}

// begin sends the role of reply i before its first piece.
func (o *chunks) begin(i int) error {
	if o.choices[i].begun || !o.req.Chat {
		return nil
	}
	o.choices[i].begun = true
	empty := ""
	return o.send(openai.Choice{Index: i, Delta: &openai.Delta{Role: "assistant", Content: &empty}})
}

// finish sends why reply i ended.
func (o *chunks) finish(i int, reason string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.begin(i); err != nil {
		return err
	}
	choice := openai.Choice{Index: i, FinishReason: &reason}
	if o.req.Chat {
		choice.Delta = &openai.Delta{}
	} else {
		choice.Text = new(string)
	}
	return o.send(choice)
}

func (o *chunks) send(choice openai.Choice) error {
	if !o.opened {
		o.opened = true
		o.events.header(func(h http.Header) { setRoute(h, o.route, time.Since(o.began)) })
	}
	chunk := o.head
	chunk.Choices = []openai.Choice{choice}
	return o.events.send(chunk)
}
