package openai

import (
	"encoding/json"
	"math"
	"testing"
	"unicode/utf8"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// checkRefusal checks that an error is one that a caller may be shown.
func checkRefusal(t *testing.T, err error) {
	t.Helper()
	code := core.CodeOf(err)
	if code != core.CodeInvalidRequest && code != core.CodeUnsupported {
		t.Fatalf("code %s: %v", code, err)
	}
	if msg := err.Error(); len(msg) > 600 || !utf8.ValidString(msg) {
		t.Fatalf("message %q", msg)
	}
}

// checkRequest checks what the node may rely on.
func checkRequest(t *testing.T, r *Request) {
	t.Helper()
	s := r.Sampling
	for _, v := range []float64{s.Temperature, s.TopP, s.MinP, s.RepeatPenalty, s.FrequencyPenalty, s.PresencePenalty} {
		if math.IsNaN(v) || v < -2 || v > 2 {
			t.Fatalf("sampling %+v", s)
		}
	}
	if r.Model == "" || len(r.Model) > maxModelName || r.N < 1 || r.N > maxChoices || r.MaxTokens < 0 || r.MaxTokens > maxTokens ||
		s.TopK < 0 || s.TopLogprobs < 0 || s.TopLogprobs > core.MaxLogprobs || len(r.Stop) > core.MaxStops || len(r.Tools) > maxTools {
		t.Fatalf("request %+v", r)
	}
	for id, v := range s.LogitBias {
		if id < 0 || v < -100 || v > 100 {
			t.Fatalf("bias %d: %v", id, v)
		}
	}
	for _, p := range r.Prompts {
		for _, id := range p.Tokens {
			if id < 0 {
				t.Fatalf("token %d", id)
			}
		}
	}
	if r.Format.Schema != nil && !json.Valid(r.Format.Schema) {
		t.Fatalf("schema %q", r.Format.Schema)
	}
	for _, tool := range r.Tools {
		if !toolName(tool.Name) || tool.Parameters != nil && !json.Valid(tool.Parameters) {
			t.Fatalf("tool %+v", tool)
		}
	}
}

func FuzzChatRequest(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m","messages":[{"role":"user","content":"hi"}]}`,
		`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url"}]}],"n":2,"stream":true,"stream_options":{"include_usage":true}}`,
		`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":{"type":"function","function":{"name":"f"}}}`,
		`{"model":"m","messages":[],"response_format":{"type":"json_schema","json_schema":{"schema":{}}},"stop":["a"],"logit_bias":{"1":1e9},"seed":-9223372036854775808}`,
		`{"model":null,"messages":null,"n":1e400}`, `[`, `null`, `{"a":{"b":[]}}`, "{\"\xff\":1}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ChatRequest(body)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		if len(r.Messages) == 0 {
			t.Fatal("no messages")
		}
		checkRequest(t, r)
	})
}

func FuzzCompletionRequest(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m","prompt":"hi"}`, `{"model":"m","prompt":["a","b"],"n":2,"logprobs":3}`, `{"model":"m","prompt":[1,2]}`,
		`{"model":"m","prompt":[[1],[2]],"echo":true,"best_of":1,"suffix":""}`, `{"model":"m","prompt":[1,"a",null]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := CompletionRequest(body)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		if len(r.Prompts) == 0 || len(r.Prompts)*r.N > maxPrompts || r.MaxTokens == 0 {
			t.Fatalf("request %+v", r)
		}
		checkRequest(t, r)
	})
}

func FuzzEmbeddingRequest(f *testing.F) {
	for _, seed := range []string{`{"model":"m","input":"hi"}`, `{"model":"m","input":[[1],[2,3]],"encoding_format":"base64"}`, `{"model":"m","input":[""],"dimensions":3}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := EmbeddingRequest(body)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		for _, p := range r.Inputs {
			if p.Text == "" && len(p.Tokens) == 0 {
				t.Fatalf("empty input in %q", body)
			}
		}
	})
}
