package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/api/apitest"
)

// raw sends bytes as they are and returns the status of the reply, 0 when the connection was cut.
func (f *fixture) raw(t testing.TB, request string) int {
	t.Helper()
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(request)); err != nil {
		return 0
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

func TestHostsThatAreNotOurs(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	_, port, _ := net.SplitHostPort(f.addr)
	hostile := []string{
		"evil.example", "evil.example:" + port, "127.0.0.1.evil.example:" + port, "localhost.evil.example:" + port,
		"localhost.:" + port, "LOCALHOST:" + port, "Localhost:" + port, "127.1:" + port, "127.0.1:" + port, "0:" + port,
		"0.0.0.0:" + port, "127.0.0.2:" + port, "127.0.0.1", "localhost", "[::1]", "127.0.0.1:", "localhost:",
		"127.0.0.1:80", "127.0.0.1:0" + port, "127.0.0.1:" + port + "0", "localhost:1", "::1:" + port,
		"[::ffff:127.0.0.1]:" + port, "::ffff:127.0.0.1:" + port, "[::]:" + port, "[0:0:0:0:0:0:0:1]:" + port, "[::1%25lo]:" + port,
		"user@127.0.0.1:" + port, "user:pass@localhost:" + port, "2130706433:" + port, "0x7f000001:" + port, "0177.0.0.1:" + port,
		"127.0.0.1:" + port + ".evil.example", "127.0.0.1:" + port + "@evil.example", "127.0.0.1:" + port + ",evil.example",
		"localhost:" + port + "/evil", "localhost\t:" + port, "loc%61lhost:" + port, "xn--localhost-:" + port, "192.168.0.1:" + port,
		"", ".", "*", "null",
	}
	if len(hostile) < 40 {
		t.Fatalf("only %d hosts", len(hostile))
	}
	for _, host := range hostile {
		request := "GET /api/admin/stats HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"
		if got := f.raw(t, request); got != http.StatusForbidden && got != http.StatusBadRequest {
			t.Errorf("Host %q: status %d", host, got)
		}
	}
	for name, request := range map[string]string{
		"two hosts":        "GET /api/admin/stats HTTP/1.1\r\nHost: 127.0.0.1:" + port + "\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
		"no host":          "GET /api/admin/stats HTTP/1.1\r\nConnection: close\r\n\r\n",
		"HTTP/1.0":         "GET /api/admin/stats HTTP/1.0\r\n\r\n",
		"absolute":         "GET http://evil.example/api/admin/stats HTTP/1.1\r\nHost: 127.0.0.1:" + port + "\r\nConnection: close\r\n\r\n",
		"absolute to us":   "GET http://127.0.0.1:" + port + "/api/admin/stats HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
		"absolute, user":   "GET http://u@127.0.0.1:" + port + "/api/admin/stats HTTP/1.1\r\nHost: 127.0.0.1:" + port + "\r\nConnection: close\r\n\r\n",
		"proxy connection": "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n",
	} {
		if got := f.raw(t, request); got != http.StatusForbidden && got != http.StatusBadRequest {
			t.Errorf("%s: status %d", name, got)
		}
	}
	if got := f.node.Calls(); got != 0 {
		t.Errorf("a handler ran %d times", got)
	}
	for _, host := range []string{"127.0.0.1:", "localhost:", "[::1]:"} {
		if response, _ := f.do(t, "GET", "/api/admin/stats", nil, "Host", host+port); response.StatusCode != http.StatusOK {
			t.Errorf("Host %s: status %d", host, response.StatusCode)
		}
	}
}

func TestConfiguredHosts(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{Hosts: []string{"pc.lan:8800"}})
	if response, _ := f.do(t, "GET", "/api/admin/stats", nil, "Host", "pc.lan:8800"); response.StatusCode != http.StatusOK {
		t.Errorf("status %d", response.StatusCode)
	}
	// A proxy may stand in front, and some add no header: then the world looks local.
	for _, host := range []string{"pc.lan:8800", f.addr} {
		response, data := f.do(t, "GET", "/api/admin/stats", nil, "Host", host, "Authorization", "")
		wantError(t, response, data, http.StatusUnauthorized)
	}
	open := start(t, &apitest.Node{}, api.Config{Addr: "0.0.0.0:0"})
	_, port, _ := net.SplitHostPort(open.addr)
	open.url = "http://127.0.0.1:" + port
	if response, _ := open.do(t, "GET", "/health", nil); response.StatusCode != http.StatusOK {
		t.Errorf("status %d", response.StatusCode)
	}
	if response, _ := open.do(t, "GET", "/health", nil, "Host", "0.0.0.0:"+port); response.StatusCode != http.StatusForbidden {
		t.Errorf("0.0.0.0: status %d", response.StatusCode)
	}
}

func TestForeignPages(t *testing.T) {
	const friend = "https://chat.example"
	f := start(t, &apitest.Node{}, api.Config{Origins: []string{friend}})
	own := f.url
	origins := []string{"", own, friend, "null", "http://evil.example", "https://" + f.addr, own + ".evil.example", "http://localhost:3000", "file://", own + "/", "HTTP://" + f.addr}
	sites := []string{"", "none", "same-origin", "same-site", "cross-site", "evil"}
	referers := []string{"", own + "/page", "http://evil.example/", "::bad"}
	calls := 0
	for _, origin := range origins {
		for _, site := range sites {
			for _, referer := range referers {
				ourSite := site == "" || site == "none" || site == "same-origin"
				ourReferer := origin != "" || referer == "" || strings.HasPrefix(referer, own)
				want := http.StatusForbidden
				if origin == friend || (origin == "" || origin == own) && ourSite && ourReferer {
					want = http.StatusOK
					calls++
				}
				response, data := f.do(t, "POST", "/api/admin/pause", nil, "Origin", origin, "Sec-Fetch-Site", site, "Referer", referer)
				if response.StatusCode != want {
					t.Errorf("Origin %q, Sec-Fetch-Site %q, Referer %q: status %d, want %d: %s", origin, site, referer, response.StatusCode, want, data)
				}
				if got := response.Header.Get("Access-Control-Allow-Origin"); got != "" && origin != friend {
					t.Errorf("Origin %q may read the reply", origin)
				}
			}
		}
	}
	if got := f.node.Calls(); got != calls {
		t.Errorf("handlers ran %d times, want %d", got, calls)
	}
	if response, _ := f.do(t, "POST", "/api/admin/pause", nil, "Origin", own, "Origin", friend); response.StatusCode != http.StatusForbidden {
		t.Errorf("two origins: status %d", response.StatusCode)
	}
}

func TestPreflight(t *testing.T) {
	const friend = "https://chat.example"
	f := start(t, &apitest.Node{}, api.Config{Origins: []string{friend}})
	ask := []string{"Authorization", "", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type"}
	response, _ := f.do(t, "OPTIONS", "/v1/chat/completions", nil, append(ask, "Origin", friend)...)
	if response.StatusCode != http.StatusNoContent || response.Header.Get("Access-Control-Allow-Origin") != friend ||
		response.Header.Get("Access-Control-Allow-Headers") != "authorization,content-type" {
		t.Errorf("status %d, %v", response.StatusCode, response.Header)
	}
	response, data := f.do(t, "OPTIONS", "/v1/chat/completions", nil, append(ask, "Origin", "http://evil.example")...)
	wantError(t, response, data, http.StatusForbidden)
	if f.node.Calls() != 0 {
		t.Error("a handler ran")
	}
}

// fill puts values into the parameters of a route's path.
func fill(path string) string {
	return strings.NewReplacer(":id", apitest.OnDisk, ":index", "1").Replace(path)
}

func TestEveryRouteAndKey(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{Limits: api.Limits{WrongKeyDelay: time.Microsecond, OpenAIPerMin: -1, AdminPerMinute: -1}})
	senders := map[string][]string{"here": nil, "elsewhere": {"X-Forwarded-For", "203.0.113.9"}}
	keys := map[string]string{
		"right": "Bearer " + apitest.Key, "none": "", "wrong": "Bearer wrong", "empty": "Bearer ", "basic": "Basic " + apitest.Key,
		"bare": apitest.Key, "longer": "Bearer " + apitest.Key + "0", "shorter": "Bearer " + apitest.Key[1:],
	}
	for _, r := range f.Routes() {
		for where, extra := range senders {
			for name, key := range keys {
				t.Run(fmt.Sprintf("%s %s/%s/%s", r.Method, r.Path, where, name), func(t *testing.T) {
					before := f.node.Calls()
					response, data := f.do(t, r.Method, fill(r.Path), nil, append(extra, "Authorization", "", "Authorization", key)...)
					open := r.Access == "any" || r.Access == "read" && where == "here"
					switch {
					case r.Access == "here" && where == "elsewhere":
						wantError(t, response, data, http.StatusForbidden)
					case !open && name != "right":
						wantError(t, response, data, http.StatusUnauthorized)
					case response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden:
						t.Errorf("refused: %s", data)
					default:
						return
					}
					if f.node.Calls() != before {
						t.Error("the handler ran")
					}
				})
			}
		}
	}
}

func TestWrongKeysAreDelayedAndBounded(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{Limits: api.Limits{WrongKeyDelay: 300 * time.Millisecond}})
	statuses := make(chan int, 100)
	began := time.Now()
	for range cap(statuses) {
		go func() {
			request := f.request(t, "GET", "/v1/models", nil, "Authorization", "", "Authorization", "Bearer wrong")
			response, err := f.http.Do(request)
			if err != nil {
				statuses <- 0
				return
			}
			response.Body.Close()
			statuses <- response.StatusCode
		}()
	}
	if response, _ := f.do(t, "GET", "/v1/models", nil); response.StatusCode != http.StatusOK {
		t.Errorf("the right key got %d", response.StatusCode)
	}
	count := map[int]int{}
	for range cap(statuses) {
		count[<-statuses]++
	}
	if count[http.StatusUnauthorized] == 0 || count[http.StatusTooManyRequests] == 0 || count[401]+count[429] != cap(statuses) {
		t.Errorf("statuses %v", count)
	}
	if time.Since(began) < 300*time.Millisecond {
		t.Error("no delay")
	}
}

func TestRates(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{Limits: api.Limits{OpenAIPerMin: 3, AdminPerMinute: 5}})
	for path, limit := range map[string]int{"/v1/models": 3, "/api/admin/stats": 5} {
		for i := range limit + 3 {
			response, data := f.do(t, "GET", path, nil, "X-Forwarded-For", "203.0.113.9")
			if i < limit {
				if response.StatusCode != http.StatusOK {
					t.Errorf("%s %d: status %d", path, i, response.StatusCode)
				}
				continue
			}
			wantError(t, response, data, http.StatusTooManyRequests)
			if s, err := strconv.Atoi(response.Header.Get("Retry-After")); err != nil || s < 1 || s > 60 {
				t.Errorf("Retry-After %q", response.Header.Get("Retry-After"))
			}
			if response, _ := f.do(t, "GET", path, nil); response.StatusCode != http.StatusOK {
				t.Errorf("%s from this PC: status %d", path, response.StatusCode)
			}
		}
	}
}

func TestBodiesThatAreRefused(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{Limits: api.Limits{BodyBytes: 1 << 20}})
	const path = "/v1/chat/completions"
	valid, err := json.Marshal(chat(apitest.Loaded, "hi")) // only its type is wrong
	if err != nil {
		t.Fatal(err)
	}
	deep := func(n int) string { return strings.Repeat(`{"a":[`, n/2) + strings.Repeat(`]}`, n/2) }
	for _, test := range []struct {
		name    string
		body    any
		status  int
		headers []string
	}{
		{"too large", strings.Repeat(" ", 1<<20+1), http.StatusRequestEntityTooLarge, nil},
		{"too deep", deep(66), http.StatusBadRequest, nil},
		{"far too deep", deep(1 << 17), http.StatusBadRequest, nil},
		{"a form", valid, http.StatusBadRequest, []string{"Content-Type", "", "Content-Type", "application/x-www-form-urlencoded"}},
		{"plain text", valid, http.StatusBadRequest, []string{"Content-Type", "", "Content-Type", "text/plain"}},
		{"no type", valid, http.StatusBadRequest, []string{"Content-Type", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, data := f.do(t, "POST", path, test.body, test.headers...)
			wantError(t, response, data, test.status)
		})
	}
	chunked := "POST " + path + " HTTP/1.1\r\nHost: " + f.addr + "\r\nAuthorization: Bearer " + apitest.Key +
		"\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("10000\r\n"+strings.Repeat(" ", 1<<16)+"\r\n", 17) + "0\r\n\r\n"
	if got := f.raw(t, chunked); got != http.StatusRequestEntityTooLarge {
		t.Errorf("chunked: status %d", got)
	}
	if f.node.Calls() != 0 {
		t.Error("a handler ran")
	}
}

func TestLargeBodyGetsItsAnswer(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	response, data := f.do(t, "POST", "/v1/chat/completions", make([]byte, 33<<20))
	wantError(t, response, data, http.StatusRequestEntityTooLarge)
}

func TestBodiesShareABudget(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{Limits: api.Limits{BodiesBytes: 8 << 20}})
	large := with(chat(apitest.Loaded, "hi"), "user", strings.Repeat("x", 5<<20))
	response, data := f.do(t, "POST", "/v1/chat/completions", large)
	wantError(t, response, data, http.StatusTooManyRequests)
	for range 5 { // what a request took is given back
		fits := with(chat(apitest.Loaded, "hi"), "user", strings.Repeat("x", 1<<20))
		if response, data := f.do(t, "POST", "/v1/chat/completions", fits); response.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", response.StatusCode, data)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{Limits: api.Limits{Connections: 2}})
	for range 20 { // each gets the slot of one that was closed
		if got := f.raw(t, "GET /health HTTP/1.1\r\nHost: "+f.addr+"\r\nConnection: close\r\n\r\n"); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
	}
}

func TestManyHeaders(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	var request strings.Builder
	fmt.Fprintf(&request, "GET /health HTTP/1.1\r\nHost: %s\r\n", f.addr)
	for i := range 100_000 {
		fmt.Fprintf(&request, "X-%d: y\r\n", i)
	}
	request.WriteString("\r\n")
	if got := f.raw(t, request.String()); got != http.StatusRequestHeaderFieldsTooLarge && got != 0 {
		t.Errorf("status %d", got)
	}
	if response, _ := f.do(t, "GET", "/health", nil); response.StatusCode != http.StatusOK {
		t.Error("the server does not answer any more")
	}
}

func TestSecurityHeaders(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	for _, path := range []string{"/health", "/nowhere", "/v1/models"} {
		response, _ := f.do(t, "GET", path, nil)
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
}

func TestDepth(t *testing.T) {
	for text, want := range map[string]int{`1`: 0, `{}`: 1, `{"a":[{}]}`: 3, `"[[["`: 0, `"\"[["`: 0, `["\\",[]]`: 2, `[[`: 2, `]]]]`: 0} {
		if got, _ := api.Measure([]byte(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}
