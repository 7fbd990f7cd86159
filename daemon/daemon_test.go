package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/control"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const layers = 4

func demo(t *testing.T) []byte {
	t.Helper()
	m, err := gguftest.New(gguftest.Config{Name: "Demo", Layers: layers, ChatTemplate: gguftest.ChatML})
	must(t, err)
	var b bytes.Buffer
	_, err = m.WriteTo(&b)
	must(t, err)
	return b.Bytes()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func setup(t *testing.T, dir string) Config {
	return Config{
		DataDir: dir, Flags: map[string]string{"listen": "127.0.0.1:0"}, Getenv: func(string) string { return "" },
		Version: "1.2.3", Demo: demo(t), DemoName: "demo.gguf", Engine: fake.New(fake.Config{Layers: layers}),
	}
}

// house is a node that serves, as a program on the same PC sees it.
type house struct {
	*Node
	*control.Control
	t    *testing.T
	base string
	stop func() error
	gate chan struct{} // of a gated engine
}

func run(t *testing.T, cfg Config) *house {
	t.Helper()
	n, err := New(t.Context(), cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	h := &house{Node: n, Control: n.control, t: t}
	stopped := false
	h.stop = func() error {
		cancel()
		if stopped {
			return nil
		}
		stopped = true
		return <-ended
	}
	t.Cleanup(func() { must(t, h.stop()) })
	select {
	case <-n.Started():
	case err := <-ended:
		t.Fatalf("the node ended: %v", err)
	}
	h.base = "http://" + n.Addr().String()
	return h
}

// call sends a request with the key and decodes the answer.
func (h *house) call(method, path, body string) (status int, answer map[string]any) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.base+path, strings.NewReader(body))
	must(h.t, err)
	req.Header.Set("Authorization", "Bearer "+h.APIKey())
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	must(h.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(h.t, err)
	if len(text) > 0 && text[0] == '{' {
		must(h.t, json.Unmarshal(text, &answer))
	}
	return res.StatusCode, answer
}

func TestFirstStart(t *testing.T) {
	dir := t.TempDir()
	h := run(t, setup(t, dir))
	for _, name := range []string{"config.toml", "shoal.db", "identity.key", "api_key"} {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want 0600", name, fi, err)
		}
	}
	models, err := h.Models(t.Context())
	must(t, err)
	if len(models) != 1 || models[0].ID != "demo" || models[0].Status != admin.StatusReady {
		t.Fatalf("models %+v, want the demo", models)
	}
	status, answer := h.call("GET", "/api/admin/stats", "")
	if status != 200 || answer["node_id"] != h.identity.NodeID() || answer["version"] != "1.2.3" || answer["state"] != "idle" {
		t.Errorf("stats: %d, %v", status, answer)
	}
	id, _ := core.ParseModelID("demo")
	must(t, h.DeleteModel(t.Context(), id))
	must(t, h.stop())

	again := run(t, setup(t, dir))
	if models, err := again.Models(t.Context()); err != nil || len(models) != 0 {
		t.Errorf("the deleted demo is back: %v", models)
	}
	if again.APIKey() != h.APIKey() || again.identity.NodeID() != h.identity.NodeID() {
		t.Error("key or identity changed")
	}
}

func TestOneNodePerFolder(t *testing.T) {
	dir := t.TempDir()
	h := run(t, setup(t, dir))
	if _, err := New(t.Context(), setup(t, dir)); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("a second node: %v, want conflict", err)
	}
	must(t, h.stop())
	n, err := New(t.Context(), setup(t, dir))
	must(t, err)
	n.Close()
}

func TestAddressThatIsTaken(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	cfg := setup(t, t.TempDir())
	cfg.Flags["listen"] = taken.Addr().String()
	n, err := New(t.Context(), cfg)
	must(t, err)
	if err := n.Run(t.Context()); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("got %v, want conflict", err)
	}
	again, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatalf("the failed node keeps its folder: %v", err)
	}
	again.Close()
}

func TestShutdownOverHTTP(t *testing.T) {
	h := run(t, setup(t, t.TempDir()))
	id, _ := core.ParseModelID("demo")
	_, err := h.Load(t.Context(), id)
	must(t, err)
	status, answer := h.call("POST", "/api/admin/shutdown", "")
	if status != 200 || answer["status"] != "shutting_down" {
		t.Errorf("got %d, %v", status, answer)
	}
	start := time.Now()
	must(t, h.stop())
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	for _, w := range h.engine.(*fake.Engine).Windows() {
		select {
		case <-w.Done():
		default:
			t.Error("a worker outlives the node")
		}
	}
}

func TestSettingsOverHTTP(t *testing.T) {
	cfg := setup(t, t.TempDir())
	var level slog.LevelVar
	cfg.SetLevel = level.Set
	gate := gated(&cfg)
	h := run(t, cfg)
	h.gate = gate
	status, answer := h.call("PUT", "/api/admin/config", `{"max_concurrent_requests": 3, "log_level": "debug"}`)
	if status != 200 || answer["status"] != "ok" {
		t.Fatalf("got %d, %v", status, answer)
	}
	if n := h.runAtOnce(10); n != 3 {
		t.Errorf("%d requests run at once after the change, want 3", n)
	}
	if level.Level() != slog.LevelDebug {
		t.Errorf("level %v", level.Level())
	}
	if _, answer = h.call("GET", "/api/admin/config", ""); answer["max_concurrent_requests"] != 3.0 {
		t.Errorf("read back: %v", answer)
	}
	if status, answer = h.call("PUT", "/api/admin/config", `{"draft_model": "auto"}`); status != 200 { // reads the settings while they change
		t.Errorf("a draft model by a word: %d, %v", status, answer)
	}
	for _, bad := range []string{`{"shard_size_mb": 1}`, `{"listen": "evil.example:80"}`, `{"listen": "203.0.113.7:80"}`} {
		if status, answer = h.call("PUT", "/api/admin/config", bad); status != 400 {
			t.Errorf("%s: %d, %v", bad, status, answer)
		}
	}
	if s, err := h.Stats(t.Context()); err != nil || len(s.Warnings) > 0 {
		t.Errorf("warnings %v, %v", s.Warnings, err)
	}
	if status, answer = h.call("PUT", "/api/admin/config", `{"listen": "0.0.0.0:0"}`); status != 200 {
		t.Errorf("to all addresses: %d, %v", status, answer)
	}
	if s, err := h.Stats(t.Context()); err != nil || len(s.Warnings) != 1 {
		t.Errorf("an API that is open to others: warnings %v, %v", s.Warnings, err)
	}
}

func TestPauseRefusesRequests(t *testing.T) {
	h := run(t, setup(t, t.TempDir()))
	must(t, h.Pause(t.Context()))
	if s, err := h.Stats(t.Context()); err != nil || s.State != "paused" {
		t.Errorf("state %s", s.State)
	}
	if ready, parts := h.Ready(t.Context()); ready {
		t.Errorf("a paused node is ready: %v", parts)
	}
	_, err := h.Generate(t.Context(), &core.GenerateRequest{Model: "demo", Prompt: "x"}, func(core.Delta) error { return nil })
	if core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("got %v, want not ready", err)
	}
	must(t, h.Resume(t.Context()))
}

func TestWithoutRuntimeTheRestWorks(t *testing.T) {
	cfg := setup(t, t.TempDir())
	cfg.Engine = nil
	cfg.Flags["runtime"] = t.TempDir() // empty
	cfg.Flags["worker"] = filepath.Join(t.TempDir(), "none")
	h := run(t, cfg)
	if models, err := h.Models(t.Context()); err != nil || len(models) != 1 {
		t.Error("models are not listed")
	}
	status, answer := h.call("POST", "/v1/chat/completions", `{"model":"demo","messages":[{"role":"user","content":"hi"}]}`)
	failure, _ := answer["error"].(map[string]any)
	if status != 503 || failure["code"] != "no_runtime" || failure["hint"] == "" {
		t.Errorf("got %d, %v", status, answer)
	}
	if ready, parts := h.Ready(t.Context()); ready || parts["runtime"] == "ok" {
		t.Errorf("ready without a runtime: %v", parts)
	}
}

func TestStatsAreSentWhileSomebodyWatches(t *testing.T) {
	h := run(t, setup(t, t.TempDir()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	seen := 0
	for e := range h.Subscribe(ctx, 0) {
		if e.Type == core.EventStats {
			if _, ok := e.Data.(admin.Stats); !ok {
				t.Fatalf("stats are a %T", e.Data)
			}
			if seen++; seen == 2 {
				return
			}
		}
	}
	t.Errorf("%d updates came, want 2", seen)
}

func TestGenerateAndEmbed(t *testing.T) {
	h := run(t, setup(t, t.TempDir()))
	status, answer := h.call("POST", "/v1/chat/completions", `{"model":"auto","max_tokens":8,"messages":[{"role":"user","content":"hi"}]}`)
	if status != 200 || answer["choices"] == nil {
		t.Fatalf("chat: %d, %v", status, answer)
	}
	if status, answer = h.call("POST", "/v1/embeddings", `{"model":"demo","input":["a","b"]}`); status != 200 || len(answer["data"].([]any)) != 2 {
		t.Errorf("embeddings: %d, %v", status, answer)
	}
	s, err := h.Stats(t.Context())
	must(t, err)
	if s.RequestsServed != 2 || s.Inference.TokensGenerated < 1 || s.ActiveRequests != 0 || !slices.Equal(s.LoadedModels, []string{"demo"}) {
		t.Errorf("stats %+v", s)
	}
	if status, _ = h.call("POST", "/v1/chat/completions", `{"model":"nobody","messages":[{"role":"user","content":"hi"}]}`); status != 404 {
		t.Errorf("unknown model: %d", status)
	}
}

func TestFullLineIsRefusedAtOnce(t *testing.T) {
	cfg := setup(t, t.TempDir())
	cfg.Engine = fake.New(fake.Config{Layers: layers, StepTime: time.Hour})
	cfg.Flags["max_concurrent_requests"], cfg.Flags["request_queue"] = "1", "0"
	h := run(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := h.Generate(ctx, &core.GenerateRequest{Model: "demo", Prompt: "x"}, func(core.Delta) error { return nil })
		first <- err
	}()
	h.inLine(1)
	start := time.Now()
	_, err := h.Generate(t.Context(), &core.GenerateRequest{Model: "demo", Prompt: "x"}, func(core.Delta) error { return nil })
	if core.CodeOf(err) != core.CodeOverloaded {
		t.Errorf("got %v, want overloaded", err)
	}
	if took := time.Since(start); took > 5*time.Second { // the bar is 50 ms, which BenchmarkOverload of the API measures
		t.Errorf("it took %v", took)
	}
	cancel()
	if err := <-first; core.CodeOf(err) != core.CodeCancelled {
		t.Errorf("the first ended with %v, want cancelled", err)
	}
}
