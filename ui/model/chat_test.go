package model

import (
	"context"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

var demo = admin.ModelInfo{ID: "demo", Name: "Demo"}

func TestConversationKeepsItsTurns(t *testing.T) {
	var c Conversation
	now := time.Unix(1000, 0)
	if c.Ask(" \n", demo, now) != nil {
		t.Error("an empty message was sent")
	}
	req := c.Ask("hello", demo, now)
	if req == nil || req.Model != "demo" || len(req.Messages) != 1 {
		t.Fatalf("request %+v", req)
	}
	if c.Ask("again", demo, now) != nil {
		t.Error("a second message was sent while the first is answered")
	}
	c.Append(core.Delta{Text: "Hi"}, now.Add(time.Second))
	c.Append(core.Delta{Text: " there"}, now.Add(2*time.Second))
	c.Finish(&core.Reply{Usage: core.Usage{CompletionTokens: 11}}, nil, now.Add(3*time.Second))
	turn := c.Turns[1]
	if turn.Text != "Hi there" || turn.State != TurnDone || turn.Model != "Demo" || c.Title() != "hello" {
		t.Errorf("turn %+v, title %q", turn, c.Title())
	}
	// 10 tokens in the 2 s after the first one, which took 1 s.
	if got := turn.Footer; len(got) != 3 || got[0].Args["Speed"] != "5.0 tok/s" || got[1].Args["Time"] != "1.0 s" || got[2].Args["N"] != "11" {
		t.Errorf("footer %+v", got)
	}
	if req := c.Ask("more", demo, now); len(req.Messages) != 3 {
		t.Errorf("the second request has %d messages", len(req.Messages))
	}
}

func TestRetryAsksTheSameAgain(t *testing.T) {
	var c Conversation
	now := time.Unix(1000, 0)
	if c.Retry(demo, now) != nil {
		t.Error("there was nothing to retry")
	}
	c.Ask("hello", demo, now)
	c.Finish(nil, core.Errorf(core.CodeEngineCrashed, "worker ended"), now)
	if c.Turns[1].State != TurnFailed || c.Turns[1].Problem == nil {
		t.Fatalf("turn %+v", c.Turns[1])
	}
	req := c.Retry(demo, now)
	if req == nil || len(req.Messages) != 1 || req.Messages[0].Content != "hello" || len(c.Turns) != 2 {
		t.Fatalf("request %+v, %d turns", req, len(c.Turns))
	}
}

func TestStopKeepsTheText(t *testing.T) {
	var c Conversation
	now := time.Unix(1000, 0)
	c.Ask("hello", demo, now)
	c.Append(core.Delta{Text: "half an"}, now)
	c.Finish(nil, core.Errorf(core.CodeCancelled, "stopped: %w", context.Canceled), now.Add(time.Second))
	if turn := c.Turns[1]; turn.State != TurnStopped || turn.Text != "half an" || turn.Problem != nil {
		t.Errorf("turn %+v", turn)
	}
}

// Chat templates refuse two messages of the same role in a row, which a failed answer would leave behind.
func TestUnansweredQuestionsAreNotSentAgain(t *testing.T) {
	var c Conversation
	now := time.Unix(1000, 0)
	c.Ask("first", demo, now)
	c.Finish(nil, core.Errorf(core.CodeOverloaded, "busy"), now)
	req := c.Ask("second", demo, now)
	if len(req.Messages) != 1 || req.Messages[0].Content != "second" {
		t.Errorf("messages %+v", req.Messages)
	}
}
