package pipeline

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// Pipe is the host's side of a session: a run of stages on other nodes as one window of a schedule.Chain.
type Pipe struct {
	network core.Network
	spec    Spec
	id      sessionID
	shape   engine.Shape
	view    view // of the first stage
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

// Dial opens a session over the stages of a spec, none of which may be this node, and returns when every stage has
// loaded its window. The error names the peer at fault (Lost) where one is; its code is the peer's, or
// core.CodeEngineCrashed.
func Dial(ctx context.Context, network core.Network, spec Spec) (*Pipe, error) {
	spec.Options = spec.Options.withDefaults()
	if len(spec.Stages) < 1 || len(spec.Stages) > maxStages {
		return nil, core.Errorf(core.CodeInvalidRequest, "chain of %d stages", len(spec.Stages))
	}
	if err := checkStages(spec.Stages); err != nil {
		return nil, err
	}
	n := len(spec.Stages)
	p := &Pipe{network: network, spec: spec, ready: make(chan []*wire.PipelineShape, 1), broken: make(chan struct{}),
		done: make(chan struct{}), credits: make(chan struct{}, min(2*n+1, maxCredits)), seen: make([]time.Time, n),
		finish: make([]uint64, n), begun: time.Now()}
	_, _ = rand.Read(p.id[:]) // never fails
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	select {
	case shapes := <-p.ready:
		if err := p.join(shapes); err != nil {
			p.fail(lost(p.peer(0), err))
		}
	case <-p.broken:
	case <-ctx.Done():
		p.fail(core.Errorf(core.CodeCancelled, "open chain: %w", context.Cause(ctx)))
	}
	p.mu.Lock()
	err := p.err
	p.opened = true
	p.mu.Unlock()
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Pipe) peer(i int) core.PeerID { return p.spec.Stages[i].Peer }

func (p *Pipe) last() int { return len(p.spec.Stages) - 1 }

// open opens the two ends of the ring and starts the goroutines.
func (p *Pipe) open(ctx context.Context) (err error) {
	if p.first, err = p.stream(ctx, 0); err != nil {
		return err
	}
	p.in, p.out = wire.NewReader(p.first, openSilence, 0), wire.NewWriter(p.first, stallLimit)
	if err := p.out.Send(kindOpen, p.message()); err != nil {
		_ = p.first.Reset()
		return lost(p.peer(0), err)
	}
	p.answer = p.first
	if p.last() > 0 {
		if p.answer, err = p.stream(ctx, p.last()); err != nil {
			_ = p.first.Reset()
			return err
		}
		if err := wire.NewWriter(p.answer, stallLimit).Send(kindAttach, &wire.PipelineAttach{Session: p.id[:]}); err != nil {
			_ = p.first.Reset()
			_ = p.answer.Reset()
			return lost(p.peer(p.last()), err)
		}
		p.work.Go(func() { p.read(wire.NewReader(p.answer, time.Hour, 0), p.last()) })
	}
	p.work.Go(func() { p.read(p.in, 0) })
	p.work.Go(p.watch)
	go p.drain()
	return nil
}

func (p *Pipe) stream(ctx context.Context, stage int) (core.Stream, error) {
	opening, cancel := context.WithTimeout(ctx, openSilence)
	defer cancel()
	s, err := p.network.Open(opening, p.peer(stage), Protocol)
	if err != nil {
		return nil, lost(p.peer(stage), err)
	}
	return s, nil
}

func (p *Pipe) message() *wire.PipelineOpen {
	m := &wire.PipelineOpen{Session: p.id[:], Model: p.spec.Model.String(), Manifest: p.spec.Manifest[:], Half: p.spec.Half,
		Context: uint32(p.spec.Context), Sequences: uint32(p.spec.Sequences), BatchRows: uint32(p.spec.BatchRows),
		Credits: uint32(cap(p.credits)), Host: p.network.Self().String()}
	for _, st := range p.spec.Stages {
		m.Chain = append(m.Chain, &wire.PipelineStage{Peer: st.Peer.String(), FirstShard: uint32(st.FirstShard), EndShard: uint32(st.EndShard)})
	}
	return m
}

// join checks the shapes of the stages and makes one of them.
func (p *Pipe) join(list []*wire.PipelineShape) error {
	if len(list) != len(p.spec.Stages) {
		return core.Errorf(core.CodeInvalidRequest, "%d shapes of %d stages", len(list), len(p.spec.Stages))
	}
	for i, m := range list {
		s := engine.Shape{Layers: core.LayerRange{First: int(m.FirstLayer), End: int(m.EndLayer)}, First: m.First, Last: m.Last,
			Embedding: int(m.Embedding), Vocabulary: int(m.Vocabulary), Context: int(m.Context), Sequences: int(m.Sequences),
			BatchRows: int(m.BatchRows), CanTrim: m.CanTrim, GPULayers: int(m.GpuLayers)}
		bad := s.Layers.First < 0 || s.Layers.Len() < 1 || s.Layers.End > maxContext || s.Embedding < 1 || s.Embedding > 1<<20 ||
			s.Last && s.Vocabulary < 1 || s.Vocabulary < 0 || s.Vocabulary > 1<<24 || s.Context < 1 || s.Context > p.spec.Context ||
			s.Sequences < 1 || s.Sequences > p.spec.Sequences || s.BatchRows < 1 || s.BatchRows > rowsThatFit(p.spec.BatchRows, s.Embedding)
		if bad || i > 0 && (s.First || p.shape.Last || s.Layers.First != p.shape.Layers.End || s.Embedding != p.shape.Embedding) {
			return core.Errorf(core.CodeInvalidRequest, "stage %d says that its window is %+v", i, s)
		}
		if i == 0 {
			p.shape = s
			continue
		}
		j := &p.shape
		j.Layers.End, j.Last, j.Vocabulary = s.Layers.End, s.Last, s.Vocabulary
		j.Context, j.Sequences, j.BatchRows = min(j.Context, s.Context), min(j.Sequences, s.Sequences), min(j.BatchRows, s.BatchRows)
		j.CanTrim, j.GPULayers = j.CanTrim && s.CanTrim, j.GPULayers+s.GPULayers
	}
	p.view = view{tokens: p.shape.First, samples: p.shape.Last, half: p.spec.Half}
	return nil
}

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
	k := packet{number: p.number + 1, embed: b.Embed, ops: b.Ops, rows: b.Rows, hidden: b.Hidden}
	if ctx.Err() != nil {
		k.failed, k.rows, k.hidden = core.Errorf(core.CodeCancelled, "batch: %w", context.Cause(ctx)), nil, nil
	}
	body, err := appendPacket(p.body[:0], &k, p.view)
	if err != nil { // the others of the batch's operations have to arrive
		k.failed, k.rows, k.hidden, k.ops = asError(err), nil, nil, withoutSamplers(b.Ops)
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

func withoutSamplers(ops []engine.Op) (rest []engine.Op) {
	for _, op := range ops {
		if op.Kind != engine.OpSampler {
			rest = append(rest, op)
		}
	}
	return rest
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
	*w = passage{number: k.number, rows: len(k.rows), begun: time.Now(), spare: spare, ctx: ctx, done: done}
	if len(k.rows) > 0 && ctx.Done() != nil {
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
		if err == io.EOF {
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
	r, err := decodeResult(body, w.spare, wanted{rows: w.rows, width: p.shape.Embedding, hidden: !p.shape.Last, vocabulary: p.shape.Vocabulary})
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
		outcome.Output = &engine.Output{Hidden: r.hidden, Samples: r.samples, Embeddings: r.embeddings}
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

// watch pings the ring and looks for stages that are silent.
func (p *Pipe) watch() {
	tick := time.NewTicker(beatEvery / 4)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%4 == 0 {
			p.ping()
		}
		select {
		case <-tick.C:
		case <-p.broken:
			return
		}
		if err := p.silent(time.Now()); err != nil {
			p.fail(err)
			return
		}
	}
}

func (p *Pipe) ping() {
	p.mu.Lock()
	p.pings++
	p.pinged = time.Now()
	number := p.pings
	p.mu.Unlock()
	// A broken stream is found by its reader. The write may wait for a large batch, or for a peer that takes nothing,
	// which must not keep watch from looking at the beats.
	p.work.Go(func() { _ = p.out.Send(kindPing, &wire.PipelinePing{Number: number}) })
}

// silent returns the error of the first stage that gives no sign of life, or makes no progress.
func (p *Pipe) silent(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, seen := range p.seen {
		limit := beatSilence
		if seen.IsZero() {
			seen, limit = p.begun, openSilence*time.Duration(i+1)
		}
		if since := now.Sub(seen); since >= limit {
			return lost(p.peer(p.quiet(i, now)), core.Errorf(core.CodeTimeout, "nothing was heard of it for %s", since.Round(time.Millisecond)))
		}
	}
	if len(p.pending) == 0 || now.Sub(p.pending[0].begun) < stuckLimit {
		return nil
	}
	for i, n := range p.finish {
		if n < p.pending[0].number {
			return lost(p.peer(i), core.Errorf(core.CodeTimeout, "a batch is stuck there"))
		}
	}
	return lost(p.peer(p.last()), core.Errorf(core.CodeTimeout, "a result did not come"))
}

// quiet finds the first stage up to i that has missed a beat: the beats of those behind it pass through it. The mutex
// is held.
func (p *Pipe) quiet(i int, now time.Time) int {
	for j, seen := range p.seen[:i] {
		if seen.IsZero() || now.Sub(seen) >= 2*beatEvery {
			return j
		}
	}
	return i
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
