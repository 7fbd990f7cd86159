package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/api/apitest"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// TestBodiesOfManyValues: a body of a million small messages costs what reading it costs, not what they would decode to.
func TestBodiesOfManyValues(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	const message = `{"role":"user","content":""},`
	body := []byte(`{"model":"shoal-demo","messages":[` + strings.Repeat(message, 1_000_000) + `{}]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	response, data := f.do(t, "POST", "/v1/chat/completions", body)
	runtime.ReadMemStats(&after)
	wantError(t, response, data, http.StatusBadRequest)
	if took := int64(after.TotalAlloc - before.TotalAlloc); took > 6*int64(len(body)) {
		t.Errorf("%d MiB were allocated to refuse %d MiB", took>>20, len(body)>>20)
	}
	if f.node.Calls() != 0 || !strings.Contains(string(data), "values") {
		t.Errorf("%s", data)
	}
}

// TestBodiesAreBudgetedByCost: what decoding takes counts too, so that many small values need more room than one text.
func TestBodiesAreBudgetedByCost(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{Limits: api.Limits{BodiesBytes: 8 << 20}})
	text := with(chat(apitest.Loaded, "hi"), "user", strings.Repeat("x", 1<<20))
	if response, data := f.do(t, "POST", "/v1/chat/completions", text); response.StatusCode != http.StatusOK {
		t.Errorf("a text: %d %s", response.StatusCode, data)
	}
	values := `{"model":"shoal-demo","prompt":[` + strings.Repeat("1,", 200_000) + `1]}`
	response, data := f.do(t, "POST", "/v1/completions", values)
	wantError(t, response, data, http.StatusTooManyRequests)
}

// TestBodiesAreUTF8: bytes that are no UTF-8 are refused, for the decoder would put other letters in their place.
func TestBodiesAreUTF8(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	const json, latin = "application/json", "{\"model\":\"shoal-demo\",\"input\":\"K\xf6ln\",\"prompt\":\"K\xf6ln\",\"messages\":[{\"role\":\"user\",\"content\":\"Gr\xfc\xdfe\"}]}"
	const whole = `{"model":"shoal-demo","max_tokens":1,"messages":[{"role":"user","content":"Grüße"}]}`
	for _, path := range []string{"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/api/admin/join-network"} {
		response, data := f.do(t, "POST", path, latin)
		wantError(t, response, data, http.StatusBadRequest)
		if !strings.Contains(string(data), "UTF-8") {
			t.Errorf("%s: %s", path, data)
		}
	}
	for kind, status := range map[string]int{
		json: 200, json + "; charset=utf-8": 200, json + `; charset="UTF-8"`: 200, json + "; charset=iso-8859-1": 400, json + "; charset=utf-16": 400,
	} {
		if response, data := f.do(t, "POST", "/v1/chat/completions", whole, "Content-Type", "", "Content-Type", kind); response.StatusCode != status {
			t.Errorf("%s: %d %s", kind, response.StatusCode, data)
		}
	}
	if response, data := f.do(t, "POST", "/v1/chat/completions", "\ufeff"+whole); response.StatusCode != http.StatusOK {
		t.Errorf("a byte order mark: %d %s", response.StatusCode, data)
	}
	for _, r := range f.node.Requests() {
		if r.Messages[0].Content != "Grüße" {
			t.Errorf("the node got %q", r.Messages[0].Content)
		}
	}
}

func TestSlowBodyIsARequestTimeout(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{Limits: api.Limits{StallTimeout: 50 * time.Millisecond}})
	request := "POST /v1/chat/completions HTTP/1.1\r\nHost: " + f.addr + "\r\nAuthorization: Bearer " + apitest.Key +
		"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
	if got := f.raw(t, request); got != http.StatusRequestTimeout {
		t.Errorf("status %d", got)
	}
}

// TestTwoLengthsAreOneRequest: what comes behind a request that has both lengths is not taken for another one.
func TestTwoLengthsAreOneRequest(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	get := "GET /api/admin/stats HTTP/1.1\r\nHost: " + f.addr + "\r\n\r\n"
	request := "POST /api/admin/rescan-shards HTTP/1.1\r\nHost: " + f.addr + "\r\nAuthorization: Bearer " + apitest.Key +
		"\r\nContent-Type: application/json\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + get
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answers, _ := io.ReadAll(conn) // the connection may be reset, since something was left unread
	if n := strings.Count(string(answers), "HTTP/1.1 "); n != 1 || !strings.Contains(string(answers), "200 OK") {
		t.Errorf("%d answers: %s", n, answers)
	}
}

// TestProxiesAreNotThisPC: each header that a proxy adds makes the sender a stranger.
func TestProxiesAreNotThisPC(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	for _, name := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP"} {
		response, data := f.do(t, "GET", "/api/admin/stats", nil, "Authorization", "", name, "1.1 proxy")
		wantError(t, response, data, http.StatusUnauthorized)
		if response.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: how to authenticate is not said", name)
		}
	}
}

// TestErrorTextsAreBounded: whatever got into an error, its answer stays small, whole or in a stream.
func TestErrorTextsAreBounded(t *testing.T) {
	long := strings.Repeat("ü", 1<<20)
	node := &apitest.Node{Script: func(_ context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
		if req.Echo {
			if err := emit(core.Delta{Text: "x"}); err != nil {
				return nil, err
			}
		}
		return nil, core.Errorf(core.CodeInvalidRequest, "pattern %s", long).WithHint(long).WithParam(long)
	}}
	f := start(t, node, api.Config{})
	for _, more := range []map[string]any{{}, {"stream": true}, {"stream": true, "echo": true}} {
		body := map[string]any{"model": apitest.Loaded, "prompt": "x"}
		for k, v := range more {
			body[k] = v
		}
		if _, data := f.do(t, "POST", "/v1/completions", body); len(data) > 8<<10 || !strings.Contains(string(data), "pattern ü") {
			t.Errorf("%v: an answer of %d KiB", more, len(data)>>10)
		}
	}
}

// keepOpen asks for /health once on each of n connections and leaves them open.
func (f *fixture) keepOpen(t *testing.T, n int) (conns []net.Conn) {
	t.Helper()
	for range n {
		conn, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: %s\r\n\r\n", f.addr)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	return conns
}

// closed counts the connections whose other end has been closed.
func closed(t *testing.T, conns []net.Conn) (n int) {
	t.Helper()
	for _, conn := range conns {
		if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := conn.Read(make([]byte, 1))
		if timeout, ok := err.(net.Error); err != nil && (!ok || !timeout.Timeout()) {
			n++
		}
	}
	return n
}

// TestIdleConnectionsOfAnAddressAreBounded: those that wait longest for their next request go.
func TestIdleConnectionsOfAnAddressAreBounded(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	conns := f.keepOpen(t, api.MaxIdle+20)
	eventually(t, "only as many wait as may", func() bool { return closed(t, conns) == 20 })
	newest := conns[len(conns)-1]
	if err := newest.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(newest, "GET /health HTTP/1.1\r\nHost: %s\r\n\r\n", f.addr)
	if response, err := http.ReadResponse(bufio.NewReader(newest), nil); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("the newest: %v", err)
	}
}

// TestIdleConnectionsShutNobodyOut: when places run short, one that waits makes room for one that asks.
func TestIdleConnectionsShutNobodyOut(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{Limits: api.Limits{Connections: 20}})
	conns := f.keepOpen(t, 60)
	if got := f.raw(t, "GET /health HTTP/1.1\r\nHost: "+f.addr+"\r\nConnection: close\r\n\r\n"); got != http.StatusOK {
		t.Errorf("a new client got %d", got)
	}
	eventually(t, "those that waited longest are closed", func() bool { return closed(t, conns) >= 40 })
}

// TestRepliesAreEncodedBeforeTheStatus: what JSON cannot hold is an error, and not a success without a body.
func TestRepliesAreEncodedBeforeTheStatus(t *testing.T) {
	f := start(t, &apitest.Node{NotANumber: true}, api.Config{})
	response, data := f.do(t, "GET", "/api/admin/models/tiny/metadata", nil)
	wantError(t, response, data, http.StatusInternalServerError)
}

func TestMethods(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	for _, path := range []string{"/health", "/health/ready", "/v1/models", "/metrics", "/api/admin/stats", "/v1/nowhere"} {
		get, _ := f.do(t, "GET", path, nil)
		head, body := f.do(t, "HEAD", path, nil)
		if head.StatusCode != get.StatusCode || len(body) != 0 || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") {
			t.Errorf("HEAD %s: %d with %d bytes, GET: %d", path, head.StatusCode, len(body), get.StatusCode)
		}
	}
	for request, allow := range map[string]string{
		"GET /v1/chat/completions": "POST", "DELETE /health": "GET, HEAD", "POST /api/admin/config": "GET, HEAD, PUT", "BREW /v1/models": "GET, HEAD",
	} {
		method, path, _ := strings.Cut(request, " ")
		response, data := f.do(t, method, path, nil)
		wantError(t, response, data, http.StatusMethodNotAllowed)
		if got := response.Header.Get("Allow"); got != allow {
			t.Errorf("%s: Allow is %q, want %q", request, got, allow)
		}
	}
	response, data := f.do(t, "GET", "/v1/chat/completions", nil, "Host", "evil.example")
	wantError(t, response, data, http.StatusForbidden)
}

// TestDepthIsBounded: only its depth is wrong with the body, where a request may hold what it likes.
func TestDepthIsBounded(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	for depth, status := range map[int]int{62: http.StatusOK, 63: http.StatusBadRequest, 1 << 16: http.StatusBadRequest} {
		deep := strings.Repeat("[", depth) + strings.Repeat("]", depth) // two more stand around it
		body := `{"model":"shoal-demo","messages":[{"role":"user","content":"x"}],"chat_template_kwargs":{"x":` + deep + `}}`
		response, data := f.do(t, "POST", "/v1/chat/completions", body)
		if response.StatusCode != status || status != http.StatusOK && !strings.Contains(string(data), "nested more than 64 deep") {
			t.Errorf("%d deep: %d %s", depth+2, response.StatusCode, data)
		}
	}
}

// TestLengthIsLookedAtFirst: nobody has to send what will be refused.
func TestLengthIsLookedAtFirst(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	request := "POST /v1/chat/completions HTTP/1.1\r\nHost: " + f.addr + "\r\nAuthorization: Bearer " + apitest.Key +
		"\r\nContent-Type: application/json\r\nContent-Length: 33554433\r\n\r\n"
	if got := f.raw(t, request); got != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", got)
	}
}
