package model

import (
	"slices"
	"strconv"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// TurnState is how far an answer is.
type TurnState int

// The states of a Turn.
const (
	TurnDone    TurnState = iota
	TurnWaiting           // sent, no token yet
	TurnWriting           // tokens arrive
	TurnStopped           // the user stopped it; the text so far stays
	TurnFailed            // Problem says why; the text so far stays
)

// Turn is one message of a conversation.
type Turn struct {
	User      bool
	Text      string
	Reasoning string // what a thinking model wrote before the answer
	State     TurnState
	Model     string // name of the model that answered
	Together  Text   // the friends whose PCs took part
	Footer    []Text // small line under an answer: speed, time to the first token
	Problem   *Problem
}

// Running tells whether the turn is still being written.
func (t *Turn) Running() bool { return t.State == TurnWaiting || t.State == TurnWriting }

// Conversation is a chat, oldest turn first. It is not safe for concurrent use: one goroutine owns it.
type Conversation struct {
	ModelID string
	Turns   []Turn
	Names   func(ids []string) string // puts the names of PCs in a row

	sent, first time.Time
	tokens      int
	route       core.Route // which way the running answer goes
}

// titleLength is how much of the first message names a conversation in the list.
const titleLength = 40

// Title names the conversation by its first message; it is empty for a new one.
func (c *Conversation) Title() string {
	if len(c.Turns) == 0 {
		return ""
	}
	return Line(c.Turns[0].Text, titleLength)
}

// Running is the answer that is being written, or nil.
func (c *Conversation) Running() *Turn {
	if n := len(c.Turns); n > 0 && c.Turns[n-1].Running() {
		return &c.Turns[n-1]
	}
	return nil
}

// Ask adds the user's message and an empty answer, and returns the request for it. It does nothing and returns nil
// for an empty message, or while an answer is being written.
func (c *Conversation) Ask(text string, m admin.ModelInfo, now time.Time) *core.GenerateRequest {
	if Line(text, 8) == "" || c.Running() != nil {
		return nil
	}
	c.Turns = append(c.Turns, Turn{User: true, Text: text})
	return c.begin(m, now)
}

// Retry drops the last answer and returns the request that asks for it again; nil where there is nothing to retry.
func (c *Conversation) Retry(m admin.ModelInfo, now time.Time) *core.GenerateRequest {
	n := len(c.Turns)
	if n < 2 || c.Turns[n-1].User || c.Running() != nil {
		return nil
	}
	c.Turns = c.Turns[:n-1]
	return c.begin(m, now)
}

func (c *Conversation) begin(m admin.ModelInfo, now time.Time) *core.GenerateRequest {
	req := &core.GenerateRequest{Model: m.ID, Requester: "screen", Messages: c.messages()}
	if !IsDemo(m) { // it knows its answers by heart: chance makes word salad of them
		req.Sampling.Temperature, req.Sampling.TopP, req.Sampling.MinP = 0.7, 0.95, 0.05
	}
	c.ModelID, c.sent, c.first, c.tokens, c.route = m.ID, now, time.Time{}, 0, core.Route{}
	c.Turns = append(c.Turns, Turn{State: TurnWaiting, Model: ModelName(m)})
	return req
}

// messages is the conversation as a model reads it: answers that failed before their first word are left out, with
// the question they did not answer.
func (c *Conversation) messages() []core.Message {
	var ms []core.Message
	for _, t := range c.Turns {
		switch {
		case t.User:
			ms = append(ms, core.Message{Role: "user", Content: t.Text})
		case t.Text == "" && len(ms) > 0:
			ms = ms[:len(ms)-1]
		default:
			ms = append(ms, core.Message{Role: "assistant", Content: t.Text})
		}
	}
	return ms
}

// Append adds a piece of the running answer that arrived at now.
func (c *Conversation) Append(d core.Delta, now time.Time) {
	t := c.Running()
	switch {
	case t == nil:
		return
	case d.Route != nil: // comes alone, before the first word
		c.route, t.Together = *d.Route, c.together(*d.Route)
		return
	case c.first.IsZero():
		c.first = now
	}
	c.tokens++
	t.State = TurnWriting
	t.Text += d.Text
	t.Reasoning += d.Reasoning
}

// Finish closes the running answer with the node's reply or error.
func (c *Conversation) Finish(reply *core.Reply, err error, now time.Time) {
	t := c.Running()
	if t == nil {
		return
	}
	switch {
	case core.CodeOf(err) == core.CodeCancelled:
		t.State = TurnStopped
	case err != nil:
		t.State = TurnFailed
		p := ProblemOf(err)
		t.Problem = &p
	default:
		t.State = TurnDone
	}
	if reply != nil && reply.Usage.CompletionTokens > 0 {
		c.tokens = reply.Usage.CompletionTokens
	}
	t.Footer = c.footer(t.State, reply, now)
	if reply != nil && reply.Route.Kind != "" {
		t.Together = c.together(reply.Route)
		if lost := leavers(c.route, reply.Route); len(lost) > 0 && c.Names != nil {
			t.Footer = append(t.Footer, T("{{.Names}} dropped out on the way", "Names", c.Names(lost)))
		}
	}
}

// together says with whom an answer was made; it is empty for this PC alone.
func (c *Conversation) together(r core.Route) Text {
	if len(r.Peers) == 0 || c.Names == nil {
		return Text{}
	}
	return T("together with {{.Names}}", "Names", c.Names(texts(r.Peers)))
}

func texts(ids []core.PeerID) (out []string) {
	for _, id := range ids {
		if !slices.Contains(out, id.String()) {
			out = append(out, id.String())
		}
	}
	return out
}

// leavers are the PCs of the first route that are not in the last one.
func leavers(first, last core.Route) (ids []string) {
	stayed := texts(last.Peers)
	for _, id := range texts(first.Peers) {
		if !slices.Contains(stayed, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (c *Conversation) footer(state TurnState, reply *core.Reply, now time.Time) []Text {
	var f []Text
	if !c.first.IsZero() {
		// The first token is the end of reading the prompt, so it is not part of the writing speed.
		if d := now.Sub(c.first).Seconds(); c.tokens > 1 && d > 0.02 {
			f = append(f, T("{{.Speed}}", "Speed", Speed(float64(c.tokens-1)/d)))
		}
		f = append(f, T("first word after {{.Time}}", "Time", Brief(c.first.Sub(c.sent))),
			T("{{.N}} tokens", "N", strconv.Itoa(c.tokens)))
	}
	switch {
	case state == TurnStopped:
		f = append(f, T("stopped"))
	case reply != nil && reply.FinishReason == core.FinishLength:
		f = append(f, T("cut at the length limit"))
	}
	return f
}
