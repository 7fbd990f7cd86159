package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/api/apitest"
	"github.com/shoal-p2p/shoal/daemon/api/openai"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestBadRequests(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	const ask = `"model":"shoal-demo","messages":[{"role":"user","content":"hi"}]`
	const say = `"model":"shoal-demo","prompt":"hi"`
	const embed = `"model":"shoal-demo","input":"hi"`
	chatPath, textPath, embedPath := "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
	for _, test := range []struct {
		path, body string
		status     int
		param      string
	}{
		{chatPath, ``, 400, ""},
		{chatPath, `null`, 400, ""},
		{chatPath, `[]`, 400, ""},
		{chatPath, `"x"`, 400, ""},
		{chatPath, `{`, 400, ""},
		{chatPath, `{` + ask + `}{}`, 400, ""},
		{chatPath, `{}`, 400, "model"},
		{chatPath, `{"model":7}`, 400, "model"},
		{chatPath, `{"model":"` + strings.Repeat("x", 300) + `"}`, 400, "model"},
		{chatPath, `{"model":"shoal-demo"}`, 400, "messages"},
		{chatPath, `{"model":"shoal-demo","messages":{}}`, 400, "messages"},
		{chatPath, `{"model":"shoal-demo","messages":[null]}`, 400, "messages[0]"},
		{chatPath, `{"model":"shoal-demo","messages":["hi"]}`, 400, "messages[0]"},
		{chatPath, `{"model":"shoal-demo","messages":[{"role":"king","content":"hi"}]}`, 400, "messages[0].role"},
		{chatPath, `{"model":"shoal-demo","messages":[{"role":"user"}]}`, 400, "messages[0].content"},
		{chatPath, `{"model":"shoal-demo","messages":[{"role":"user","content":7}]}`, 400, "messages[0].content"},
		{chatPath, `{"model":"shoal-demo","messages":[{"role":"user","content":"x","prefix":true}]}`, 400, "messages[0].prefix"},
		{chatPath, `{"model":"shoal-demo","messages":[{"role":"tool","content":"x"}]}`, 400, "messages[0].tool_call_id"},
		{chatPath, `{"model":"shoal-demo","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}`, 400, "messages[0].content[0]"},
		{chatPath, `{"model":"nowhere","messages":[{"role":"user","content":"hi"}]}`, 404, "model"},
		{chatPath, `{"model":"../../etc/passwd","messages":[{"role":"user","content":"hi"}]}`, 404, "model"},
		{chatPath, `{` + ask + `,"n":0}`, 400, "n"},
		{chatPath, `{` + ask + `,"n":17}`, 400, "n"},
		{chatPath, `{` + ask + `,"n":1e99}`, 400, "n"},
		{chatPath, `{` + ask + `,"n":1.5}`, 400, "n"},
		{chatPath, `{` + ask + `,"n":99999999999999999999999999}`, 400, "n"},
		{chatPath, `{` + ask + `,"n":"2"}`, 400, "n"},
		{chatPath, `{` + ask + `,"max_tokens":0}`, 400, "max_tokens"},
		{chatPath, `{` + ask + `,"max_tokens":-1}`, 400, "max_tokens"},
		{chatPath, `{` + ask + `,"max_tokens":9223372036854775807}`, 400, "max_tokens"},
		{chatPath, `{` + ask + `,"max_tokens":1,"max_completion_tokens":2}`, 400, "max_tokens"},
		{chatPath, `{` + ask + `,"temperature":2.1}`, 400, "temperature"},
		{chatPath, `{` + ask + `,"temperature":"hot"}`, 400, "temperature"},
		{chatPath, `{` + ask + `,"temperature":1e999}`, 400, "temperature"},
		{chatPath, `{` + ask + `,"top_p":-0.1}`, 400, "top_p"},
		{chatPath, `{` + ask + `,"top_logprobs":5}`, 400, "top_logprobs"},
		{chatPath, `{` + ask + `,"logprobs":true,"top_logprobs":21}`, 400, "top_logprobs"},
		{chatPath, `{` + ask + `,"logit_bias":{"x":1}}`, 400, "logit_bias"},
		{chatPath, `{` + ask + `,"logit_bias":{"5":101}}`, 400, "logit_bias"},
		{chatPath, `{` + ask + `,"stop":[""]}`, 400, "stop"},
		{chatPath, `{` + ask + `,"stop":7}`, 400, "stop"},
		{chatPath, `{` + ask + `,"stop":["` + strings.Repeat(`x","`, 16) + `x"]}`, 400, "stop"},
		{chatPath, `{` + ask + `,"stream_options":{"include_usage":true}}`, 400, "stream_options"},
		{chatPath, `{` + ask + `,"stream":"yes"}`, 400, "stream"},
		{chatPath, `{` + ask + `,"response_format":"json"}`, 400, "response_format"},
		{chatPath, `{` + ask + `,"response_format":{"type":"xml"}}`, 400, "response_format.type"},
		{chatPath, `{` + ask + `,"response_format":{"type":"json_schema"}}`, 400, "response_format.json_schema"},
		{chatPath, `{` + ask + `,"response_format":{"type":"json_schema","json_schema":{"schema":"x"}}}`, 400, "response_format.json_schema.schema"},
		{chatPath, `{` + ask + `,"response_format":{"type":"json_object"},"grammar":"root ::= x"}`, 400, "grammar"},
		{chatPath, `{` + ask + `,"tools":[{"type":"web_search"}]}`, 400, "tools[0].type"},
		{chatPath, `{` + ask + `,"tools":[{"type":"function","function":{"name":"a b"}}]}`, 400, "tools[0].function.name"},
		{chatPath, `{` + ask + `,"tool_choice":"required"}`, 400, "tool_choice"},
		{chatPath, `{` + ask + `,"tool_choice":{"type":"function","function":{"name":"f"}}}`, 400, "tool_choice.function.name"},
		{chatPath, `{` + ask + `,"store":true}`, 400, "store"},
		{chatPath, `{` + ask + `,"functions":[]}`, 400, "functions"},
		{chatPath, `{` + ask + `,"modalities":["audio"]}`, 400, "modalities"},
		{chatPath, `{` + ask + `,"service_tier":"priority"}`, 400, "service_tier"},
		{chatPath, `{` + ask + `,"reasoning_effort":"huge"}`, 400, "reasoning_effort"},
		{chatPath, `{` + ask + `,"temprature":1}`, 400, "temprature"},
		{chatPath, `{` + ask + `,"model":"busy"}`, 429, ""},
		{chatPath, `{` + ask + `,"model":"crashed"}`, 503, ""},
		{textPath, `{"model":"shoal-demo"}`, 400, "prompt"},
		{textPath, `{"model":"shoal-demo","prompt":[]}`, 400, "prompt"},
		{textPath, `{"model":"shoal-demo","prompt":[[]]}`, 400, "prompt"},
		{textPath, `{"model":"shoal-demo","prompt":["a",null]}`, 400, "prompt"},
		{textPath, `{"model":"shoal-demo","prompt":[-1]}`, 400, "prompt"},
		{textPath, `{"model":"shoal-demo","prompt":[99999999999]}`, 400, "prompt"},
		{textPath, `{"model":"shoal-demo","prompt":{"a":1}}`, 400, "prompt"},
		{textPath, `{` + say + `,"suffix":"x"}`, 400, "suffix"},
		{textPath, `{` + say + `,"best_of":3}`, 400, "best_of"},
		{textPath, `{` + say + `,"echo":true,"logprobs":1}`, 400, "logprobs"},
		{textPath, `{` + say + `,"logprobs":true}`, 400, "logprobs"},
		{textPath, `{"model":"shoal-demo","prompt":["a","b"],"n":9}`, 400, "n"},
		{embedPath, `{"model":"shoal-demo"}`, 400, "input"},
		{embedPath, `{"model":"shoal-demo","input":""}`, 400, "input"},
		{embedPath, `{"model":"shoal-demo","input":["a",""]}`, 400, "input"},
		{embedPath, `{` + embed + `,"dimensions":2}`, 400, "dimensions"},
		{embedPath, `{` + embed + `,"encoding_format":"hex"}`, 400, "encoding_format"},
		{embedPath, `{"model":"tiny","input":"x"}`, 404, "model"},
		{"/api/admin/config", `[]`, 400, ""},
		{"/api/admin/config", `{"no_such_setting":1}`, 400, "no_such_setting"},
		{"/api/admin/models/tiny/shards/1/lock", `{}`, 400, "locked"},
		{"/api/admin/models/tiny/shards/1/lock", `{"locked":1}`, 400, ""},
		{"/api/admin/models/tiny/shards/1/lock", `{"locked":true,"x":1}`, 400, ""},
		{"/api/admin/models/tiny/shards/-1/lock", `{"locked":true}`, 400, "index"},
		{"/api/admin/models/tiny/shards/99999999999999999999/lock", `{"locked":true}`, 400, "index"},
		{"/api/admin/models/TINY/shards/1/lock", `{"locked":true}`, 400, "id"},
		{"/api/admin/models/nowhere/shards/1/lock", `{"locked":true}`, 404, ""},
	} {
		method := http.MethodPost
		if strings.HasPrefix(test.path, "/api/admin/config") || strings.HasSuffix(test.path, "/lock") {
			method = http.MethodPut
		}
		response, data := f.do(t, method, test.path, test.body)
		t.Run(test.path+test.body[:min(len(test.body), 120)], func(t *testing.T) {
			e := wantError(t, response, data, test.status)
			got := ""
			if e.Param != nil {
				got = *e.Param
			}
			if got != test.param {
				t.Errorf("param %q, want %q: %s", got, test.param, e.Message)
			}
		})
	}
}

func TestHarmlessFieldsAreAccepted(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	body := with(chat(apitest.Loaded, "hi"), "user", "u", "store", false, "metadata", map[string]string{"a": "b"}, "service_tier", "auto",
		"modalities", []string{"text"}, "audio", nil, "functions", nil, "tools", nil, "logit_bias", nil, "stop", nil, "n", nil, "prompt_cache_key", "k",
		"response_format", map[string]string{"type": "text"}, "parallel_tool_calls", true, "reasoning_effort", "none")
	response, data := f.do(t, "POST", "/v1/chat/completions", body)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", response.StatusCode, data)
	}
	if args := f.node.Requests()[0].TemplateArgs; args["enable_thinking"] != false || args["reasoning_effort"] != "none" {
		t.Errorf("template arguments %v", args)
	}
}

func TestRequestReachesTheNode(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	f.do(t, "POST", "/v1/chat/completions", `{"model":"shoal-demo","messages":[
		{"role":"developer","content":"be brief"},
		{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"name":"Ann"},
		{"role":"assistant","content":null,"reasoning_content":"hm","refusal":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"c1","content":"42"}],
		"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}}],"tool_choice":"none",
		"temperature":0,"top_p":0.5,"top_k":3,"min_p":0.1,"repeat_penalty":1.1,"frequency_penalty":-1,"presence_penalty":2,"seed":9,
		"logit_bias":{"7":-100},"stop":"END","max_completion_tokens":4,"logprobs":true,"top_logprobs":2,"user":"ann",
		"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object"}}}}`)
	got := f.node.Requests()[0]
	if m := got.Messages; len(m) != 4 || m[0].Role != "system" || m[1].Content != "ab" || m[1].Name != "Ann" || m[2].ReasoningContent != "hm" ||
		m[2].ToolCalls[0] != (core.ToolCall{ID: "c1", Name: "f", Arguments: "{}"}) || m[3].ToolCallID != "c1" {
		t.Errorf("messages %+v", m)
	}
	s := got.Sampling
	if s.Temperature != 0 || s.TopP != 0.5 || s.TopK != 3 || s.MinP != 0.1 || s.RepeatPenalty != 1.1 || s.FrequencyPenalty != -1 ||
		s.PresencePenalty != 2 || *s.Seed != 9 || s.LogitBias[7] != -100 || !s.Logprobs || s.TopLogprobs != 2 {
		t.Errorf("sampling %+v", s)
	}
	if got.MaxTokens != 4 || !slices.Equal(got.Stop, []string{"END"}) || got.ToolChoice != "none" || !got.Tools[0].Strict ||
		got.Format.Kind != "json_schema" || string(got.Format.Schema) != `{"type":"object"}` || !strings.Contains(got.Requester, "ann") {
		t.Errorf("request %+v", got)
	}
	f.do(t, "POST", "/v1/completions", `{"model":"auto","prompt":[[1,2],[3]],"n":2,"seed":5}`)
	for _, r := range f.node.Requests()[1:] {
		if r.Model != apitest.Loaded || r.MaxTokens != 16 || r.PromptIDs == nil {
			t.Errorf("request %+v", r)
		}
	}
}

// events reads a stream and returns the data of its events, [DONE] included.
func events(t testing.TB, response *http.Response) []string {
	t.Helper()
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
		t.Fatalf("content type %q, status %d", got, response.StatusCode)
	}
	var out []string
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			out = append(out, data)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func (f *fixture) stream(t testing.TB, path string, body map[string]any) []string {
	t.Helper()
	response, err := f.http.Do(f.request(t, "POST", path, with(body, "stream", true)))
	if err != nil {
		t.Fatal(err)
	}
	return events(t, response)
}

func TestChatStream(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	got := f.stream(t, "/v1/chat/completions", with(chat(apitest.Loaded, "what is a shoal"), "n", 2, "logprobs", true, "top_logprobs", 1, "stream_options", map[string]bool{"include_usage": true}))
	if got[len(got)-1] != "[DONE]" {
		t.Fatalf("last event %q", got[len(got)-1])
	}
	texts, reasons, usage := [2]string{}, [2]string{}, (*openai.Usage)(nil)
	for _, data := range got[:len(got)-1] {
		var chunk openai.Completion
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			t.Fatal(err)
		}
		for _, c := range chunk.Choices {
			if c.Delta.Content != nil {
				texts[c.Index] += *c.Delta.Content
			}
			if c.FinishReason != nil {
				reasons[c.Index] = *c.FinishReason
			}
		}
		if chunk.Usage != nil {
			usage = chunk.Usage
		}
	}
	const want = "A shoal is many fish."
	if texts != [2]string{want, want} || reasons != [2]string{"stop", "stop"} {
		t.Errorf("texts %q, reasons %q", texts, reasons)
	}
	if usage == nil || usage.PromptTokens != 4 || usage.CompletionTokens != 12 || usage.TotalTokens != 16 {
		t.Errorf("usage %+v", usage)
	}
}

func TestAtMostOneToolCall(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	body := func(parallel bool) map[string]any {
		tool := map[string]any{"type": "function", "function": map[string]any{"name": "weather"}}
		return with(chat(apitest.Loaded, "hi"), "tools", []any{tool}, "parallel_tool_calls", parallel)
	}
	for parallel, want := range map[bool]int{true: 2, false: 1} {
		_, data := f.do(t, "POST", "/v1/chat/completions", body(parallel))
		var reply openai.Completion
		if err := json.Unmarshal(data, &reply); err != nil {
			t.Fatal(err)
		}
		if got := len(reply.Choices[0].Message.ToolCalls); got != want || reply.Choices[0].Message.Content != nil {
			t.Errorf("parallel %v: %s", parallel, data)
		}
		all := strings.Join(f.stream(t, "/v1/chat/completions", body(parallel)), "\n")
		if got := strings.Contains(all, "Rome") || strings.Contains(all, `"index":1`); got != parallel {
			t.Errorf("parallel %v: second call in the stream is %v", parallel, got)
		}
	}
}

func TestErrorInTheMiddleOfAStream(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	got := f.stream(t, "/v1/chat/completions", chat(apitest.Crashed, "hi"))
	if slices.Contains(got, "[DONE]") {
		t.Error("the stream ends as if it were complete")
	}
	var last openai.ErrorBody
	if err := json.Unmarshal([]byte(got[len(got)-1]), &last); err != nil || last.Error.Code != string(core.CodeEngineCrashed) {
		t.Errorf("last event %s", got[len(got)-1])
	}
	if !strings.Contains(strings.Join(got, ""), "Once") {
		t.Error("the text before the error is lost")
	}
}

func TestErrorBeforeTheStream(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	response, data := f.do(t, "POST", "/v1/chat/completions", with(chat(apitest.Busy, "hi"), "stream", true))
	wantError(t, response, data, http.StatusTooManyRequests)
	if response.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestKeepAliveComments(t *testing.T) {
	go1 := make(chan struct{})
	node := &apitest.Node{Script: func(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
		<-go1
		return apitest.Answer(ctx, req, emit)
	}}
	f := start(t, node, api.Config{Limits: api.Limits{KeepAlive: 10 * time.Millisecond}})
	response, err := f.http.Do(f.request(t, "POST", "/v1/chat/completions", with(chat(apitest.Loaded, "hi"), "stream", true)))
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	close(go1)
	if err != nil || line != ": keep-alive\n" {
		t.Errorf("%q, %v", line, err)
	}
	response.Body.Close()
}

func TestClientThatLeavesEndsTheWork(t *testing.T) {
	for _, stream := range []bool{false, true} {
		running, ended := make(chan struct{}), make(chan struct{})
		node := &apitest.Node{Script: func(ctx context.Context, _ *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
			defer close(ended)
			_ = emit(core.Delta{Text: "x"})
			close(running)
			<-ctx.Done()
			return nil, core.Errorf(core.CodeCancelled, "cancelled")
		}}
		f := start(t, node, api.Config{})
		ctx, leave := context.WithCancel(t.Context())
		request := f.request(t, "POST", "/v1/chat/completions", with(chat(apitest.Loaded, "hi"), "stream", stream)).WithContext(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if response, err := f.http.Do(request); err == nil {
				defer response.Body.Close()
				<-ctx.Done()
			}
		}()
		<-running
		began := time.Now()
		leave()
		<-ended
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("stream %v: the work went on for %v", stream, took)
		}
		<-done
	}
}

func TestPanicIsAnError(t *testing.T) {
	node := &apitest.Node{Script: func(context.Context, *core.GenerateRequest, func(core.Delta) error) (*core.Reply, error) {
		panic("secret")
	}}
	f := start(t, node, api.Config{})
	response, data := f.do(t, "GET", "/health", nil)
	if response.StatusCode != http.StatusOK {
		t.Fatal(string(data))
	}
	// The generation runs in goroutines of the API, so the panic must not pass through them unnoticed either.
	response, data = f.do(t, "POST", "/v1/chat/completions", chat(apitest.Loaded, "hi"))
	e := wantError(t, response, data, http.StatusInternalServerError)
	if strings.Contains(e.Message, "secret") {
		t.Error("the panic's value went out")
	}
}

func TestCompletionsAndModels(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	_, data := f.do(t, "POST", "/v1/completions", `{"model":"shoal-demo","prompt":"hi","echo":true,"max_tokens":3}`)
	var reply openai.Completion
	if err := json.Unmarshal(data, &reply); err != nil || *reply.Choices[0].Text != "hiA shoal" || *reply.Choices[0].FinishReason != "length" {
		t.Errorf("%s", data)
	}
	_, data = f.do(t, "POST", "/v1/completions", `{"model":"shoal-demo","prompt":"hi","logprobs":2}`)
	for _, want := range []string{`"tokens":["A"," shoal"`, `"text_offset":[0,1,7,`, `"token_logprobs":[-0.25`, `"top_logprobs":[{"A0":-0.25,"A1":-1.25}`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %s in %s", want, data)
		}
	}
	stream := f.stream(t, "/v1/completions", map[string]any{"model": "shoal-demo", "prompt": "hi", "logprobs": 0})
	if all := strings.Join(stream, "\n"); !strings.Contains(all, `"text_offset":[7]`) || !strings.HasSuffix(all, "[DONE]") {
		t.Errorf("%s", all)
	}
	var models openai.Models
	_, data = f.do(t, "GET", "/v1/models", nil)
	if err := json.Unmarshal(data, &models); err != nil || len(models.Data) != 4 || models.Data[0].ContextLength != 512 {
		t.Errorf("%s", data)
	}
	response, data := f.do(t, "GET", "/v1/models/nowhere", nil)
	wantError(t, response, data, http.StatusNotFound)
	_, data = f.do(t, "POST", "/v1/embeddings", `{"model":"shoal-demo","input":[[1],[1,2]],"encoding_format":"base64"}`)
	if !strings.Contains(string(data), `"embedding":"AAAAAAAAgD8AAAAAAAAAAA=="`) {
		t.Errorf("%s", data)
	}
}

func TestReplyTellsItsRoute(t *testing.T) {
	peer, err := core.ParsePeerID(apitest.Peer)
	if err != nil {
		t.Fatal(err)
	}
	far := core.Route{Kind: core.RouteDistributed, Peers: []core.PeerID{peer, peer}}
	node := &apitest.Node{Script: func(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
		if err := emit(core.Delta{Route: &far}); err != nil {
			return nil, err
		}
		reply, err := apitest.Answer(ctx, req, func(d core.Delta) error {
			if d.Route != nil {
				return nil
			}
			return emit(d)
		})
		if err == nil {
			reply.Route = far
		}
		return reply, err
	}}
	f := start(t, node, api.Config{})
	for _, stream := range []bool{false, true} {
		response, data := f.do(t, "POST", "/v1/chat/completions", with(chat(apitest.Loaded, "hi"), "stream", stream))
		h := response.Header
		if h.Get("X-Shoal-Route") != "distributed" || h.Get("X-Shoal-Peers") != apitest.Peer+","+apitest.Peer || h.Get("X-Shoal-Ms") == "" {
			t.Errorf("stream %v: %v", stream, h)
		}
		if n := strings.Count(string(data), `"role"`); n != 1 {
			t.Errorf("stream %v: the role came %d times: %s", stream, n, data)
		}
	}
	f = start(t, &apitest.Node{}, api.Config{})
	if response, _ := f.do(t, "POST", "/v1/chat/completions", chat(apitest.Loaded, "hi")); response.Header.Get("X-Shoal-Route") != "local" {
		t.Errorf("a reply of one node: %v", response.Header)
	}
}
