package client_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/api/apitest"
	"github.com/shoal-p2p/shoal/daemon/client"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves node and returns a client of it, which fails the test on errors that no method returns.
func start(t *testing.T, node *apitest.Node) *client.Client {
	t.Helper()
	server := api.New(api.Config{Node: node, Addr: "127.0.0.1:0"})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	<-server.Ready()
	var over atomic.Bool
	c := client.New(client.Config{URL: "http://" + server.Addr().String(), Key: apitest.Key, OnError: func(err error) {
		if !over.Load() {
			t.Error(err)
		}
	}})
	t.Cleanup(func() {
		over.Store(true)
		c.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

func id(t *testing.T, s string) core.ModelID {
	t.Helper()
	id, err := core.ParseModelID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// same checks that the client's methods give what the node's give; JSON tells, since nil and empty lists are one.
func same(t *testing.T, name string, got, want any) {
	t.Helper()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if normal(g) != normal(w) {
		t.Errorf("%s:\n got %s\nwant %s", name, g, w)
	}
}

// both checks that a read gives the same from the client and from the node.
func both(t *testing.T, name string, read func(admin.Node) (any, error), c *client.Client, node *apitest.Node) {
	t.Helper()
	got, err := read(c)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	want, _ := read(node)
	same(t, name, got, want)
}

func normal(b []byte) string { return strings.ReplaceAll(string(b), "null", "[]") }

func TestReadsEqualTheNode(t *testing.T) {
	node := &apitest.Node{}
	c := start(t, node)
	ctx, tiny := t.Context(), id(t, apitest.OnDisk)
	both(t, "models", func(n admin.Node) (any, error) { return n.Models(ctx) }, c, node)
	both(t, "storage", func(n admin.Node) (any, error) { return n.Storage(ctx) }, c, node)
	both(t, "stats", func(n admin.Node) (any, error) { return n.Stats(ctx) }, c, node)
	both(t, "version", func(n admin.Node) (any, error) { return n.Version(ctx) }, c, node)
	both(t, "config", func(n admin.Node) (any, error) { return n.Config(ctx) }, c, node)
	both(t, "peers", func(n admin.Node) (any, error) { return n.Peers(ctx) }, c, node)
	both(t, "network map", func(n admin.Node) (any, error) { return n.NetworkMap(ctx) }, c, node)
	both(t, "downloads", func(n admin.Node) (any, error) { return n.Downloads(ctx) }, c, node)
	got, err := c.Metadata(ctx, tiny)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := node.Metadata(ctx, tiny)
	same(t, "metadata", got, want)
	progress, err := c.Progress(ctx, tiny)
	if err != nil {
		t.Fatal(err)
	}
	wantProgress, _ := node.Progress(ctx, tiny)
	same(t, "progress", progress, wantProgress)
	if got, err := c.Resolve("auto"); err != nil || got.String() != apitest.Loaded {
		t.Errorf("auto is %v, %v", got, err)
	}
	if _, err := c.Resolve("no/such model"); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("an unknown model: %v", err)
	}
	if err := c.Alive(ctx); err != nil {
		t.Error(err)
	}
	if c.APIKey() != apitest.Key {
		t.Error("the key is another")
	}
}

func TestSwarmEqualsTheNode(t *testing.T) {
	node := &apitest.Node{}
	c := start(t, node)
	ctx, tiny, far := t.Context(), id(t, apitest.OnDisk), id(t, "far")
	for name, ask := range map[string]func(admin.Node) (any, error){
		"code":       func(s admin.Node) (any, error) { return s.NetworkCode(ctx, false) },
		"fresh code": func(s admin.Node) (any, error) { return s.NetworkCode(ctx, true) },
		"join":       func(s admin.Node) (any, error) { return s.JoinNetwork(ctx, apitest.Code) },
		"join late":  func(s admin.Node) (any, error) { return s.JoinNetwork(ctx, "swarm://expired") },
		"invites":    func(s admin.Node) (any, error) { return s.Invites(ctx) },
		"revoke":     func(s admin.Node) (any, error) { return nil, s.RevokeInvite(ctx, strings.Repeat("0", 32)) },
		"revoke old": func(s admin.Node) (any, error) { return nil, s.RevokeInvite(ctx, apitest.Inviter) },
		"add":        func(s admin.Node) (any, error) { return s.AddModel(ctx, tiny) },
		"add far":    func(s admin.Node) (any, error) { return nil, second(s.AddModel(ctx, far)) },
		"shard":      func(s admin.Node) (any, error) { return s.DownloadShard(ctx, tiny, 1) },
		"shard here": func(s admin.Node) (any, error) { return s.DownloadShard(ctx, tiny, 0) },
		"cancel":     func(s admin.Node) (any, error) { return nil, s.CancelDownload(ctx, tiny) },
		"encrypted":  func(s admin.Node) (any, error) { return s.EncryptedPipeline(ctx, tiny) },
		"encrypt":    func(s admin.Node) (any, error) { return s.SetEncryptedPipeline(ctx, tiny, true) },
		"plan":       func(s admin.Node) (any, error) { return s.Plan(ctx, tiny) },
		"no plan":    func(s admin.Node) (any, error) { return s.Plan(ctx, far) },
	} {
		got, err := ask(c)
		want, wantErr := ask(node)
		if core.CodeOf(err) != core.CodeOf(wantErr) {
			t.Errorf("%s: %v, want %v", name, err, wantErr)
		}
		same(t, name, got, want)
	}
}

func second[T any](_ T, err error) error { return err }

func TestWritesReachTheNode(t *testing.T) {
	node := &apitest.Node{}
	c := start(t, node)
	ctx, tiny := t.Context(), id(t, apitest.OnDisk)
	for name, do := range map[string]func() error{
		"set config": func() error { return c.SetConfig(ctx, []byte(`{"a":1}`)) },
		"reload": func() error {
			done, err := c.ReloadConfig(ctx)
			same(t, "applied", done.Applied, []string{"max_concurrent_requests"})
			return err
		},
		"load":   func() error { m, err := c.Load(ctx, tiny); same(t, "id", m.ID, apitest.OnDisk); return err },
		"unload": func() error { u, err := c.Unload(ctx, tiny); same(t, "segments", u.SegmentsRemoved, 2); return err },
		"load shard": func() error {
			l, err := c.LoadShard(ctx, tiny, 1)
			same(t, "shards", l.LoadedShards, []int{0, 1})
			return err
		},
		"unload shard": func() error {
			u, err := c.UnloadShard(ctx, tiny, 1)
			same(t, "index", u.ShardIndex, 1)
			return err
		},
		"lock":         func() error { return c.LockShard(ctx, tiny, 0, true) },
		"delete shard": func() error { return c.DeleteShard(ctx, tiny, 1) },
		"delete model": func() error { return c.DeleteModel(ctx, tiny) },
		"rescan":       func() error { r, err := c.Rescan(ctx); same(t, "count", r.Count, 1); return err },
		"pause":        func() error { return c.Pause(ctx) },
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.DeleteShard(ctx, tiny, 0); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("a locked shard: %v", err)
	}
	if ready, parts := c.Ready(ctx); ready || parts["models"] != "paused" {
		t.Errorf("ready %v %v", ready, parts)
	}
	if err := c.Resume(ctx); err != nil || node.Paused() || string(node.Patch()) != `{"a":1}` {
		t.Errorf("resume: %v", err)
	}
	if err := c.Shutdown(ctx); err != nil || !node.Stopped() {
		t.Error("the node was not stopped")
	}
}

func TestGenerate(t *testing.T) {
	seed := uint32(7)
	for name, req := range map[string]*core.GenerateRequest{
		"chat":   {Messages: []core.Message{{Role: "system", Content: "s"}, {Role: "user", Content: "what is a shoal"}, {Role: "assistant", ReasoningContent: "hm", ToolCalls: []core.ToolCall{{ID: "1", Name: "f", Arguments: "{}"}}}, {Role: "tool", Content: "x", ToolCallID: "1"}}},
		"prompt": {Prompt: "hi there", Echo: true},
		"tokens": {PromptIDs: []int32{1, 2, 3}},
		"sampling": {Messages: []core.Message{{Role: "user", Content: "hi"}}, MaxTokens: 3, Stop: []string{"x"}, Requester: "ann", Sampling: core.Sampling{
			Temperature: 0.5, TopK: 3, TopP: 0.5, MinP: 0.1, RepeatPenalty: 1.5, FrequencyPenalty: 1, PresencePenalty: -1, Seed: &seed,
			LogitBias: map[int32]float64{3: -1}, Logprobs: true, TopLogprobs: 2,
		}},
		"tools":  {Messages: []core.Message{{Role: "user", Content: "hi"}}, Tools: []core.Tool{{Name: "f", Description: "d", Parameters: json.RawMessage(`{"type":"object"}`)}, {Name: "g"}}, ToolChoice: "g"},
		"schema": {Messages: []core.Message{{Role: "user", Content: "hi"}}, Format: core.Format{Kind: "json_schema", Schema: json.RawMessage(`{"type":"object"}`)}, TemplateArgs: map[string]any{"enable_thinking": false}},
	} {
		t.Run(name, func(t *testing.T) {
			node := &apitest.Node{}
			c := start(t, node)
			req.Model = apitest.Loaded
			var got, want []core.Delta
			reply, err := c.Generate(t.Context(), req, func(d core.Delta) error { got = append(got, d); return nil })
			if err != nil {
				t.Fatal(err)
			}
			wantReply, err := apitest.Answer(t.Context(), req, func(d core.Delta) error { want = append(want, d); return nil })
			if err != nil {
				t.Fatal(err)
			}
			for _, tokens := range [][]core.TokenLogprob{wantReply.Logprobs} {
				forget(tokens)
			}
			for _, d := range want {
				forget(d.Logprobs)
			}
			if !reflect.DeepEqual(reply, wantReply) {
				t.Errorf("reply\n got %+v\nwant %+v", reply, wantReply)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("deltas\n got %+v\nwant %+v", got, want)
			}
			sent := *node.Requests()[0]
			checkSent(t, &sent, req)
		})
	}
}

// forget drops the token ids, which the API does not carry.
func forget(tokens []core.TokenLogprob) {
	for i := range tokens {
		tokens[i].ID = 0
		forget(tokens[i].Top)
	}
}

// checkSent checks that a request arrives as it was sent.
func checkSent(t *testing.T, got, want *core.GenerateRequest) {
	t.Helper()
	expect := *want
	if expect.Sampling.TopP == 0 {
		expect.Sampling.TopP = 1
	}
	if expect.Sampling.RepeatPenalty == 0 {
		expect.Sampling.RepeatPenalty = 1
	}
	if expect.Messages == nil && expect.MaxTokens == 0 {
		expect.MaxTokens = 1 << 20
	}
	if !strings.Contains(got.Requester, want.Requester) {
		t.Errorf("requester %q", got.Requester)
	}
	got.Requester, expect.Requester = "", ""
	if !reflect.DeepEqual(got, &expect) {
		t.Errorf("request\n got %+v\nwant %+v", got, &expect)
	}
}

func TestGenerateErrors(t *testing.T) {
	c := start(t, &apitest.Node{})
	ask := func(model string) error {
		_, err := c.Generate(t.Context(), &core.GenerateRequest{Model: model, Messages: []core.Message{{Role: "user", Content: "hi"}}}, func(core.Delta) error { return nil })
		return err
	}
	for model, code := range map[string]core.Code{apitest.Crashed: core.CodeEngineCrashed, apitest.Busy: core.CodeOverloaded, "nowhere": core.CodeNotFound} {
		if err := ask(model); core.CodeOf(err) != code {
			t.Errorf("%s: %v", model, err)
		}
	}
	stop := core.Errorf(core.CodeInternal, "enough")
	_, err := c.Generate(t.Context(), &core.GenerateRequest{Model: apitest.Loaded, Prompt: "hi"}, func(core.Delta) error { return stop })
	if err != stop {
		t.Errorf("the error of emit became %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Generate(cancelled, &core.GenerateRequest{Model: apitest.Loaded, Prompt: "hi"}, func(core.Delta) error { return nil })
	if core.CodeOf(err) != core.CodeCancelled {
		t.Errorf("cancelled: %v", err)
	}
}

func TestStreamThatEndsEarlyIsAnError(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n"))
	}))
	defer server.Close()
	c := client.New(client.Config{URL: server.URL})
	defer c.Close()
	_, err := c.Generate(t.Context(), &core.GenerateRequest{Model: "m", Prompt: "hi"}, func(core.Delta) error { return nil })
	if core.CodeOf(err) != core.CodeInternal {
		t.Errorf("got %v", err)
	}
}

func TestEmbed(t *testing.T) {
	node := &apitest.Node{}
	c := start(t, node)
	for _, inputs := range [][]core.EmbedInput{{{Text: "a"}, {Text: "bc"}}, {{Tokens: []int32{1}}, {Tokens: []int32{1, 2}}}} {
		got, usage, err := c.Embed(t.Context(), &core.EmbedRequest{Model: apitest.Loaded, Inputs: inputs})
		if err != nil {
			t.Fatal(err)
		}
		want, wantUsage, _ := node.Embed(t.Context(), &core.EmbedRequest{Model: apitest.Loaded, Inputs: inputs})
		if !reflect.DeepEqual(got, want) || usage.PromptTokens != wantUsage.PromptTokens {
			t.Errorf("%v %v", got, usage)
		}
	}
}

func TestImportAndExport(t *testing.T) {
	c := start(t, &apitest.Node{})
	file := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var seen []core.Progress
	m, err := c.Import(t.Context(), file, 3, func(p core.Progress) { seen = append(seen, p) })
	if err != nil || m.ID != apitest.OnDisk || m.Windows != 3 || len(seen) == 0 || seen[0].Total != 100 {
		t.Errorf("%+v %v %v", m, seen, err)
	}
	if _, err := c.Import(t.Context(), file, 13, nil); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("a damaged file: %v", err)
	}
	if err := c.Export(t.Context(), id(t, apitest.OnDisk), file+".new", nil); err != nil {
		t.Error(err)
	}
}

func TestSubscribe(t *testing.T) {
	node := &apitest.Node{}
	c := start(t, node)
	ctx, cancel := context.WithCancel(t.Context())
	events := c.Subscribe(ctx, 0)
	for i, kind := range []string{"daemon_started", "model_loaded"} {
		e := <-events
		if a, ok := e.Data.(core.Activity); !ok || a.Kind != kind || e.ID != uint64(i+1) {
			t.Errorf("%+v", e)
		}
	}
	node.Publish(core.EventStats, admin.Stats{NodeID: "n"})
	if e := <-events; e.Type != core.EventStats || e.Data.(admin.Stats).NodeID != "n" {
		t.Errorf("%+v", e)
	}
	cancel()
	for range events { // ends when the subscription has ended
	}
}

func TestNoNode(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + ln.Addr().String()
	ln.Close()
	c := client.New(client.Config{URL: url})
	if err := c.Alive(t.Context()); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("got %v", err)
	}
	if m, err := c.Models(t.Context()); m != nil || core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("%v, %v", m, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if err := c.Alive(ctx); core.CodeOf(err) != core.CodeTimeout {
		t.Errorf("got %v", err)
	}
}

func TestKeyIsNotRedirected(t *testing.T) {
	leaked := make(chan string, 1)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked <- r.Header.Get("Authorization") }))
	defer thief.Close()
	server := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	c := client.New(client.Config{URL: server.URL, Key: "secret"})
	defer c.Close()
	if _, err := c.Rescan(t.Context()); err == nil {
		t.Error("no error")
	}
	if len(leaked) > 0 {
		t.Error("the request was redirected")
	}
}
