package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/frame"
)

// addressVariable tells the worker where the node listens: "unix:PATH" or "tcp:HOST:PORT".
const addressVariable = "SHOAL_WORKER_ADDRESS"

// maxQueue bounds the steps that wait for the one that runs.
const maxQueue = 64

// ServerConfig is what the worker program runs with. All fields are required.
type ServerConfig struct {
	Address string                             // value of the address variable
	Token   io.Reader                          // gives the token, then a line end
	Engine  func(runtime string) engine.Engine // opens the libraries of a folder
	Lost    func()                             // called once the node is gone, before Run waits for a call that hangs
	Log     *slog.Logger
}

// Run serves one window to the node until the connection ends. The error is nil if the node closed it.
func Run(ctx context.Context, c ServerConfig) error {
	token, err := bufio.NewReader(io.LimitReader(c.Token, maxHello)).ReadString('\n')
	if err != nil {
		return core.Errorf(core.CodeInternal, "read token: %w", err)
	}
	network, address, _ := strings.Cut(c.Address, ":")
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return core.Errorf(core.CodeInternal, "reach the node: %w", err)
	}
	defer conn.Close()
	s := &server{config: c, conn: conn, steps: make(chan *job, maxQueue), running: map[uint32]context.CancelFunc{}}
	if err := s.send(kindHello, 0, func(b []byte) ([]byte, error) { return append(b, strings.TrimSpace(token)...), nil }); err != nil {
		return err
	}
	return s.serve(ctx)
}

// server is the worker's side of a connection.
type server struct {
	config ServerConfig
	conn   net.Conn
	steps  chan *job
	free   sync.Pool // of *job

	writing sync.Mutex // guards buf and writes to conn
	buf     []byte

	mu      sync.Mutex // guards the rest
	running map[uint32]context.CancelFunc
	window  engine.Window
}

// job is a frame for the compute goroutine: a step, or a call that comes before any.
type job struct {
	id    uint32
	ctx   context.Context
	batch engine.Batch
	call  func(ctx context.Context) (any, error)
}

func (s *server) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(s.compute)
	err := s.read(ctx, &group)
	cancel()
	close(s.steps)
	if s.config.Lost != nil {
		s.config.Lost()
	}
	group.Wait()
	if w := s.loaded(); w != nil {
		_ = w.Close()
	}
	return err
}

// read takes frames until the connection ends. A frame that cannot be understood ends it too.
func (s *server) read(ctx context.Context, group *sync.WaitGroup) error {
	r := bufio.NewReaderSize(s.conn, 64<<10)
	var buf []byte
	for {
		f, err := readFrame(r, buf, maxFrame)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return core.Errorf(core.CodeInternal, "read frame: %w", err)
		}
		buf = f.body[:0]
		if err := s.take(ctx, group, f); err != nil {
			return err
		}
	}
}

func (s *server) take(ctx context.Context, group *sync.WaitGroup, f message) error {
	switch f.kind {
	case kindCancel:
		s.cancel(f.id)
	case kindStep:
		return s.enqueueStep(ctx, f)
	case kindInfo:
		var r infoRequest
		if err := json.Unmarshal(f.body, &r); err != nil {
			return core.Errorf(core.CodeInternal, "info frame: %w", err)
		}
		s.enqueue(ctx, &job{id: f.id, call: func(ctx context.Context) (any, error) { return s.config.Engine(r.Dir).Info(ctx) }})
	case kindLoad:
		var r loadRequest
		if err := json.Unmarshal(f.body, &r); err != nil {
			return core.Errorf(core.CodeInternal, "load frame: %w", err)
		}
		s.enqueue(ctx, &job{id: f.id, call: func(ctx context.Context) (any, error) { return s.load(ctx, r) }})
	case kindTokenize:
		text, addSpecial, parseSpecial, err := decodeText(f.body)
		if err != nil {
			return err
		}
		group.Go(func() { s.tokenize(ctx, f.id, text, addSpecial, parseSpecial) })
	case kindPieces:
		c := frame.Read(f.body)
		special, tokens := c.U8() != 0, c.Tokens()
		if err := c.End(); err != nil {
			return err
		}
		group.Go(func() { s.pieces(ctx, f.id, tokens, special) })
	default:
		return core.Errorf(core.CodeInternal, "frame of unknown kind %d", f.kind)
	}
	return nil
}

func (s *server) enqueueStep(ctx context.Context, f message) error {
	w := s.loaded()
	if w == nil {
		return s.fail(f.id, errNoWindow())
	}
	j, _ := s.free.Get().(*job)
	if j == nil {
		j = new(job)
	}
	j.id, j.call = f.id, nil
	ended, err := decodeBatch(f.body, &j.batch, frame.LimitsOf(w.Shape()))
	if err != nil {
		return s.fail(f.id, err)
	}
	if ended {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		cancel()
	}
	s.enqueue(ctx, j)
	return nil
}

func (s *server) enqueue(ctx context.Context, j *job) {
	var cancel context.CancelFunc
	j.ctx, cancel = context.WithCancel(ctx)
	s.mu.Lock()
	s.running[j.id] = cancel
	s.mu.Unlock()
	s.steps <- j
}

func (s *server) cancel(id uint32) {
	s.mu.Lock()
	cancel := s.running[id]
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// compute runs jobs in order, always on the same thread, which some GPU drivers want.
func (s *server) compute() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for j := range s.steps {
		if err := s.run(j); err != nil {
			s.config.Log.Error("cannot answer", "err", err)
			_ = s.conn.Close()
		}
		s.mu.Lock()
		s.running[j.id]()
		delete(s.running, j.id)
		s.mu.Unlock()
		if j.call == nil {
			s.free.Put(j)
		}
	}
}

func (s *server) run(j *job) error {
	if j.call != nil {
		reply, err := j.call(j.ctx)
		if err != nil {
			return s.fail(j.id, err)
		}
		return s.sendJSON(kindReply, j.id, reply)
	}
	out, err := s.loaded().Step(j.ctx, &j.batch)
	if err != nil {
		return s.fail(j.id, err)
	}
	j.batch.Spare = out.Hidden
	return s.send(kindOutput, j.id, func(b []byte) ([]byte, error) { return frame.AppendOutput(b, out, false), nil })
}

func (s *server) load(ctx context.Context, r loadRequest) (any, error) {
	if s.loaded() != nil {
		return nil, core.Errorf(core.CodeConflict, "a window is loaded already")
	}
	w, err := s.config.Engine(r.Dir).Load(ctx, r.Spec)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.window = w
	return w.Shape(), nil
}

func (s *server) loaded() engine.Window {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.window
}

func (s *server) tokenize(ctx context.Context, id uint32, text string, addSpecial, parseSpecial bool) {
	w := s.loaded()
	if w == nil {
		_ = s.fail(id, errNoWindow())
		return
	}
	tokens, err := w.Tokenize(ctx, text, addSpecial, parseSpecial)
	if err != nil {
		_ = s.fail(id, err)
		return
	}
	_ = s.send(kindTokens, id, func(b []byte) ([]byte, error) { return frame.AppendTokens(b, tokens), nil })
}

func (s *server) pieces(ctx context.Context, id uint32, tokens []int32, special bool) {
	w := s.loaded()
	if w == nil {
		_ = s.fail(id, errNoWindow())
		return
	}
	pieces, err := w.Pieces(ctx, tokens, special)
	if err != nil {
		_ = s.fail(id, err)
		return
	}
	_ = s.send(kindTexts, id, func(b []byte) ([]byte, error) { return appendPieces(b, pieces), nil })
}

func errNoWindow() error { return core.Errorf(core.CodeNotReady, "no window is loaded") }

func (s *server) fail(id uint32, err error) error { return s.sendJSON(kindError, id, replyOf(err)) }

func (s *server) sendJSON(k kind, id uint32, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return core.Errorf(core.CodeInternal, "encode reply: %w", err)
	}
	return s.send(k, id, func(b []byte) ([]byte, error) { return append(b, body...), nil })
}

// send writes one frame whose body is what add appends.
func (s *server) send(k kind, id uint32, add func([]byte) ([]byte, error)) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return writeFrame(s.conn, &s.buf, k, id, add)
}

// writeFrame writes a frame through buf, which it keeps for the next one.
func writeFrame(w io.Writer, buf *[]byte, k kind, id uint32, add func([]byte) ([]byte, error)) error {
	b, err := add(startFrame(*buf, k, id))
	if err != nil {
		return err
	}
	*buf = b[:0]
	if b, err = endFrame(b); err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return core.Errorf(core.CodeInternal, "write frame: %w", err)
	}
	return nil
}
