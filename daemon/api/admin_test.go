package api_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/api/apitest"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestSeedShapes(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	for _, test := range []struct{ method, path, body, want string }{
		{"GET", "/health", "", `{"status":"ok"}`},
		{"GET", "/api/admin/api-key", "", `{"api_key":"` + apitest.Key + `"}`},
		{"PUT", "/api/admin/config", `{"a":1}`, `{"status":"ok"}`},
		{"POST", "/api/admin/config/reload", "", `{"status":"ok","changed":1,"applied":["max_concurrent_requests"],"restart_required":[]}`},
		{"POST", "/api/admin/rescan-shards", "", `{"status":"ok","models_updated":["tiny"],"count":1}`},
		{"POST", "/api/admin/models/tiny/shards/1/load", "", `{"status":"loaded","model_id":"tiny","shard_index":1,"loaded_shards":[0,1]}`},
		{"POST", "/api/admin/models/tiny/shards/1/unload", "", `{"status":"unloaded","model_id":"tiny","shard_index":1,"remaining_loaded":[]}`},
		{"POST", "/api/admin/models/tiny/unload", "", `{"status":"unloaded","model_id":"tiny","model_name":"Model","segments_removed":2,"estimated_freed_mb":8}`},
		{"GET", "/api/admin/models/nowhere/status", "", `{"model_id":"nowhere","state":"unknown",`},
		{"PUT", "/api/admin/models/tiny/shards/1/lock", `{"locked":true}`, `{"locked":true,"model_id":"tiny","shard_index":1,"status":"ok"}`},
		{"DELETE", "/api/admin/models/tiny/shards/1", "", `"conflict_error"`},
		{"DELETE", "/api/admin/models/tiny/shards/0", "", `{"model_id":"tiny","shard_index":0,"status":"deleted"}`},
		{"DELETE", "/api/admin/models/tiny", "", `{"model_id":"tiny","status":"deleted"}`},
		{"POST", "/api/admin/pause", "", `{"status":"paused"}`},
		{"GET", "/health/ready", "", `{"ready":false,"subsystems":{`},
		{"POST", "/api/admin/resume", "", `{"status":"resumed"}`},
		{"GET", "/api/admin/network-map", "", `{"regions":{"DE":{"total":2,"models":{"tiny":2},"demand":{"tiny":5},"coverage_gaps":[],"replication_target":{"tiny":2}}}}`},
		{"GET", "/api/admin/peers", "", `[{"node_id":"12D3KooWPeer","nickname":"attic","latency_ms":1.5,"trust_score":0.5,"healthy":true,`},
		{"GET", "/api/admin/network-code", "", `{"code":"swarm://`},
		{"POST", "/api/admin/join-network", `{"code":"` + apitest.Code + `"}`, `{"status":"ok",`},
		{"POST", "/api/admin/join-network", `{"code":"swarm://expired"}`, `"invite_expired"`},
		{"POST", "/api/admin/join-network", `{"code":"swarm://used"}`, `"invite_used"`},
		{"POST", "/api/admin/join-network", `{"code":"swarm://revoked"}`, `"invite_revoked"`},
		{"POST", "/api/admin/join-network", `{"code":"swarm://damaged"}`, `"corrupt"`},
		{"POST", "/api/admin/join-network", `{"code":" "}`, `"param":"code"`},
		{"POST", "/api/admin/models/tiny/add", "", `{"status":"acquiring","model_id":"tiny"}`},
		{"POST", "/api/admin/models/tiny/shards/0/download", "", `{"status":"already_local","model_id":"tiny","shard_index":0}`},
		{"POST", "/api/admin/models/tiny/shards/1/download", "", `{"status":"downloading","model_id":"tiny","shard_index":1,"source":"p2p","peer":"12D3KooWPeer"}`},
		{"POST", "/api/admin/models/tiny/shards/9/download", "", `"not_found"`},
		{"POST", "/api/admin/downloads/tiny/cancel", "", `{"model_id":"tiny","status":"cancelled"}`},
		{"GET", "/api/admin/models/tiny/encrypted-pipeline", "", `{"status":"disabled","model_id":"tiny","enabled":false,"ready":true,`},
		{"PUT", "/api/admin/models/tiny/encrypted-pipeline", `{}`, `"param":"enabled"`},
		{"PUT", "/api/admin/models/tiny/encrypted-pipeline", `{"enabled":true}`, `{"status":"enabled","model_id":"tiny","enabled":true,`},
		{"GET", "/api/admin/plan/tiny", "", `"route":"distributed"`},
		{"GET", "/api/admin/plan/far", "", `"text":"no_holder: layers 2-3"`},
		{"DELETE", "/api/admin/invites/" + apitest.Inviter, "", `"conflict"`},
		{"DELETE", "/api/admin/invites/00000000000000000000000000000000", "", `{"id":"00000000000000000000000000000000","status":"revoked"}`},
		{"POST", "/api/admin/shutdown", "", `{"status":"shutting_down"}`},
	} {
		var body any
		if test.body != "" {
			body = test.body
		}
		if _, data := f.do(t, test.method, test.path, body); !strings.Contains(string(data), test.want) {
			t.Errorf("%s %s: %s, want %s", test.method, test.path, data, test.want)
		}
	}
	if !f.node.Stopped() || string(f.node.Patch()) != `{"a":1}` {
		t.Error("the node did not get the shutdown or the settings")
	}
	response, data := f.do(t, "GET", "/api/admin/models/nowhere/metadata", nil)
	wantError(t, response, data, http.StatusBadRequest)
	response, data = f.do(t, "POST", "/api/admin/models/nowhere/load", nil)
	wantError(t, response, data, http.StatusNotFound)
}

func TestImportPaths(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	dir := t.TempDir()
	file := filepath.Join(dir, "m.gguf")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, status := range map[string]int{
		"m.gguf": 400, "": 400, dir: 400, dir + "/../m.gguf": 400, file + "\x00": 400, dir + "/none.gguf": 404, file: 200,
	} {
		response, data := f.do(t, "POST", "/api/admin/models/import", map[string]any{"path": path})
		if status != http.StatusOK {
			wantError(t, response, data, status)
		} else if response.StatusCode != status {
			t.Errorf("%q: %s", path, data)
		}
	}
	response, data := f.do(t, "POST", "/api/admin/models/tiny/export", map[string]any{"path": file})
	wantError(t, response, data, http.StatusConflict)
}

func TestImportProgress(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	file := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for accept, prefix := range map[string]string{"application/x-ndjson": "", "text/event-stream": "data: "} {
		for windows, want := range map[int]string{3: "imported", 13: "corrupt"} {
			response, data := f.do(t, "POST", "/api/admin/models/import", map[string]any{"path": file, "windows": windows}, "Accept", accept)
			if response.StatusCode != http.StatusAccepted || !strings.HasPrefix(response.Header.Get("Content-Type"), accept) && windows == 3 {
				if windows == 13 {
					wantError(t, response, data, http.StatusBadRequest)
					continue
				}
				t.Fatalf("%d %v %s", response.StatusCode, response.Header, data)
			}
			var lines []string
			scan := bufio.NewScanner(bytes.NewReader(data))
			for scan.Scan() {
				if scan.Text() != "" {
					lines = append(lines, strings.TrimPrefix(scan.Text(), prefix))
				}
			}
			if !strings.Contains(lines[0], `"status":"importing"`) || !strings.Contains(lines[len(lines)-1], want) {
				t.Errorf("%s", data)
			}
		}
	}
}

func TestMetrics(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{Measures: func() admin.Measures {
		one := admin.Histogram{Count: 1, Sum: 0.3, Buckets: map[float64]uint64{0.25: 0, 0.5: 1}}
		return admin.Measures{CompletionTokens: 6, FirstToken: one, PerToken: one}
	}})
	f.do(t, "POST", "/v1/chat/completions", chat(apitest.Loaded, "hi"))
	f.do(t, "POST", "/v1/chat/completions", chat("nowhere", "hi"))
	f.do(t, "GET", "/no/such/route", nil)
	_, data := f.do(t, "GET", "/metrics", nil)
	for _, want := range []string{
		`shoal_requests_total{outcome="ok",route="/v1/chat/completions"} 1`,
		`shoal_requests_total{outcome="error",route="/v1/chat/completions"} 1`,
		`shoal_requests_total{outcome="error",route="none"} 1`,
		`gen_ai_server_time_to_first_token_seconds_count 1`,
		`gen_ai_server_time_per_output_token_seconds_count 1`,
		`shoal_tokens_total{kind="completion"} 6`,
		`shoal_active_generations 0`,
		`shoal_models_loaded 1`,
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %s in\n%s", want, data)
		}
	}
}

func (f *fixture) socket(t testing.TB, headers http.Header) (*websocket.Conn, *http.Response) {
	t.Helper()
	conn, response, err := websocket.DefaultDialer.Dial("ws://"+f.addr+"/api/admin/ws", headers)
	if err != nil && response == nil {
		t.Fatal(err)
	}
	return conn, response
}

func TestEventSocket(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	conn, _ := f.socket(t, nil)
	defer conn.Close()
	read := func() (kind string, data map[string]any) {
		t.Helper()
		var e map[string]json.RawMessage
		if err := conn.ReadJSON(&e); err != nil {
			t.Fatal(err)
		}
		if len(e) != 2 || json.Unmarshal(e["type"], &kind) != nil || json.Unmarshal(e["data"], &data) != nil {
			t.Fatalf("envelope %s", e)
		}
		return kind, data
	}
	for _, want := range []string{"daemon_started", "model_loaded"} {
		if kind, data := read(); kind != "activity_event" || data["kind"] != want {
			t.Errorf("replay: %s %v", kind, data)
		}
	}
	f.node.Publish(core.EventModelsChanged, nil)
	if kind, data := read(); kind != "models_changed" || data != nil {
		t.Errorf("%s %v", kind, data)
	}
	conn.Close()
	eventually(t, "the subscription ends with the client", func() bool { return f.node.Subscribers() == 0 })
}

func TestEventSocketRefuses(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	if _, response := f.socket(t, http.Header{"Origin": {"http://evil.example"}}); response.StatusCode != http.StatusForbidden {
		t.Errorf("foreign origin: status %d", response.StatusCode)
	}
	if _, response := f.socket(t, http.Header{"X-Forwarded-For": {"203.0.113.9"}}); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("elsewhere without the key: status %d", response.StatusCode)
	}
	response, data := f.do(t, "GET", "/api/admin/ws", nil)
	wantError(t, response, data, http.StatusBadRequest)
	if f.node.Subscribers() != 0 {
		t.Error("a refused client was subscribed")
	}
}

func TestEventSocketEndsWithTheServer(t *testing.T) {
	var conn *websocket.Conn
	t.Run("server", func(t *testing.T) {
		f := start(t, &apitest.Node{}, api.Config{})
		conn, _ = f.socket(t, nil)
		eventually(t, "subscribed", func() bool { return f.node.Subscribers() == 1 })
	})
	defer conn.Close()
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			if !websocket.IsCloseError(err, websocket.CloseGoingAway) {
				t.Error(err)
			}
			return
		}
	}
}
