package pipeline

import (
	"context"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// home is a window of this node as a stage of its own chain: a share of a station, as other hosts get one, so that
// the two do not meet in one sequence.
type home struct {
	engine.Window
	server  *Server
	share   *share
	shape   engine.Shape
	release func()
	closing sync.Once

	stepping sync.Mutex // guards rows; steps are ordered
	rows     []engine.Row
}

// local gives a window of this node for its own chain.
func (s *Server) local(ctx context.Context, sp Spec, st Stage) (engine.Window, error) {
	w, release, err := s.cfg.Windows.Acquire(ctx, sp.Model, sp.Manifest, st.FirstShard, st.EndShard, sp.Options)
	if err != nil {
		return nil, err
	}
	sh, err := s.joinSoon(ctx, w, s.cfg.Network.Self(), sp.Options)
	if err != nil {
		release()
		return nil, err
	}
	h := &home{Window: w, server: s, share: sh, shape: w.Shape(), release: release}
	h.shape.Context, h.shape.Sequences = sh.context, len(sh.sequences)
	return h, nil
}

// Shape implements engine.Window.
func (h *home) Shape() engine.Shape { return h.shape }

// Step implements engine.Window.
func (h *home) Step(ctx context.Context, b *engine.Batch) (*engine.Output, error) {
	h.stepping.Lock()
	defer h.stepping.Unlock()
	mapped := *b
	h.rows = append(h.rows[:0], b.Rows...)
	mapped.Ops, mapped.Rows = h.share.window(b.Ops, h.rows)
	t := &task{ctx: ctx, batch: mapped}
	done := make(chan struct{})
	t.end = func(*task) { close(done) }
	h.share.push(t)
	select {
	case <-done:
		if t.err != nil {
			return nil, t.err
		}
		return &t.out, nil
	case <-h.share.left:
		return nil, core.Errorf(core.CodeEngineCrashed, "the window is closed")
	}
}

// Close implements engine.Window: it gives the share back. The window itself is the library's.
func (h *home) Close() error {
	h.closing.Do(func() {
		h.server.leave(h.share)
		h.release()
	})
	return nil
}
