package pipeline

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/bell"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

const (
	joinEvery = 20 * time.Millisecond
	joinLimit = time.Second
	// forgetLimit is how long a window may take to drop sequences. It waits for no step: one that takes longer does not
	// answer any more, and the engine ends its process.
	forgetLimit = 10 * time.Second
)

// station is a window and the sessions that use it, whose batches it runs together.
type station struct {
	window engine.Window
	shape  engine.Shape
	wake   bell.Bell

	// Used by run's goroutine.
	rowTime  time.Duration // how long a row takes; 0 until a step of some rows has run
	hidden   []float32     // memory for the output of shared steps
	patience patience
	wait     wait

	mu      sync.Mutex // guards all below
	free    []int32    // sequences that no session has
	context int        // tokens of KV cache that no session has
	users   []*share   // in the order of their turns
	ended   bool
}

// share is what one session has of a station.
type share struct {
	station   *station
	peer      core.PeerID // whose session it is
	sequences []int32     // the window's, by the session's
	context   int
	queue     []*task       // the first may have run in part
	used      time.Time     // when there last was a batch
	left      chan struct{} // closed when the window has forgotten the session
	leaving   bool
}

// join gives a peer's session a share of a window. All sessions of a peer have at most three quarters of it together,
// so that others find some too.
func (s *Server) join(w engine.Window, peer core.PeerID, o Options) (*share, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stations[w]
	if st == nil {
		st = newStation(w)
		s.stations[w] = st
		s.work.Add(1) // the session's own count keeps Run waiting
		go func() {
			defer s.work.Done()
			st.run()
		}()
	}
	sh, err := st.grant(peer, o)
	if err != nil && st.idle() {
		s.drop(st)
	}
	return sh, err
}

// joinSoon is join, but waits a moment for a share that the peer's last session is giving back: a host that lost a
// chain comes with the next one at once.
func (s *Server) joinSoon(ctx context.Context, w engine.Window, peer core.PeerID, o Options) (*share, error) {
	tick := time.NewTicker(joinEvery)
	defer tick.Stop()
	for begun := time.Now(); ; {
		sh, err := s.join(w, peer, o)
		if err == nil || time.Since(begun) >= joinLimit {
			return sh, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// leave gives a share back. It returns when the window has forgotten the session.
func (s *Server) leave(sh *share) {
	st := sh.station
	st.mu.Lock()
	sh.leaving = true
	st.mu.Unlock()
	st.wake.Ring()
	<-sh.left
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.idle() {
		s.drop(st)
	}
}

// drop ends a station that nobody uses. The mutex is held.
func (s *Server) drop(st *station) {
	delete(s.stations, st.window)
	st.mu.Lock()
	st.ended = true
	st.mu.Unlock()
	st.wake.Ring()
}

func newStation(w engine.Window) *station {
	shape := w.Shape()
	st := &station{window: w, shape: shape, wake: bell.New(), context: shape.Context}
	for i := range shape.Sequences {
		st.free = append(st.free, int32(i))
	}
	return st
}

func (st *station) idle() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return len(st.users) == 0
}

func (st *station) grant(peer core.PeerID, o Options) (*share, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	shape := st.shape
	n, tokens := max(1, shape.Sequences*3/4), shape.Context*3/4
	for _, sh := range st.users {
		if sh.peer == peer {
			n, tokens = n-len(sh.sequences), tokens-sh.context
		}
	}
	n, tokens = min(n, o.Sequences, len(st.free)), min(tokens, o.Context, st.context)
	if n < 1 || tokens < 2 {
		return nil, core.Errorf(core.CodeOverloaded, "the window has %d sequences and %d tokens left for this peer", max(n, 0), max(tokens, 0))
	}
	sh := &share{station: st, peer: peer, context: tokens, left: make(chan struct{})}
	sh.sequences = append(sh.sequences, st.free[:n]...)
	st.free = append([]int32(nil), st.free[n:]...)
	st.context -= tokens
	st.users = append(st.users, sh)
	return sh, nil
}

// window turns operations and rows of the session into those of the window. Rows are changed in place.
func (sh *share) window(ops []engine.Op, rows []engine.Row) ([]engine.Op, []engine.Row) {
	ops = slices.Clone(ops)
	for i := range ops {
		ops[i].Seq, ops[i].Source = sh.sequences[ops[i].Seq], sh.sequences[ops[i].Source]
	}
	for i := range rows {
		rows[i].Seq = sh.sequences[rows[i].Seq]
	}
	return ops, rows
}

// session is the session's number of one of the window's sequences.
func (sh *share) session(seq int32) int32 { return int32(slices.Index(sh.sequences, seq)) }

// push queues a task of a session.
func (sh *share) push(t *task) {
	sh.station.mu.Lock()
	sh.queue = append(sh.queue, t)
	sh.station.mu.Unlock()
	sh.station.wake.Ring()
}

// run is the goroutine that steps the window.
func (st *station) run() {
	for {
		parts, missing, gone, ended := st.gather()
		switch {
		case gone != nil:
			st.forget(gone)
		case len(parts) > 0 && st.linger(parts, missing):
		case len(parts) > 0:
			st.step(parts)
			st.retire(parts)
		case ended:
			return
		default:
			<-st.wake
		}
	}
}

// forget drops what the window holds of a session and takes its share back.
func (st *station) forget(sh *share) {
	b := &engine.Batch{}
	for _, seq := range sh.sequences {
		b.Ops = append(b.Ops, engine.Op{Kind: engine.OpTrim, Seq: seq}, engine.Op{Kind: engine.OpSampler, Seq: seq, Sampler: &engine.Sampler{}})
	}
	ctx, cancel := context.WithTimeout(context.Background(), forgetLimit)
	defer cancel()
	_, _ = st.window.Step(ctx, b) // fails only if the window is gone, and with it what it held
	st.mu.Lock()
	defer st.mu.Unlock()
	for i, other := range st.users {
		if other == sh {
			st.users = append(st.users[:i:i], st.users[i+1:]...)
			break
		}
	}
	st.free = append(st.free, sh.sequences...)
	st.context += sh.context
	close(sh.left)
}
