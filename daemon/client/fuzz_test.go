package client

import (
	"bytes"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// FuzzStream reads streams that a node might send. What is emitted adds up to the reply.
func FuzzStream(f *testing.F) {
	for _, seed := range []string{
		"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
		": keep-alive\n\ndata: {\"choices\":[{\"text\":\"a\",\"logprobs\":{\"tokens\":[\"a\"],\"token_logprobs\":[-1]},\"finish_reason\":\"stop\"}]}\n\n",
		"data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"1\",\"function\":{\"name\":\"f\"}},{\"index\":-1}]}}]}\n\n",
		"data: {\"error\":{\"code\":\"engine_crashed\",\"message\":\"x\"}}\n\n", "data: {\"usage\":{\"prompt_tokens\":1}}\n\n", "data:", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		c := New(Config{URL: "http://127.0.0.1:1"})
		reply := &core.Reply{}
		text, reasoning := "", ""
		err := c.readEvents(t.Context(), bytes.NewReader(stream), func(data []byte) error {
			return addChunk(reply, data, func(d core.Delta) error {
				text += d.Text
				reasoning += d.Reasoning
				return nil
			})
		})
		if text != reply.Message.Content || reasoning != reply.Message.ReasoningContent {
			t.Fatalf("emitted %q, whole %q", text, reply.Message.Content)
		}
		if err == nil && !bytes.Contains(stream, []byte("[DONE]")) {
			t.Fatal("a stream without its end is whole")
		}
	})
}

// FuzzEvent decodes the data of events that a node might send.
func FuzzEvent(f *testing.F) {
	f.Add("activity_event", []byte(`{"kind":"x","timestamp":"2026-01-02T03:04:05Z"}`))
	f.Add("stats_update", []byte(`{"node_id":"n"}`))
	f.Add("models_changed", []byte(`null`))
	f.Fuzz(func(t *testing.T, kind string, raw []byte) {
		data, err := eventData(core.EventType(kind), raw)
		if err != nil {
			return
		}
		if _, ok := data.(core.Activity); ok != (core.EventType(kind) == core.EventActivity) {
			t.Fatalf("%s is a %T", kind, data)
		}
	})
}
