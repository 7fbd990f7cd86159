package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/api/apitest"
	"github.com/shoal-p2p/shoal/daemon/api/openai"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a running server with a scripted node.
type fixture struct {
	*api.Server
	node *apitest.Node
	url  string
	addr string
	http *http.Client
}

// start runs a server until the test ends.
func start(t testing.TB, node *apitest.Node, cfg api.Config) *fixture {
	t.Helper()
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	cfg.Node = node
	server := api.New(cfg)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	select {
	case <-server.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	addr := server.Addr().String()
	return &fixture{server, node, "http://" + addr, addr, &http.Client{Transport: transport}}
}

// request makes a request with the right key; headers are pairs that are set after it, an empty value deletes.
func (f *fixture) request(t testing.TB, method, path string, body any, headers ...string) *http.Request {
	t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	case []byte:
		reader = bytes.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apitest.Key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		switch {
		case headers[i] == "Host":
			req.Host = headers[i+1]
		case headers[i+1] == "":
			req.Header.Del(headers[i])
		default:
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	return req
}

// do makes a request and reads the whole reply.
func (f *fixture) do(t testing.TB, method, path string, body any, headers ...string) (*http.Response, []byte) {
	t.Helper()
	response, err := f.http.Do(f.request(t, method, path, body, headers...))
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return response, data
}

// wantError checks that a reply is an error of the given status, in the one shape, and returns its body.
func wantError(t testing.TB, response *http.Response, data []byte, status int) openai.ErrorDetail {
	t.Helper()
	var body openai.ErrorBody
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		t.Fatalf("status %d, body %.200q: %v", response.StatusCode, data, err)
	}
	if response.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", response.StatusCode, status, data)
	}
	report := core.ReportOf(core.Code(body.Error.Code))
	if report.Status != status || report.Type != body.Error.Type || body.Error.Message == "" {
		t.Errorf("error %+v does not fit status %d of the table", body.Error, status)
	}
	return body.Error
}

func chat(model, content string) map[string]any {
	return map[string]any{"model": model, "messages": []map[string]string{{"role": "user", "content": content}}}
}

func with(body map[string]any, pairs ...any) map[string]any {
	for i := 0; i+1 < len(pairs); i += 2 {
		body[pairs[i].(string)] = pairs[i+1]
	}
	return body
}

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		case <-tick.C:
		}
	}
}

func TestRunRefusesAnAddressThatIsTaken(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	err := api.New(api.Config{Node: f.node, Addr: f.addr}).Run(t.Context())
	if core.CodeOf(err) != core.CodeConflict {
		t.Fatalf("got %v, want a conflict", err)
	}
}

func TestStopLetsARunningReplyFinish(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	node := &apitest.Node{Script: func(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
		close(running)
		select {
		case <-release:
			return apitest.Answer(ctx, req, emit)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	server := api.New(api.Config{Node: node, Addr: "127.0.0.1:0"})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	<-server.Ready()
	f := &fixture{server, node, "http://" + server.Addr().String(), "", &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	status := make(chan int, 1)
	go func() {
		response, err := f.http.Do(f.request(t, "POST", "/v1/chat/completions", chat(apitest.Loaded, "hi")))
		if err != nil {
			status <- 0
			return
		}
		response.Body.Close()
		status <- response.StatusCode
	}()
	<-running
	stop()
	eventually(t, "new connections are refused", func() bool {
		response, err := f.http.Get(f.url + "/health")
		if err == nil {
			response.Body.Close()
		}
		return err != nil
	})
	close(release)
	if got := <-status; got != http.StatusOK {
		t.Errorf("the running request got %d", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestStopCutsAReplyThatTakesTooLong(t *testing.T) {
	running := make(chan struct{})
	node := &apitest.Node{Script: func(ctx context.Context, _ *core.GenerateRequest, _ func(core.Delta) error) (*core.Reply, error) {
		close(running)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	server := api.New(api.Config{Node: node, Addr: "127.0.0.1:0", Limits: api.Limits{DrainTimeout: 20 * time.Millisecond}})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	<-server.Ready()
	f := &fixture{server, node, "http://" + server.Addr().String(), "", &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if response, err := f.http.Do(f.request(t, "POST", "/v1/chat/completions", chat(apitest.Loaded, "hi"))); err == nil {
			response.Body.Close()
		}
	}()
	<-running
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	<-answered
}
