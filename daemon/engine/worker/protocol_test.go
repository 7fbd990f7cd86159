package worker

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// waits is a token whose step waits.
const waits = 999

// echo is an engine whose window samples the token of every row.
type echo struct{ done chan struct{} }

func (e *echo) Info(context.Context) (engine.RuntimeInfo, error) {
	return engine.RuntimeInfo{Version: "echo"}, nil
}
func (e *echo) Load(context.Context, engine.Spec) (engine.Window, error) { return e, nil }
func (e *echo) Shape() engine.Shape {
	return engine.Shape{Embedding: 2, Vocabulary: 1000, Sequences: 1, BatchRows: 1}
}
func (e *echo) Done() <-chan struct{} { return e.done }
func (e *echo) Close() error          { close(e.done); return nil }

func (e *echo) Step(ctx context.Context, b *engine.Batch) (*engine.Output, error) {
	if ctx.Err() != nil {
		return nil, core.Errorf(core.CodeCancelled, "echo: %w", ctx.Err())
	}
	out := &engine.Output{Hidden: b.Hidden}
	for i, r := range b.Rows {
		if r.Token == waits { // waits to be cancelled
			<-ctx.Done()
			return nil, core.Errorf(core.CodeCancelled, "echo: %w", ctx.Err())
		}
		out.Samples = append(out.Samples, engine.Sample{Row: i, Token: r.Token})
	}
	return out, nil
}

func (e *echo) Tokenize(_ context.Context, text string, _, _ bool) ([]int32, error) {
	if text == "bad" {
		return nil, core.Errorf(core.CodeInvalidRequest, "bad text").WithParam("prompt").WithHint("say good")
	}
	return []int32{int32(len(text))}, nil
}

func (e *echo) Pieces(_ context.Context, tokens []int32, _ bool) ([][]byte, error) {
	return make([][]byte, len(tokens)), nil
}

// connect runs both sides of a worker over a pipe, without a process.
func connect(t *testing.T) *window {
	t.Helper()
	before := goleak.IgnoreCurrent()
	here, there := net.Pipe()
	e := &echo{done: make(chan struct{})}
	s := &server{
		config: ServerConfig{Engine: func(string) engine.Engine { return e }, Log: slog.New(slog.DiscardHandler)},
		conn:   there, steps: make(chan *job, maxQueue), running: map[uint32]context.CancelFunc{},
	}
	ended := make(chan error, 1)
	go func() { ended <- s.serve(context.Background()) }()
	process, err := startProcess(exec.Command("sleep", "1000"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Skip(err)
	}
	w := newWindow(process, here)
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, before)
	})
	if err := w.first(context.Background(), kindLoad, loadRequest{}, &w.shape); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestManyCallsAtOnce(t *testing.T) {
	w := connect(t)
	failed := make(chan error, 200)
	for i := range int32(cap(failed)) {
		go func() {
			out, err := w.Step(context.Background(), &engine.Batch{Rows: []engine.Row{{Token: i}}, Hidden: []float32{float32(i), 1}})
			if err == nil && (out.Samples[0].Token != i || out.Hidden[0] != float32(i)) {
				err = core.Errorf(core.CodeInternal, "call %d got the answer %+v", i, out)
			}
			if tokens, e := w.Tokenize(context.Background(), strings.Repeat("x", int(i)), false, false); e != nil || tokens[0] != i {
				err = core.Errorf(core.CodeInternal, "text %d got %v, %v", i, tokens, e)
			}
			failed <- err
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func TestCancelReachesTheRunningStepOnly(t *testing.T) {
	w := connect(t)
	ctx, cancel := context.WithCancel(context.Background())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := w.Step(ctx, &engine.Batch{Rows: []engine.Row{{Token: waits}}, Hidden: []float32{1, 1}})
		first <- err
	}()
	go func() {
		_, err := w.Step(context.Background(), &engine.Batch{Rows: []engine.Row{{Token: 1}}, Hidden: []float32{1, 1}})
		second <- err
	}()
	cancel()
	if err := <-first; core.CodeOf(err) != core.CodeCancelled {
		t.Errorf("the cancelled step gave %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("the other step gave %v", err)
	}
}

func TestErrorsKeepTheirParts(t *testing.T) {
	w := connect(t)
	_, err := w.Tokenize(context.Background(), "bad", false, false)
	e, ok := err.(*core.Error)
	if !ok || e.Code != core.CodeInvalidRequest || e.Msg != "bad text" || e.Param != "prompt" || e.Hint != "say good" {
		t.Errorf("got %#v", err)
	}
}

func TestSecondLoadIsRefused(t *testing.T) {
	w := connect(t)
	var shape engine.Shape
	if err := w.first(context.Background(), kindLoad, loadRequest{}, &shape); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("got %v", err)
	}
}

func TestServerEndsOnNonsense(t *testing.T) {
	for name, send := range map[string][]byte{
		"unknown kind": {0, 0, 0, 0, 250, 1, 0, 0, 0},
		"too long":     {255, 255, 255, 255, byte(kindStep), 1, 0, 0, 0},
		"cut":          {9, 0, 0, 0, byte(kindTokenize), 1, 0},
		"bad JSON":     {1, 0, 0, 0, byte(kindLoad), 1, 0, 0, 0, '{'},
		"bad text":     {1, 0, 0, 0, byte(kindTokenize), 1, 0, 0, 0, 1},
	} {
		here, there := net.Pipe()
		s := &server{
			config: ServerConfig{Log: slog.New(slog.DiscardHandler)}, conn: there,
			steps: make(chan *job, maxQueue), running: map[uint32]context.CancelFunc{},
		}
		ended := make(chan error, 1)
		go func() { ended <- s.serve(context.Background()) }()
		if _, err := here.Write(send); err != nil {
			t.Fatal(err)
		}
		_ = here.Close()
		if err := <-ended; err == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}

func TestStrangersDoNotGetIn(t *testing.T) {
	listener, address, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	process, err := startProcess(exec.Command("sleep", "1000"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Skip(err)
	}
	defer process.kill()
	accepted := make(chan error, 1)
	go func() {
		conn, err := accept(context.Background(), listener, process, "secret")
		if err == nil {
			err = conn.Close()
		}
		accepted <- err
	}()
	network, path, _ := strings.Cut(address, ":")
	hello := func(token string) net.Conn {
		conn, err := net.Dial(network, path)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		var buf []byte
		if err := writeFrame(conn, &buf, kindHello, 0, func(b []byte) ([]byte, error) { return append(b, token...), nil }); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for _, token := range []string{"", "guess", "secret and more"} {
		conn := hello(token)
		if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("token %q: read %d, %v", token, n, err)
		}
		_ = conn.Close()
	}
	defer hello("secret").Close()
	if err := <-accepted; err != nil {
		t.Error(err)
	}
}

func TestTailIsBounded(t *testing.T) {
	last := &tail{log: slog.New(slog.DiscardHandler)}
	for range 100 {
		if _, err := last.Write([]byte(strings.Repeat("x", 1000))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := last.Write([]byte("\nthe end\n")); err != nil {
		t.Fatal(err)
	}
	if got := last.String(); len(got) > maxTail || !strings.HasSuffix(got, "the end") {
		t.Errorf("%d bytes that end with %q", len(got), got[len(got)-10:])
	}
}
