package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/frame"
)

// stuckTimeout is how long a cancelled call may go on before its worker is killed. On a CPU a call ends within
// milliseconds; on a GPU the work that was handed over runs to its end.
const stuckTimeout = 15 * time.Second

// window is the node's side of a worker. It implements engine.Window.
type window struct {
	process *process
	conn    net.Conn
	shape   engine.Shape
	done    chan struct{}

	writing sync.Mutex // guards buf and writes to conn, and gives steps their order
	buf     []byte

	mu      sync.Mutex // guards the rest
	next    uint32
	waiting map[uint32]chan message
	ended   error // set once no more answers come
	closing bool
}

func newWindow(p *process, conn net.Conn) *window {
	w := &window{process: p, conn: conn, done: make(chan struct{}), waiting: map[uint32]chan message{}}
	go w.read()
	return w
}

// read hands answers to those who wait, until the worker is gone.
func (w *window) read() {
	r := bufio.NewReaderSize(w.conn, 64<<10)
	for {
		f, err := readFrame(r, nil, maxFrame)
		if err != nil {
			break
		}
		w.mu.Lock()
		to := w.waiting[f.id]
		delete(w.waiting, f.id)
		w.mu.Unlock()
		if to != nil {
			to <- f // has room for it
		}
	}
	_ = w.conn.Close()
	w.end()
	w.process.kill()
	close(w.done)
}

// end fails the calls that wait.
func (w *window) end() {
	err := w.process.died()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		err = core.Errorf(core.CodeEngineCrashed, "the window is closed")
	}
	w.ended = err
	for id, to := range w.waiting {
		delete(w.waiting, id)
		close(to)
	}
}

// ask sends a frame and waits for its answer, which must be of kind want. When ctx ends, the worker is told to
// stop, and the answer is waited for.
func (w *window) ask(ctx context.Context, k, want kind, add func([]byte) ([]byte, error)) (message, error) {
	answer, id, err := w.expect()
	if err != nil {
		return message{}, err
	}
	if err := w.send(k, id, add); err != nil {
		w.forget(id)
		if core.CodeOf(err) == core.CodeInternal { // the connection; read will know why
			<-w.done
			return message{}, w.reason()
		}
		return message{}, err
	}
	f, err := w.wait(ctx, id, answer)
	if err != nil {
		return message{}, err
	}
	switch f.kind {
	case want:
		return f, nil
	case kindError:
		var r errorReply
		if err := json.Unmarshal(f.body, &r); err != nil {
			return message{}, core.Errorf(core.CodeEngineCrashed, "worker's error: %w", err)
		}
		return message{}, r.error()
	}
	return message{}, core.Errorf(core.CodeEngineCrashed, "worker answered with frame %d, want %d", f.kind, want)
}

func (w *window) expect() (answer chan message, id uint32, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended != nil {
		return nil, 0, w.ended
	}
	w.next++
	answer = make(chan message, 1)
	w.waiting[w.next] = answer
	return answer, w.next, nil
}

func (w *window) forget(id uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, id)
}

func (w *window) reason() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

// send writes a frame. A worker that takes no bytes for long is given up: who waits for it could not even be
// cancelled.
func (w *window) send(k kind, id uint32, add func([]byte) ([]byte, error)) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	_ = w.conn.SetWriteDeadline(time.Now().Add(stuckTimeout)) // fails if the worker is gone, as the write does
	err := writeFrame(w.conn, &w.buf, k, id, add)
	if core.CodeOf(err) == core.CodeInternal {
		_ = w.conn.Close() // what follows a part of a frame means nothing
	}
	return err
}

func (w *window) wait(ctx context.Context, id uint32, answer chan message) (message, error) {
	select {
	case f, ok := <-answer:
		return w.answered(f, ok)
	case <-ctx.Done():
	}
	_ = w.send(kindCancel, id, func(b []byte) ([]byte, error) { return b, nil }) // fails if the worker is gone
	stuck := time.NewTimer(stuckTimeout)
	defer stuck.Stop()
	select {
	case f, ok := <-answer:
		return w.answered(f, ok)
	case <-stuck.C:
		w.process.kill()
		<-w.done
		return message{}, core.Errorf(core.CodeEngineCrashed, "the worker was stuck for %s", stuckTimeout)
	}
}

func (w *window) answered(f message, ok bool) (message, error) {
	if !ok {
		return message{}, w.reason()
	}
	return f, nil
}

// Shape implements engine.Window.
func (w *window) Shape() engine.Shape { return w.shape }

// Step implements engine.Window.
func (w *window) Step(ctx context.Context, b *engine.Batch) (*engine.Output, error) {
	ended := ctx.Err() != nil
	f, err := w.ask(ctx, kindStep, kindOutput, func(to []byte) ([]byte, error) { return appendBatch(to, b, ended) })
	if err != nil {
		return nil, err
	}
	out, err := decodeOutput(f.body, b.Spare, frame.WantedOf(w.shape, len(b.Rows)))
	if err != nil {
		return nil, core.Errorf(core.CodeEngineCrashed, "worker's output: %w", err)
	}
	return out, nil
}

// Tokenize implements engine.Tokenizer.
func (w *window) Tokenize(ctx context.Context, text string, addSpecial, parseSpecial bool) ([]int32, error) {
	f, err := w.ask(ctx, kindTokenize, kindTokens, func(to []byte) ([]byte, error) {
		return appendText(to, text, addSpecial, parseSpecial), nil
	})
	if err != nil {
		return nil, err
	}
	c := frame.Read(f.body)
	tokens := c.Tokens()
	return tokens, c.End()
}

// Pieces implements engine.Tokenizer.
func (w *window) Pieces(ctx context.Context, tokens []int32, special bool) ([][]byte, error) {
	f, err := w.ask(ctx, kindPieces, kindTexts, func(to []byte) ([]byte, error) {
		return frame.AppendTokens(append(to, frame.Marks(special, false)), tokens), nil
	})
	if err != nil {
		return nil, err
	}
	return decodePieces(f.body)
}

// Done implements engine.Window.
func (w *window) Done() <-chan struct{} { return w.done }

// Close implements engine.Window.
func (w *window) Close() error {
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	_ = w.conn.Close()
	w.process.kill()
	<-w.done
	return nil
}

var _ engine.Window = (*window)(nil)
