package api_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/goccy/go-yaml"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/api/apitest"
)

// document loads openapi.yaml. The library knows version 3.0 only, so what 3.1 says in another way is rewritten.
func document(t testing.TB) *openapi3.T {
	t.Helper()
	var tree map[string]any
	if err := yaml.Unmarshal(api.OpenAPIDocument(), &tree); err != nil {
		t.Fatal(err)
	}
	if tree["openapi"] != "3.1.0" {
		t.Fatalf("version %v", tree["openapi"])
	}
	tree["openapi"] = "3.0.3"
	delete(tree["info"].(map[string]any)["license"].(map[string]any), "identifier")
	data, err := json.Marshal(downgrade(tree))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background(), openapi3.AllowExtraSiblingFields("description")); err != nil {
		t.Fatal(err)
	}
	return doc
}

func downgrade(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = downgrade(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = downgrade(v[k])
		}
		if word, ok := v["const"]; ok {
			delete(v, "const")
			v["type"], v["enum"] = "string", []any{word}
		}
		if types, ok := v["type"].([]any); ok {
			v["type"], v["nullable"] = types[0], true
			if types[0] == "array" && v["items"] == nil {
				v["items"] = map[string]any{}
			}
		}
		if choices, ok := v["anyOf"].([]any); ok {
			without := slices.DeleteFunc(slices.Clone(choices), func(s any) bool { m, ok := s.(map[string]any); return ok && m["type"] == "null" })
			if len(without) < len(choices) {
				v["nullable"] = true
			}
			v["anyOf"] = without
		}
	}
	return v
}

func TestDocumentAndRouterAgree(t *testing.T) {
	doc := document(t)
	described := map[string]string{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			described[method+" "+path] = op.Extensions["x-access"].(string)
		}
	}
	served := map[string]string{}
	for _, r := range api.New(api.Config{Node: &apitest.Node{}}).Routes() {
		path := strings.NewReplacer(":id", "{id}", ":index", "{index}").Replace(r.Path)
		served[r.Method+" "+path] = r.Access
	}
	if !maps.Equal(described, served) {
		for key, access := range served {
			if described[key] != access {
				t.Errorf("%s: the router says %q, openapi.yaml %q", key, access, described[key])
			}
		}
		for key := range described {
			if _, ok := served[key]; !ok {
				t.Errorf("%s is in openapi.yaml only", key)
			}
		}
	}
}

func TestRepliesFitTheDocument(t *testing.T) {
	doc := document(t)
	file := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(file, []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
	bodies := map[string]any{
		"POST /v1/chat/completions":                      with(chat(apitest.Loaded, "hi"), "logprobs", true, "top_logprobs", 2, "n", 2),
		"POST /v1/completions":                           map[string]any{"model": apitest.Loaded, "prompt": "hi", "logprobs": 2},
		"POST /v1/embeddings":                            map[string]any{"model": apitest.Loaded, "input": []string{"a", "b"}},
		"PUT /api/admin/config":                          `{"max_concurrent_requests":4}`,
		"POST /api/admin/models/import":                  map[string]any{"path": file},
		"POST /api/admin/models/{id}/export":             map[string]any{"path": file + ".new"},
		"PUT /api/admin/models/{id}/shards/{index}/lock": `{"locked":true}`,
		"POST /api/admin/join-network":                   map[string]any{"code": apitest.Code},
		"PUT /api/admin/models/{id}/encrypted-pipeline":  `{"enabled":true}`,
	}
	f := start(t, &apitest.Node{}, api.Config{})
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if path == "/api/admin/ws" {
				continue
			}
			name := method + " " + path
			url := strings.NewReplacer("{id}", apitest.OnDisk, "{index}", "0").Replace(path)
			response, data := f.do(t, method, url, bodies[name])
			checkReply(t, name, op, response, data)
			response, data = f.do(t, method, url, bodies[name], "Host", "evil.example")
			checkReply(t, name, op, response, data)
		}
	}
	tools := with(chat(apitest.Loaded, "hi"), "tools", []any{map[string]any{"type": "function", "function": map[string]any{"name": "f"}}})
	op := doc.Paths.Value("/v1/chat/completions").Post
	response, data := f.do(t, "POST", "/v1/chat/completions", tools)
	checkReply(t, "tools", op, response, data)
	checkStream(t, op, f.stream(t, "/v1/chat/completions", with(tools, "stream_options", map[string]bool{"include_usage": true})))
	checkStream(t, op, f.stream(t, "/v1/chat/completions", with(chat(apitest.Loaded, "hi"), "logprobs", true)))
	checkStream(t, doc.Paths.Value("/v1/completions").Post, f.stream(t, "/v1/completions", map[string]any{"model": apitest.Loaded, "prompt": "hi", "logprobs": 1}))
}

// checkReply checks a reply against what op says of its status and content type.
func checkReply(t *testing.T, name string, op *openapi3.Operation, response *http.Response, data []byte) {
	t.Helper()
	described := op.Responses.Status(response.StatusCode)
	if described == nil {
		described = op.Responses.Default()
		if response.StatusCode < 400 {
			t.Errorf("%s: status %d is not described: %s", name, response.StatusCode, data)
			return
		}
	}
	kind, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	media := described.Value.Content.Get(kind)
	if media == nil {
		t.Errorf("%s: content type %q is not described", name, kind)
		return
	}
	if kind == "application/json" {
		checkValue(t, name, media.Schema.Value, data)
	}
}

func checkStream(t *testing.T, op *openapi3.Operation, events []string) {
	t.Helper()
	schema := op.Responses.Status(http.StatusOK).Value.Content.Get("text/event-stream").Schema.Value
	for _, data := range events[:len(events)-1] {
		checkValue(t, op.OperationID, schema, []byte(data))
	}
}

func checkValue(t *testing.T, name string, schema *openapi3.Schema, data []byte) {
	t.Helper()
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if err := schema.VisitJSON(value, openapi3.EnableFormatValidation()); err != nil {
		t.Errorf("%s: %v\n%s", name, err, data)
	}
}

func TestSchemasNoticeChanges(t *testing.T) {
	schema := document(t).Components.Schemas["Error"].Value
	data, _ := json.Marshal(map[string]any{"error": map[string]any{"message": "x", "type": "odd", "code": "x", "param": nil, "hint": nil}})
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	if schema.VisitJSON(value) == nil {
		t.Error("an unknown type passes")
	}
}
