package openai

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// taken is how many bytes fn allocates, whether it keeps them or not.
func taken(fn func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

func repeated(head, element, tail string, n int) []byte {
	return []byte(head + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + tail)
}

// TestCountsComeBeforeDecoding: what has too many elements is refused for the price of looking at it.
func TestCountsComeBeforeDecoding(t *testing.T) {
	const message, many = `{"role":"user","content":""}`, 50_000
	chat := func(body []byte) error { _, err := ChatRequest(body); return err }
	plain := func(body []byte) error { _, err := CompletionRequest(body); return err }
	embed := func(body []byte) error { _, err := EmbeddingRequest(body); return err }
	start := `{"model":"m","messages":[` + message + `],`
	for name, test := range map[string]struct {
		read  func([]byte) error
		body  []byte
		param string
	}{
		"messages":   {chat, repeated(`{"model":"m","messages":[`, message, `]}`, many), "messages"},
		"parts":      {chat, repeated(`{"model":"m","messages":[{"role":"user","content":[`, `{"type":"text"}`, `]}]}`, many), "messages[0].content"},
		"calls":      {chat, repeated(`{"model":"m","messages":[{"role":"assistant","tool_calls":[`, `{"function":{"name":"f"}}`, `]}]}`, many), "messages[0].tool_calls"},
		"tools":      {chat, repeated(start+`"tools":[`, `{"type":"function"}`, `]}`, many), "tools"},
		"stops":      {chat, repeated(start+`"stop":[`, `"x"`, `]}`, many), "stop"},
		"biases":     {chat, repeated(start+`"logit_bias":{`, `"1":0`, `}}`, many), "logit_bias"},
		"kwargs":     {chat, repeated(start+`"chat_template_kwargs":{"x":[`, `[]`, `]}}`, 500_000), "chat_template_kwargs"},
		"texts":      {plain, repeated(`{"model":"m","prompt":[`, `"x"`, `]}`, many), "prompt"},
		"lists":      {plain, repeated(`{"model":"m","prompt":[`, `[1]`, `]}`, many), "prompt"},
		"tokens":     {plain, repeated(`{"model":"m","prompt":[`, `1`, `]}`, maxTokens+1), "prompt"},
		"embeddings": {embed, repeated(`{"model":"m","input":[`, `"x"`, `]}`, many), "input"},
	} {
		var err error
		bytes := taken(func() { err = test.read(test.body) })
		e, _ := err.(*core.Error)
		if e == nil || e.Code != core.CodeInvalidRequest || e.Param != test.param {
			t.Errorf("%s: %v", name, err)
		}
		if bytes > 64<<10 {
			t.Errorf("%s: %d KiB were allocated to refuse a body of %d KiB", name, bytes>>10, len(test.body)>>10)
		}
	}
}

// TestAMessageIsDecodedOnce: what a conversation of the most messages takes beside its own text.
func TestAMessageIsDecodedOnce(t *testing.T) {
	text := strings.Repeat("x", 4<<10)
	body := repeated(`{"model":"m","messages":[`, `{"role":"user","content":"`+text+`"}`, `]}`, maxMessages)
	var req *Request
	var err error
	bytes := taken(func() { req, err = ChatRequest(body) })
	if err != nil || len(req.Messages) != maxMessages || req.Messages[9].Content != text {
		t.Fatal(err)
	}
	if perMessage := (bytes - int64(len(body))) / maxMessages; perMessage > 4<<10 {
		t.Errorf("%d bytes a message beside the %d of its text", perMessage, len(text))
	}
}

func TestTokensOfAnyShape(t *testing.T) {
	for body, want := range map[string]string{
		`"a"`: `[{"Text":"a","Tokens":null}]`, `["a","b"]`: `[{"Text":"a","Tokens":null},{"Text":"b","Tokens":null}]`,
		`[1, 2]`: `[{"Text":"","Tokens":[1,2]}]`, `[[1],[2,3]]`: `[{"Text":"","Tokens":[1]},{"Text":"","Tokens":[2,3]}]`,
		`["\u00fc", "\"]"]`: `[{"Text":"ü","Tokens":null},{"Text":"\"]","Tokens":null}]`,
		`[]`:                "", `null`: "", `{}`: "", `1`: "", `["a",1]`: "", `[1,"a"]`: "", `[1,null]`: "", `[[1],null]`: "", `[[1],"a"]`: "", `["a",null]`: "",
		`[-1]`: "", `[1.5]`: "", `[null]`: "", `[4294967296]`: "", `[[]]`: "",
	} {
		req, err := CompletionRequest([]byte(`{"model":"m","prompt":` + body + `}`))
		if want == "" {
			if core.CodeOf(err) != core.CodeInvalidRequest {
				t.Errorf("%s: %v", body, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if got, _ := json.Marshal(req.Prompts); string(got) != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

func TestSeeds(t *testing.T) {
	seed := func(text string) *uint32 {
		t.Helper()
		req, err := ChatRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}],"seed":` + text + `}`))
		if err != nil {
			t.Fatal(err)
		}
		return req.Sampling.Seed
	}
	if seed("-1") != nil || seed("null") != nil {
		t.Error("-1 is not another seed each time")
	}
	for text, want := range map[string]uint32{"0": 0, "7": 7, "4294967295": 4294967295} {
		if got := seed(text); got == nil || *got != want {
			t.Errorf("seed %s is not itself", text)
		}
	}
	values := map[uint32]string{}
	for _, text := range []string{"0", "1", "2", "-2", "-3", "4294967296", "4294967297", "-4294967296", "9223372036854775807", "-9223372036854775808"} {
		got := seed(text)
		if got == nil || values[*got] != "" {
			t.Errorf("seeds %s and %s are the same", text, values[*got])
			continue
		}
		values[*got] = text
	}
}

func TestFieldsAreNamedWhereTheyStand(t *testing.T) {
	const start = `{"model":"m","messages":[{"role":"user","content":"x"}],`
	for body, param := range map[string]string{
		start + `"temperature":"hot"}`:                                "temperature",
		start + `"Temperature":1}`:                                    "Temperature",
		start + `"stream_options":{"include_usage":3},"stream":true}`: "stream_options.include_usage",
		start + `"response_format":{"type":"json_schema","json_schema":{"schema":{},"strct":true}}}`:        "response_format.json_schema.strct",
		start + `"tools":[{"type":"function","function":{"name":"f","extra":1}}]}`:                          "tools[0].function.extra",
		`{"model":"m","messages":[{"role":"user","content":"x"},{"role":"user","content":"x","colour":1}]}`: "messages[1].colour",
		`{"model":7,"messages":[]}`: "model",
	} {
		_, err := ChatRequest([]byte(body))
		if e, _ := err.(*core.Error); e == nil || e.Param != param {
			t.Errorf("%s: %v, want the field %s", body, err, param)
		}
	}
}

// FuzzSplit compares the parts of objects and lists with what the standard decoder finds.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{`{}`, `[]`, `[1, "a,]" ,{"b":[1]}, null]`, "{ \"a\" : 1 , \"b\\\"}\":{\"c\":\"]\"} }", `[[],[[]],{}]`, `{"a":true,"a":false}`, "[\t1\n]", `["\\",1]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = []byte(strings.TrimSpace(string(raw)))
		if !json.Valid(raw) || raw[0] != '{' && raw[0] != '[' {
			return
		}
		var got, want []string
		if err := split(raw, func(key, value []byte) error {
			if !json.Valid(value) {
				return fmt.Errorf("%q is no value", value)
			}
			got = append(got, text(append([]byte{}, orNull(key)...))+"="+string(value))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if raw[0] == '[' {
			var list []json.RawMessage
			_ = json.Unmarshal(raw, &list)
			for _, v := range list {
				want = append(want, "="+string(v))
			}
		} else {
			var object map[string]json.RawMessage
			_ = json.Unmarshal(raw, &object)
			last := map[string]json.RawMessage{}
			for _, part := range got {
				for name, v := range object {
					if part == name+"="+string(v) {
						last[name] = v
					}
				}
			}
			if !reflect.DeepEqual(last, object) {
				t.Fatalf("%q: %q", raw, got)
			}
			return
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %q, want %q", raw, got, want)
		}
	})
}

func orNull(key []byte) []byte {
	if key == nil {
		return []byte("null")
	}
	return key
}

// TestTextOffsets: offsets count characters, and a token that is a part of one stands where it does.
func TestTextOffsets(t *testing.T) {
	for _, test := range []struct {
		tokens []string
		want   []int
	}{
		{[]string{"Gr", "ü", "ß", "e ab"}, []int{0, 2, 3, 4}},
		{[]string{"日", "\xe6", "\x9c", "\xac", " ab"}, []int{0, 1, 1, 1, 2}},
		{[]string{"a\xf0\x9f", "\x98\x80b", "c"}, []int{0, 1, 3}},
		{[]string{"\xff", "a", "", "b"}, []int{0, 1, 2, 2}},
	} {
		var tokens []core.TokenLogprob
		for _, text := range test.tokens {
			tokens = append(tokens, core.TokenLogprob{Token: text, Bytes: []byte(text)})
		}
		if got := NewTextLogprobs(tokens, &TextOffset{}).TextOffset; !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: whole %v, want %v", test.tokens, got, test.want)
		}
		var offset TextOffset
		var streamed []int
		for i := range tokens {
			streamed = append(streamed, NewTextLogprobs(tokens[i:i+1], &offset).TextOffset...)
		}
		if !reflect.DeepEqual(streamed, test.want) {
			t.Errorf("%q: streamed %v, want %v", test.tokens, streamed, test.want)
		}
	}
}
