package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/api/apitest"
	"github.com/shoal-p2p/shoal/daemon/api/openai"
	"github.com/shoal-p2p/shoal/daemon/core"
)

const (
	streams      = 200
	streamPieces = 300
)

// counted is a script whose reply names the request and counts; halfway all requests wait for each other.
func counted(half *sync.WaitGroup, release <-chan struct{}) *apitest.Node {
	return &apitest.Node{Script: func(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
		name := req.Messages[0].Content
		for i := range streamPieces {
			if i == streamPieces/2 {
				half.Done()
				<-release
			}
			if err := emit(core.Delta{Text: fmt.Sprintf("%s:%d ", name, i)}); err != nil {
				return nil, err
			}
		}
		return &core.Reply{Model: req.Model, FinishReason: core.FinishStop}, nil
	}}
}

func TestManyStreamsLoseNothing(t *testing.T) {
	var half sync.WaitGroup
	half.Add(streams)
	release := make(chan struct{})
	f := start(t, counted(&half, release), api.Config{})
	runtime.GC()
	goroutines, memory := runtime.NumGoroutine(), inUse()

	var clients sync.WaitGroup
	for s := range streams {
		clients.Go(func() {
			name := fmt.Sprint("s", s)
			got := f.stream(t, "/v1/chat/completions", chat(apitest.Loaded, name))
			if err := inOrder(name, got); err != nil {
				t.Error(err)
			}
		})
	}
	half.Wait()
	runtime.GC()
	perStream := float64(inUse()-memory) / streams / (1 << 20)
	t.Logf("%.3f MiB per stream, both ends of it in this process", perStream)
	if perStream > 0.5 {
		t.Errorf("%.3f MiB per stream", perStream)
	}
	close(release)
	clients.Wait()
	f.http.CloseIdleConnections()
	eventually(t, "goroutines are back at the baseline", func() bool { return runtime.NumGoroutine() <= goroutines+5 })
}

// inUse is the memory of heap and stacks in bytes.
func inUse() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

func inOrder(name string, events []string) error {
	var text, want strings.Builder
	for _, data := range events[:len(events)-1] {
		var chunk openai.Completion
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return err
		}
		if c := chunk.Choices[0].Delta.Content; c != nil {
			text.WriteString(*c)
		}
	}
	for i := range streamPieces {
		fmt.Fprintf(&want, "%s:%d ", name, i)
	}
	if text.String() != want.String() || events[len(events)-1] != "[DONE]" {
		return fmt.Errorf("stream %s: got %d bytes, want %d", name, text.Len(), want.Len())
	}
	return nil
}

func TestOverloadIsToldAtOnce(t *testing.T) {
	const slots = 4
	running, release := make(chan struct{}, slots), make(chan struct{})
	var taken atomic.Int32
	node := &apitest.Node{Script: func(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
		if taken.Add(1) > slots {
			return nil, core.Errorf(core.CodeOverloaded, "%d requests are running", slots)
		}
		running <- struct{}{}
		<-release
		return apitest.Answer(ctx, req, emit)
	}}
	f := start(t, node, api.Config{})
	accepted := make(chan int, slots)
	for range slots {
		go func() {
			response, err := f.http.Do(f.request(t, "POST", "/v1/chat/completions", chat(apitest.Loaded, "hi")))
			if err != nil {
				accepted <- 0
				return
			}
			response.Body.Close()
			accepted <- response.StatusCode
		}()
	}
	for range slots {
		<-running
	}
	for range 100 {
		began := time.Now()
		response, data := f.do(t, "POST", "/v1/chat/completions", chat(apitest.Loaded, "hi"))
		wantError(t, response, data, http.StatusTooManyRequests)
		if response.Header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", response.Header.Get("Retry-After"))
		}
		if took := time.Since(began); took > 5*time.Second { // the bar is 50 ms; BenchmarkOverload measures it
			t.Errorf("refused after %v", took)
		}
	}
	close(release)
	for range slots {
		if status := <-accepted; status != http.StatusOK {
			t.Errorf("an accepted request got %d", status)
		}
	}
}

func TestSlowClientsAreCut(t *testing.T) {
	const headers, bodies, readers = 500, 460, 40
	var served, reading atomic.Int64
	node := &apitest.Node{Script: func(_ context.Context, _ *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
		served.Add(1)
		reading.Add(1)
		defer reading.Add(-1)
		piece := core.Delta{Text: strings.Repeat("x", 64<<10)}
		for {
			if err := emit(piece); err != nil {
				return nil, err
			}
		}
	}}
	const patience = 2 * time.Second // far more than a busy machine needs to read a reader's request
	f := start(t, node, api.Config{Limits: api.Limits{HeaderTimeout: patience, StallTimeout: patience}})
	request := "POST /v1/chat/completions HTTP/1.1\r\nHost: " + f.addr + "\r\nAuthorization: Bearer " + apitest.Key + "\r\nContent-Type: application/json\r\n"
	stream, err := json.Marshal(with(chat(apitest.Loaded, "hi"), "stream", true))
	if err != nil {
		t.Fatal(err)
	}
	var slow []net.Conn
	defer func() {
		for _, c := range slow {
			c.Close()
		}
	}()
	open := func(n int, first string) {
		for range n {
			conn, err := net.Dial("tcp", f.addr)
			if err != nil {
				t.Fatal(err)
			}
			slow = append(slow, conn)
			if _, err := conn.Write([]byte(first)); err != nil {
				t.Fatal(err)
			}
		}
	}
	open(headers, "GET /health HTTP/1.1\r\nX-Slow: ")
	open(bodies, request+"Content-Length: 100000\r\n\r\n{\"model\":\"")
	trickling := slow[:headers+bodies]
	open(readers, request+fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(stream), stream))
	// Some may be cut already while the last are still to be served.
	eventually(t, "the slow readers are served", func() bool { return served.Load() == readers })

	began := time.Now()
	var cut sync.WaitGroup
	for _, conn := range trickling {
		cut.Go(func() { trickle(t, conn) })
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		cut.Wait()
	}()
	var honest []time.Duration
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		asked := time.Now()
		if response, _ := f.do(t, "GET", "/health", nil); response.StatusCode != http.StatusOK {
			t.Fatalf("the honest client got %d", response.StatusCode)
		}
		honest = append(honest, time.Since(asked))
	}
	eventually(t, "the slow readers are cut", func() bool { return reading.Load() == 0 })
	slices.Sort(honest)
	t.Logf("%d slow clients cut within %v; %d honest requests, p99 %v", len(slow), time.Since(began), len(honest), honest[len(honest)*99/100])
}

// trickle sends a byte now and then until the server cuts the connection.
func trickle(t *testing.T, conn net.Conn) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return
		}
		for buf := make([]byte, 512); ; {
			if _, err := conn.Read(buf); err != nil {
				if e, ok := err.(net.Error); ok && e.Timeout() {
					t.Error("a slow client was not cut within 20 s")
				}
				return
			}
		}
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-gone:
			return
		case <-tick.C:
			_, _ = conn.Write([]byte("x")) // the reader notices the end
		}
	}
}

func BenchmarkOverload(b *testing.B) {
	running, release := make(chan struct{}, 1), make(chan struct{})
	var taken atomic.Int32
	node := &apitest.Node{Script: func(context.Context, *core.GenerateRequest, func(core.Delta) error) (*core.Reply, error) {
		if taken.Add(1) > 1 {
			return nil, core.Errorf(core.CodeOverloaded, "one request is running")
		}
		running <- struct{}{}
		<-release
		return &core.Reply{FinishReason: core.FinishStop}, nil
	}}
	f := start(b, node, api.Config{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.do(b, "POST", "/v1/chat/completions", chat(apitest.Loaded, "hi"))
	}()
	<-running
	worst := time.Duration(0)
	for b.Loop() {
		began := time.Now()
		if response, _ := f.do(b, "POST", "/v1/chat/completions", chat(apitest.Loaded, "hi")); response.StatusCode != http.StatusTooManyRequests {
			b.Fatal(response.Status)
		}
		worst = max(worst, time.Since(began))
	}
	b.ReportMetric(worst.Seconds()*1000, "worst-ms")
	if worst > 50*time.Millisecond {
		b.Errorf("a refusal took %v", worst)
	}
	close(release)
	<-ended
}

func BenchmarkStream(b *testing.B) {
	node := &apitest.Node{Script: func(_ context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
		for range b.N {
			if err := emit(core.Delta{Text: " word"}); err != nil {
				return nil, err
			}
		}
		return &core.Reply{Model: req.Model, FinishReason: core.FinishStop}, nil
	}}
	f := start(b, node, api.Config{})
	b.ReportAllocs()
	b.ResetTimer()
	f.stream(b, "/v1/chat/completions", chat(apitest.Loaded, "hi"))
}
