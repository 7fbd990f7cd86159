package pipeline

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/frame"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// Pipe is the host's side of a session: a run of stages on other nodes as one window of a schedule.Chain.
type Pipe struct {
	network core.Network
	spec    Spec
	id      sessionID
	shape   engine.Shape
	view    frame.View // of the first stage
	credits chan struct{}

	first  core.Stream // to the first stage
	answer core.Stream // from the last; the same if there is one
	in     *wire.Reader
	out    *wire.Writer

	ready  chan []*wire.PipelineShape // holds one
	broken chan struct{}              // closed when the session has ended
	done   chan struct{}              // closed when every batch has come back
	work   sync.WaitGroup
	begun  time.Time
	rtt    atomic.Int64 // round trip of the latest ping through the ring, in nanoseconds

	sending sync.Mutex // gives batches their order; guards body and number
	body    []byte
	number  uint64

	mu      sync.Mutex // guards the rest
	err     error
	opened  bool
	drained bool
	pending []*passage // batches under way, in order
	idle    []*passage
	seen    []time.Time // last sign of each stage; zero before the first
	finish  []uint64    // batches that have left each stage
	pinged  time.Time   // when the ping of number pings left
	pings   uint64
	blame   *time.Timer
}

// passage is a batch under way.
type passage struct {
	number uint64
	rows   int
	begun  time.Time
	spare  []float32
	ctx    context.Context
	done   func(schedule.Passage)
	unhook func() bool
}

// cancelled tells whether the host has asked for the batch's end.
func (w *passage) cancelled() bool { return w.ctx.Err() != nil }

func (p *Pipe) peer(i int) core.PeerID { return p.spec.Stages[i].Peer }

func (p *Pipe) last() int { return len(p.spec.Stages) - 1 }

// Shape implements engine.Window.
func (p *Pipe) Shape() engine.Shape { return p.shape }

// Len implements schedule.Pipe.
func (p *Pipe) Len() int { return len(p.spec.Stages) }

// RTT is the time a ping took lately through the ring; 0 before the first.
func (p *Pipe) RTT() time.Duration { return time.Duration(p.rtt.Load()) }

// Submit implements schedule.Pipe.
func (p *Pipe) Submit(ctx context.Context, b *engine.Batch, done func(schedule.Passage)) {
	select {
	case p.credits <- struct{}{}:
	case <-p.done:
		done(schedule.Passage{Err: p.failure()})
		return
	}
	p.sending.Lock()
	defer p.sending.Unlock()
	k := packet{header: header{number: p.number + 1}, batch: *b}
	err := engine.CheckSamplers(b.Ops, p.shape.Vocabulary)
	if err == nil && ctx.Err() != nil {
		k.fail(core.Errorf(core.CodeCancelled, "batch: %w", context.Cause(ctx)))
	}
	var body []byte
	if err == nil {
		body, err = appendPacket(p.body[:0], &k, p.view)
	}
	if err != nil { // the others of the batch's operations have to arrive
		k.refuse(err)
		body, _ = appendPacket(p.body[:0], &k, p.view)
	}
	p.body, p.number = body, k.number
	if !p.expect(ctx, &k, b.Spare, done) {
		return
	}
	if err := p.out.SendPayload(kindBatch, body); err != nil {
		p.fail(lost(p.peer(0), err))
	}
}

// expect notes a batch as under way. It is false, and done has been called, when the session is over.
func (p *Pipe) expect(ctx context.Context, k *packet, spare []float32, done func(schedule.Passage)) bool {
	p.mu.Lock()
	if p.drained {
		err := p.err
		p.mu.Unlock()
		<-p.credits
		done(schedule.Passage{Err: err})
		return false
	}
	var w *passage
	if n := len(p.idle); n > 0 {
		w, p.idle = p.idle[n-1], p.idle[:n-1]
	} else {
		w = &passage{}
	}
	*w = passage{number: k.number, rows: len(k.batch.Rows), begun: time.Now(), spare: spare, ctx: ctx, done: done}
	if len(k.batch.Rows) > 0 && ctx.Done() != nil {
		number := k.number
		w.unhook = context.AfterFunc(ctx, func() { p.cancel(number) })
	}
	p.pending = append(p.pending, w)
	p.mu.Unlock()
	return true
}

// cancel tells the stages that nobody waits for a batch.
func (p *Pipe) cancel(number uint64) {
	_ = p.out.Send(kindCancel, &wire.PipelineCancel{Batch: number}) // if the stream is broken, the batch is too
}

// read takes frames of one stream until it ends. A stage is blamed for the end of its stream unless another is named
// soon: a broken ring breaks everywhere.
func (p *Pipe) read(in *wire.Reader, stage int) {
	for {
		kind, body, err := in.Next()
		if errors.Is(err, io.EOF) {
			err = core.Errorf(core.CodeNotReady, "it closed the stream")
		}
		switch code := core.CodeOf(err); {
		case err == nil:
			if err = p.receive(kind, body, stage); err != nil {
				if _, ok := errors.AsType[*Lost](err); !ok {
					err = lost(p.peer(stage), err)
				}
				p.fail(err)
				return
			}
			continue
		case stage > 0 && code == core.CodeNotReady:
			p.failLater(lost(p.peer(stage), err))
		default:
			p.fail(lost(p.peer(stage), err))
		}
		return
	}
}

func (p *Pipe) receive(kind wire.Kind, body []byte, stage int) error {
	forward, answer := stage == 0, stage == p.last()
	switch {
	case kind == kindResult && answer:
		return p.land(body)
	case kind == kindPing && answer:
		var m wire.PipelinePing
		if err := wire.Unmarshal(body, &m); err != nil {
			return err
		}
		p.pong(&m)
		return nil
	case kind == kindBeat && forward:
		var m wire.PipelineBeat
		if err := wire.Unmarshal(body, &m); err != nil {
			return err
		}
		return p.beat(&m)
	case kind == kindReady && forward:
		m := &wire.PipelineReady{}
		if err := wire.Unmarshal(body, m); err != nil {
			return err
		}
		select {
		case p.ready <- m.Stages:
			return nil
		default:
			return core.Errorf(core.CodeInvalidRequest, "ready twice")
		}
	case kind == kindFault && forward:
		return named(readFault(body, p.peer(0)))
	}
	return core.Errorf(core.CodeInvalidRequest, "frame of kind %d", kind)
}

// named gives a fault the code that a chain's end has, except where a stage refuses the session.
func named(err error) error {
	code := core.CodeOf(err)
	switch code {
	case core.CodeOverloaded, core.CodeInsufficientRAM, core.CodeNotFound, core.CodeConflict, core.CodeForbidden, core.CodeUnsupported:
		return core.Errorf(code, "%w", err)
	}
	return core.Errorf(core.CodeEngineCrashed, "%w", err)
}

func (p *Pipe) beat(m *wire.PipelineBeat) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int(m.Index) >= len(p.seen) {
		return core.Errorf(core.CodeInvalidRequest, "beat of stage %d", m.Index)
	}
	p.seen[m.Index], p.finish[m.Index] = time.Now(), m.Done
	return nil
}

func (p *Pipe) pong(m *wire.PipelinePing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Number == p.pings && !p.pinged.IsZero() {
		p.rtt.Store(int64(time.Since(p.pinged)))
		p.pinged = time.Time{}
	}
}

// land takes in the result of the batch that has been under way for longest.
func (p *Pipe) land(body []byte) error {
	p.mu.Lock()
	if len(p.pending) == 0 {
		p.mu.Unlock()
		return core.Errorf(core.CodeInvalidRequest, "result of no batch")
	}
	w := p.pending[0]
	p.mu.Unlock()
	want := frame.WantedOf(p.shape, w.rows)
	want.Foreign = true
	r, err := decodeResult(body, w.spare, want)
	if err != nil {
		return err
	}
	if r.number != w.number {
		return core.Errorf(core.CodeInvalidRequest, "result of batch %d, want %d", r.number, w.number)
	}
	outcome := schedule.Passage{Slowest: time.Duration(r.slowest) * time.Microsecond}
	if r.failed != nil {
		if r.failed.Code == core.CodeEngineCrashed || r.failed.Code == core.CodeCancelled && !w.cancelled() {
			return r.failed
		}
		outcome.Err = r.failed
	} else {
		outcome.Output = &r.output
	}
	p.mu.Lock()
	p.pending = append(p.pending[:0], p.pending[1:]...)
	p.mu.Unlock()
	p.deliver(w, outcome)
	return nil
}

// deliver hands a passage to who submitted the batch.
func (p *Pipe) deliver(w *passage, outcome schedule.Passage) {
	if w.unhook != nil {
		w.unhook()
	}
	<-p.credits
	w.done(outcome)
	p.mu.Lock()
	*w = passage{}
	p.idle = append(p.idle, w)
	p.mu.Unlock()
}

// failLater ends the session with err unless somebody else is blamed before.
func (p *Pipe) failLater(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && p.blame == nil {
		p.blame = time.AfterFunc(blameDelay, func() { p.fail(err) })
	}
}

// fail ends the session. The first reason counts.
func (p *Pipe) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	if p.opened && core.CodeOf(err) != core.CodeEngineCrashed {
		err = core.Errorf(core.CodeEngineCrashed, "%w", err)
	}
	p.err = err
	if p.blame != nil {
		p.blame.Stop()
	}
	close(p.broken)
	_ = p.first.Reset()
	_ = p.answer.Reset()
}

func (p *Pipe) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// drain fails what is under way once the session has ended and nobody delivers results any more.
func (p *Pipe) drain() {
	defer close(p.done)
	<-p.broken
	p.work.Wait()
	for {
		p.mu.Lock()
		if len(p.pending) == 0 {
			p.drained = true
			p.mu.Unlock()
			return
		}
		w := p.pending[0]
		p.pending = append(p.pending[:0], p.pending[1:]...)
		err := p.err
		p.mu.Unlock()
		p.deliver(w, schedule.Passage{Err: err})
	}
}

// Step implements engine.Window.
func (p *Pipe) Step(ctx context.Context, b *engine.Batch) (*engine.Output, error) {
	landed := make(chan schedule.Passage, 1)
	p.Submit(ctx, b, func(r schedule.Passage) { landed <- r })
	r := <-landed
	return r.Output, r.Err
}

// Tokenize implements engine.Tokenizer: it refuses, tokens are made where the text is.
func (p *Pipe) Tokenize(context.Context, string, bool, bool) ([]int32, error) {
	return nil, core.Errorf(core.CodeUnsupported, "text is not sent to other nodes")
}

// Pieces implements engine.Tokenizer: it refuses.
func (p *Pipe) Pieces(context.Context, []int32, bool) ([][]byte, error) {
	return nil, core.Errorf(core.CodeUnsupported, "tokens are not sent to other nodes")
}

// Done implements engine.Window. It is closed when a stage is lost or the pipe is closed.
func (p *Pipe) Done() <-chan struct{} { return p.broken }

// Err implements schedule.Pipe.
func (p *Pipe) Err() error { return p.failure() }

// Close implements engine.Window: it ends the session, and returns when every batch has come back.
func (p *Pipe) Close() error {
	p.fail(core.Errorf(core.CodeEngineCrashed, "the chain is closed"))
	<-p.done
	return nil
}

var (
	_ engine.Window = (*Pipe)(nil)
	_ schedule.Pipe = (*Pipe)(nil)
)
