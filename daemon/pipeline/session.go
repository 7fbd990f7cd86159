package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-p2p/shoal/daemon/bell"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/frame"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// session is a stage's part of a chain.
//
// Its goroutines: the one that reads from upstream, which queues batches; that of the station, which steps the window
// and makes frames; the sender of those frames; the one that reads what the next stage says; the beat; and two that see
// whether the window's process lives.
type session struct {
	server *Server
	*opening
	up     core.Stream
	in     *wire.Reader
	out    *wire.Writer // to upstream: ready, beats, faults
	ctx    context.Context
	cancel context.CancelCauseFunc

	window engine.Window
	shape  engine.Shape
	share  *share
	limits frame.Limits
	next   frame.View // of who gets what this stage makes

	reserved int64 // bytes

	down   atomic.Pointer[wire.Writer] // to the next stage, or to the host
	ready  atomic.Bool                 // batches may come
	frames chan []byte                 // bodies for the sender
	spare  chan []byte                 // bodies to use again
	tasks  chan *task                  // tasks to use again
	held   atomic.Int64                // batches at this stage
	done   atomic.Uint64               // batches that have left it
	hidden []float32                   // memory for the window's output; used by the station's goroutine
	lens   []int32                     // tokens of each sequence; used by the station's goroutine
	before []int32                     // the same before the operations of the batch that runs
	after  []int32                     // and after them

	mu      sync.Mutex // guards the rest
	last    uint64     // number of the latest batch
	running map[uint64]context.CancelFunc
	early   map[uint64]bool // cancelled before they came
}

func newSession(s *Server, o *opening, stream core.Stream, in *wire.Reader, out *wire.Writer) *session {
	return &session{
		server: s, opening: o, up: stream, in: in, out: out,
		running: map[uint64]context.CancelFunc{}, early: map[uint64]bool{},
	}
}

// errHostLeft ends a session whose host closed it.
var errHostLeft = errors.New("the host closed the session")

// hostLeft is errHostLeft with what was seen of it.
func hostLeft(why error) error { return fmt.Errorf("%w: %w", errHostLeft, why) }

// run serves the session until its host leaves, a peer is lost or the server ends.
func (s *session) run(ctx context.Context) error {
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	defer s.cancel(nil)
	var group sync.WaitGroup
	group.Go(s.beat)
	group.Go(func() {
		if err := s.setUp(&group); err != nil {
			s.fail(err)
		}
	})
	drained := make(chan struct{})
	group.Go(func() { s.hangUp(drained) })
	s.in.SetIdle(hostSilence)
	s.read()
	close(drained)
	group.Wait()
	err := context.Cause(s.ctx)
	if !errors.Is(err, errHostLeft) {
		return err
	}
	s.server.cfg.Log.Info("pipeline session ended", "host", s.host.String(), "why", err)
	return nil
}

// hangUp tells upstream why the session ends, and then closes the stream. What still comes is read meanwhile, so that
// the reason arrives.
func (s *session) hangUp(drained <-chan struct{}) {
	<-s.ctx.Done()
	defer s.up.Reset()
	err := context.Cause(s.ctx)
	if errors.Is(err, errHostLeft) {
		return
	}
	if l, ok := errors.AsType[*Lost](err); ok {
		sendFault(s.out, l.Why, l.Peer)
	} else {
		sendFault(s.out, err, core.PeerID{})
	}
	_ = s.up.CloseWrite()
	limit := time.NewTimer(time.Second)
	defer limit.Stop()
	select {
	case <-drained:
	case <-limit.C:
	}
}

// fail ends the session. The first reason counts.
func (s *session) fail(err error) { s.cancel(err) }

// beat tells the host that this stage lives.
func (s *session) beat() {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		if err := s.out.Send(kindBeat, &wire.PipelineBeat{Index: uint32(s.index), Done: s.done.Load()}); err != nil {
			s.fail(hostLeft(err))
			return
		}
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// setUp loads the window and opens the way on, at the same time, and says when both are there. What it holds is given
// back when the session ends.
func (s *session) setUp(group *sync.WaitGroup) error {
	behind := make(chan []*wire.PipelineShape, 1)
	if s.opening.last() {
		group.Go(func() { s.meetHost(behind) })
	} else {
		group.Go(func() { s.openNext(behind) })
	}
	st := s.self()
	w, release, err := s.server.cfg.Windows.Acquire(s.ctx, s.model, s.digest, st.FirstShard, st.EndShard, s.options)
	if err != nil {
		return err
	}
	err = s.take(w)
	group.Go(func() {
		<-s.ctx.Done()
		s.giveBack(release)
	})
	if err != nil {
		return err
	}
	group.Go(s.watch)
	group.Go(s.send)
	answers := bell.New()
	group.Go(func() { s.call(answers) })
	group.Go(func() { s.pulse(answers) })
	select {
	case shapes := <-behind:
		s.ready.Store(true)
		return s.out.Send(kindReady, &wire.PipelineReady{Stages: append([]*wire.PipelineShape{s.describe()}, shapes...)})
	case <-s.ctx.Done():
		return nil
	}
}

// take makes the session ready to run batches on a window.
func (s *session) take(w engine.Window) error {
	s.window, s.shape = w, w.Shape()
	share, err := s.server.joinSoon(s.ctx, w, s.up.Peer(), s.options)
	if err != nil {
		return err
	}
	s.share = share
	s.shape.Context, s.shape.Sequences = share.context, len(share.sequences)
	s.shape.BatchRows = rowsThatFit(min(s.shape.BatchRows, s.options.BatchRows), s.shape.Embedding)
	s.limits = frame.LimitsOf(s.shape)
	s.limits.Foreign = true
	s.next = frame.View{Samplers: true, Half: s.half}
	n := len(share.sequences)
	s.lens, s.before, s.after = make([]int32, n), make([]int32, n), make([]int32, n)
	s.frames, s.spare = make(chan []byte, s.credits+1), make(chan []byte, s.credits+1)
	s.tasks = make(chan *task, s.credits+1)
	if err := s.server.reserve(s.memory()); err != nil {
		return err
	}
	s.reserved = s.memory()
	return nil
}

// memory is how many bytes the batches of the session may take: each as a frame that came, as floats and as a frame
// that leaves.
func (s *session) memory() int64 {
	return 3 * int64(s.credits) * int64(s.shape.BatchRows) * int64(frame.RowSize+4*s.shape.Embedding)
}

// rowsThatFit is how many rows of a width a frame holds, n at most.
func rowsThatFit(n, width int) int {
	const reserved = 2 * frame.MaxSampler // for operations
	return max(1, min(n, (wire.MaxPayload-reserved)/(frame.RowSize+4*width)))
}

// giveBack returns what the session has of the window.
func (s *session) giveBack(release func()) {
	if s.share != nil {
		s.server.leave(s.share)
	}
	s.server.free(s.reserved)
	release()
}

// watch ends the session when the window dies.
func (s *session) watch() {
	select {
	case <-s.window.Done():
		s.fail(core.Errorf(core.CodeEngineCrashed, "the window of shards %d to %d ended", s.self().FirstShard, s.self().EndShard))
	case <-s.ctx.Done():
	}
}

func (s *session) describe() *wire.PipelineShape {
	sh := s.shape
	return &wire.PipelineShape{
		FirstLayer: uint32(sh.Layers.First), EndLayer: uint32(sh.Layers.End), First: sh.First, Last: sh.Last,
		Embedding: uint32(sh.Embedding), Vocabulary: uint32(sh.Vocabulary), Context: uint32(sh.Context), Sequences: uint32(sh.Sequences),
		BatchRows: uint32(sh.BatchRows), CanTrim: sh.CanTrim, GpuLayers: uint32(sh.GPULayers),
	}
}

// meetHost waits for the stream on which the results go, and keeps it until the session ends. A lone stage answers
// where it is asked.
func (s *session) meetHost(ready chan<- []*wire.PipelineShape) {
	if len(s.chain) == 1 {
		s.down.Store(s.out)
		ready <- nil
		return
	}
	m := s.server.meet(s.id)
	defer s.server.part(s.id)
	limit := time.NewTimer(attachLimit)
	defer limit.Stop()
	select {
	case stream := <-m.stream:
		defer stream.Reset()
		m.once.Do(func() { close(m.taken) })
		if stream.Peer() != s.host {
			s.fail(core.Errorf(core.CodeForbidden, "peer %s is not the host of the session", stream.Peer()))
			return
		}
		s.down.Store(wire.NewWriter(stream, stallLimit))
		ready <- nil
		<-s.ctx.Done()
	case <-limit.C:
		s.fail(core.Errorf(core.CodeTimeout, "the host did not come for its results"))
	case <-s.ctx.Done():
	}
}

// openNext opens the next stage and hands on what it says, until the session ends.
func (s *session) openNext(ready chan<- []*wire.PipelineShape) {
	next := s.chain[s.index+1]
	opening, cancel := context.WithTimeout(s.ctx, openSilence)
	stream, err := s.server.cfg.Network.Open(opening, next.Peer, Protocol)
	cancel()
	if err != nil {
		s.fail(lost(next.Peer, err))
		return
	}
	defer stream.Reset()
	defer context.AfterFunc(s.ctx, func() { _ = stream.Reset() })()
	out := wire.NewWriter(stream, stallLimit)
	if err := out.Send(kindOpen, s.opening.next()); err != nil {
		s.fail(lost(next.Peer, err))
		return
	}
	s.down.Store(out)
	in := wire.NewReader(stream, openSilence, 1)
	for {
		kind, body, err := in.Next()
		if err == nil {
			err = s.relay(kind, body, ready)
			in.SetIdle(beatSilence)
		}
		if errors.Is(err, io.EOF) {
			err = core.Errorf(core.CodeNotReady, "it closed the stream")
		}
		if err != nil {
			var l *Lost
			if !errors.As(err, &l) {
				err = lost(next.Peer, err)
			}
			s.fail(err)
			return
		}
	}
}

// relay takes a frame of the next stage to the host.
func (s *session) relay(kind wire.Kind, body []byte, ready chan<- []*wire.PipelineShape) error {
	switch kind {
	case kindBeat:
		var m wire.PipelineBeat
		if err := wire.Unmarshal(body, &m); err != nil {
			return err
		}
		if int(m.Index) <= s.index || int(m.Index) >= len(s.chain) {
			return core.Errorf(core.CodeInvalidRequest, "beat of stage %d", m.Index)
		}
		return upstream(s.out.Send(kindBeat, &m))
	case kindReady:
		var m wire.PipelineReady
		if err := wire.Unmarshal(body, &m); err != nil {
			return err
		}
		if len(m.Stages) != len(s.chain)-s.index-1 {
			return core.Errorf(core.CodeInvalidRequest, "%d shapes of %d stages", len(m.Stages), len(s.chain)-s.index-1)
		}
		select {
		case ready <- m.Stages:
			return nil
		default:
			return core.Errorf(core.CodeInvalidRequest, "ready twice")
		}
	case kindFault:
		return readFault(body, s.chain[s.index+1].Peer)
	}
	return core.Errorf(core.CodeInvalidRequest, "frame of kind %d", kind)
}

func upstream(err error) error {
	if err != nil {
		return &Lost{Why: hostLeft(err)}
	}
	return nil
}

// readFault makes the error of a fault; sender is to blame if it names nobody.
func readFault(body []byte, sender core.PeerID) error {
	var m wire.PipelineFault
	if err := wire.Unmarshal(body, &m); err != nil {
		return err
	}
	if peer, err := core.ParsePeerID(m.Peer); err == nil {
		sender = peer
	}
	return &Lost{sender, core.Errorf(faultCode(m.Code), "%s", m.Text[:min(len(m.Text), maxFaultText)])}
}

// read takes frames from upstream until the stream ends. What comes after the session's end is dropped.
func (s *session) read() {
	for {
		kind, body, err := s.in.Next()
		if err != nil && core.CodeOf(err) != core.CodeTooLarge {
			s.fail(hostLeft(err))
			return
		}
		if err == nil && s.ctx.Err() == nil {
			err = s.receive(kind, body)
		}
		if err != nil {
			s.fail(err)
		}
		if core.CodeOf(err) == core.CodeTooLarge {
			return
		}
	}
}

func (s *session) receive(kind wire.Kind, body []byte) error {
	switch kind {
	case kindBatch:
		return s.enqueue(body)
	case kindCancel:
		var m wire.PipelineCancel
		if err := wire.Unmarshal(body, &m); err != nil {
			return err
		}
		return s.stop(&m)
	case kindPing:
		var m wire.PipelinePing
		if err := wire.Unmarshal(body, &m); err != nil {
			return err
		}
		if down := s.down.Load(); down != nil {
			return s.onward(down.Send(kindPing, &m))
		}
		return nil
	}
	return core.Errorf(core.CodeInvalidRequest, "frame of kind %d", kind)
}

// onward names who is to blame when the way on is broken.
func (s *session) onward(err error) error {
	switch {
	case err == nil:
		return nil
	case s.opening.last():
		return hostLeft(err)
	}
	return lost(s.chain[s.index+1].Peer, err)
}

// enqueue checks a batch and lets it wait for its turn.
func (s *session) enqueue(body []byte) error {
	if !s.ready.Load() {
		return core.Errorf(core.CodeInvalidRequest, "batch before the session is ready")
	}
	if s.held.Add(1) > int64(s.credits) {
		return core.Errorf(core.CodeInvalidRequest, "more than %d batches under way", s.credits)
	}
	t := s.newTask()
	if err := decodePacket(body, &t.packet, s.limits); err != nil {
		return err
	}
	if err := engine.CheckSamplers(t.packet.batch.Ops, s.shape.Vocabulary); err != nil {
		t.refuse(err) // a fault of the request, not of the peer: the session goes on
	}
	s.mu.Lock()
	if t.number != s.last+1 {
		s.mu.Unlock()
		return core.Errorf(core.CodeInvalidRequest, "batch %d after %d", t.number, s.last)
	}
	s.last = t.number
	t.ctx, t.cancel = context.WithCancel(s.ctx)
	s.running[t.number] = t.cancel
	if s.early[t.number] {
		delete(s.early, t.number)
		t.cancel()
	}
	s.mu.Unlock()
	s.share.push(t)
	return nil
}

func (s *session) newTask() *task {
	select {
	case t := <-s.tasks:
		return t
	default:
		return &task{begin: s.begin, end: s.end}
	}
}

// stop ends a batch here and further down, wherever it is.
func (s *session) stop(m *wire.PipelineCancel) error {
	s.mu.Lock()
	cancel := s.running[m.Batch]
	if m.Batch > s.last && m.Batch <= s.last+uint64(s.credits) {
		s.early[m.Batch] = true
	}
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if down := s.down.Load(); down != nil && !s.opening.last() {
		return s.onward(down.Send(kindCancel, m))
	}
	return nil
}
