package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// echo is a node that answers with the last message and notes what it was asked.
type echo struct {
	api.Node
	asked [][]core.Message
}

func (e *echo) Generate(_ context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
	e.asked = append(e.asked, req.Messages)
	text := "you said " + req.Messages[len(req.Messages)-1].Content
	if err := emit(core.Delta{Reasoning: "hm", Text: ""}); err != nil {
		return nil, err
	}
	if err := emit(core.Delta{Text: text}); err != nil {
		return nil, err
	}
	return &core.Reply{Model: req.Model, Message: core.Message{Role: "assistant", Content: text}, FinishReason: core.FinishStop}, nil
}

func TestConversationRemembers(t *testing.T) {
	node, out := &echo{}, &bytes.Buffer{}
	s := &session{ctx: t.Context(), terminal: newTerminal(strings.NewReader("one\n\ntwo\n/bye\nthree\n"), out, io.Discard, false)}
	talk := &conversation{session: s, node: node, chatCmd: &chatCmd{Model: "auto", System: "be short"}}
	if err := talk.typed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(node.asked) != 2 || len(node.asked[1]) != 4 {
		t.Fatalf("asked %v", node.asked)
	}
	for i, want := range []core.Message{
		{Role: "system", Content: "be short"}, {Role: "user", Content: "one"}, {Role: "assistant", Content: "you said one"}, {Role: "user", Content: "two"},
	} {
		if got := node.asked[1][i]; got.Role != want.Role || got.Content != want.Content {
			t.Errorf("message %d: got %v, want %v", i, got, want)
		}
	}
	if strings.Contains(out.String(), "hm") || !strings.Contains(out.String(), "you said two") {
		t.Errorf("output %q", out.String())
	}
}

func TestProgressInLines(t *testing.T) {
	var lines bytes.Buffer
	report, done := newTerminal(strings.NewReader(""), io.Discard, &lines, false).progress("Importing")
	for n := int64(0); n <= 1000; n++ {
		report(core.Progress{Done: n, Total: 1000})
	}
	done()
	if want := "Importing 25% of 1000 B\nImporting 50% of 1000 B\nImporting 75% of 1000 B\nImporting 100% of 1000 B\n"; lines.String() != want {
		t.Errorf("got %q", lines.String())
	}
}
