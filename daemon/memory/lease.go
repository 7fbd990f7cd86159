package memory

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/library"
)

// Lease is the right to use a loaded model until Release.
type Lease struct {
	ID     core.ModelID
	Runner engine.Runner
	Text   library.Text

	of *resident
}

// Release ends the lease. It is called once.
func (l *Lease) Release() { l.of.release() }

// Acquire gives a lease of a model, and loads it first if need be. Errors have code CodeNotFound,
// CodeNotReady (layers are missing, or the node is paused), CodeInsufficientRAM, CodeNoRuntime or CodeEngineCrashed.
func (l *Memory) Acquire(ctx context.Context, id core.ModelID) (*Lease, error) {
	m, err := l.find(id)
	if err != nil {
		return nil, err
	}
	for {
		if l.Paused() {
			return nil, errPaused()
		}
		lease, wait, err := m.lease()
		if lease != nil || err != nil {
			return lease, err
		}
		if wait == nil {
			if err := l.bring(ctx, m, m.Whole()); err != nil {
				return nil, err
			}
			continue
		}
		select {
		case <-wait.up:
		case <-wait.gone:
		case <-ctx.Done():
			return nil, core.Errorf(core.CodeCancelled, "wait for the engine of %s: %w", m.ID, ctx.Err())
		}
	}
}

// waiting is what a caller waits for while workers are started again.
type waiting struct{ up, gone <-chan struct{} }

// lease takes a lease of a model in memory. Without lease and error the caller has to wait, or if there is nothing to
// wait for, to load the model.
func (m *residence) lease() (*Lease, *waiting, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.residents[aloneKey]
	if in != nil && in.dead() {
		in.drop() // live has not noticed yet
	}
	switch {
	case in == nil && m.broken:
		return nil, nil, core.Errorf(core.CodeEngineCrashed, "model %s stays unloaded: %s", m.ID, m.lastErr)
	case in == nil:
		return nil, nil, nil
	case in.span != m.Whole():
		return nil, nil, core.Errorf(core.CodeNotReady, "model %s is loaded without %s", m.ID, library.DescribeLayers(m.Outside(in.span))).
			WithHint("Load the other shards too, or the whole model.")
	case in.workers == nil:
		return nil, &waiting{in.up, in.gone}, nil
	}
	in.take(false)
	return &Lease{ID: m.ID, Runner: in.workers.scheduler, Text: m.Text(), of: in}, nil, nil
}

// Usable tells whether a model can answer on this PC alone, perhaps after it is loaded, and when it was last used in
// memory; the time is zero for one that is not there.
func (l *Memory) Usable(m *library.Model) (usable bool, used time.Time) {
	complete := len(m.Missing(m.Whole())) == 0
	r := l.of(m)
	r.mu.Lock()
	defer r.mu.Unlock()
	if in := r.residents[aloneKey]; in != nil {
		return in.span == m.Whole(), in.used
	}
	return !r.broken && complete, time.Time{}
}
