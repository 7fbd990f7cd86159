package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/api/apitest"
	"github.com/shoal-p2p/shoal/daemon/api/openai"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// FuzzRequests sends requests of any kind through the guard and the router. Whatever comes, the reply is a success
// or an error in the one shape, and never one of our own faults.
func FuzzRequests(f *testing.F) {
	for _, r := range api.New(api.Config{Node: &apitest.Node{}}).Routes() {
		f.Add(r.Method, fill(r.Path), "127.0.0.1:8800", "application/json", []byte(`{"model":"shoal-demo","locked":true}`))
	}
	f.Add("POST", "/v1/chat/completions", "127.0.0.1:8800", "application/json", []byte(`{"model":"shoal-demo","messages":[{"role":"user","content":"hi"}],"stream":true,"n":2}`))
	f.Add("PUT", "/api/admin/models/tiny/shards/-1/lock", "localhost:8800", "application/json; charset=utf-8", []byte(`{"locked":"x"}{}`))
	f.Add("POST", "/api/admin/models/import", "127.0.0.1:8800", "application/json", []byte(`{"path":"/\u0000","windows":-1}`))
	f.Add("OPTIONS", "//", "evil", "a/b;c=\"", []byte("\xff"))
	f.Fuzz(func(t *testing.T, method, path, host, kind string, body []byte) {
		target, err := url.ParseRequestURI(path)
		if err != nil || target.Path == "/api/admin/ws" {
			return // net/http refuses it, or it takes over a connection that is not there
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		request := (&http.Request{
			Method: method, URL: target, Host: host, RemoteAddr: "127.0.0.1:9", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Authorization": {"Bearer " + apitest.Key}, "Content-Type": {kind}},
			Body:   http.NoBody,
		}).WithContext(ctx)
		if len(body) > 0 {
			request.Body, request.ContentLength = readCloser{bytes.NewReader(body)}, int64(len(body))
		}
		reply := httptest.NewRecorder()
		api.New(api.Config{Node: &apitest.Node{}}).Handler().ServeHTTP(reply, request)
		if reply.Code < 400 || target.Path == "/health/ready" {
			return
		}
		var e openai.ErrorBody
		if err := json.Unmarshal(reply.Body.Bytes(), &e); err != nil || e.Error.Message == "" {
			t.Fatalf("status %d: %q", reply.Code, reply.Body)
		}
		ours := []core.Code{core.CodeInternal, core.CodeTimeout}
		if slices.Contains(ours, core.Code(e.Error.Code)) || core.ReportOf(core.Code(e.Error.Code)).Status != reply.Code {
			t.Fatalf("status %d: %s", reply.Code, reply.Body)
		}
	})
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// FuzzDepth compares the depth that the guard counts with that of the value.
func FuzzDepth(f *testing.F) {
	for _, seed := range []string{`{"a":[{}]}`, `"[["`, `["\\",[]]`, `[["]",{"\"":{}}]]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, _ := api.Measure(text)
		var value any
		if json.Unmarshal(text, &value) == nil && got != nesting(value) {
			t.Fatalf("%d, want %d: %q", got, nesting(value), text)
		}
	})
}

func nesting(v any) (deepest int) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			deepest = max(deepest, nesting(e))
		}
	case map[string]any:
		for _, e := range v {
			deepest = max(deepest, nesting(e))
		}
	default:
		return 0
	}
	return deepest + 1
}
