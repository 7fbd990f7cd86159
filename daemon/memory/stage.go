package memory

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/library"
)

// WindowOptions are the sizes that a caller would like a window to have. A window that is there already keeps its own.
type WindowOptions struct {
	Context   int // tokens of KV cache
	Sequences int // requests at once
	BatchRows int // most rows of a batch
}

// Window gives a window of the shards first to end, which is not in it, and loads it if need be. It stays until release
// is called; others may get it at the same time. Errors have code CodeNotFound, CodeConflict (the manifest here is
// another), CodeNotReady (shards are missing, or the node is paused), CodeUnsupported, CodeInsufficientRAM, CodeNoRuntime or
// CodeEngineCrashed.
func (l *Memory) Window(ctx context.Context, id core.ModelID, manifest core.Digest, first, end int, o WindowOptions) (engine.Window, func(), error) {
	m, key, err := l.stageOf(id, manifest, first, end)
	if err != nil {
		return nil, nil, err
	}
	return l.acquire(ctx, m, key, o)
}

// stageOf finds the model of a window and checks that it can have it.
func (l *Memory) stageOf(id core.ModelID, manifest core.Digest, first, end int) (_ *residence, key residentKey, err error) {
	m, err := l.find(id)
	if core.CodeOf(err) == core.CodeCorrupt { // others plan without it
		return nil, key, core.Errorf(core.CodeNotFound, "%w", err)
	}
	if err != nil {
		return nil, key, err
	}
	if m.Digest != manifest {
		return nil, key, core.Errorf(core.CodeConflict, "model %s here is another file, or cut in another way", id)
	}
	s := library.Span{First: first, End: end}
	if first < 0 || end <= first || end > len(m.Manifest.Shards) {
		return nil, key, core.Errorf(core.CodeInvalidRequest, "model %s has no shards %d to %d", id, first, end-1)
	}
	if s != m.Whole() && m.Traits.Refusal != "" {
		return nil, key, core.Errorf(core.CodeUnsupported, "%s can only be loaded whole: %s", id, m.Traits.Refusal)
	}
	return m, residentKey{span: s}, nil
}

// Tokenizer gives the tokenizer of a model, of which no shard need be here. It stays until release is called.
func (l *Memory) Tokenizer(ctx context.Context, id core.ModelID) (engine.Window, func(), error) {
	m, err := l.find(id)
	if err != nil {
		return nil, nil, err
	}
	return l.acquire(ctx, m, residentKey{vocab: true}, WindowOptions{})
}

// acquire waits for a resident that chains use. One that found no room when it was loaded for later is loaded again, now
// that it is needed.
func (l *Memory) acquire(ctx context.Context, m *residence, key residentKey, o WindowOptions) (engine.Window, func(), error) {
	for {
		if l.Paused() {
			return nil, nil, errPaused()
		}
		r, err := l.resident(m, key, o, false)
		if err != nil {
			return nil, nil, err
		}
		w, err := r.wait(ctx)
		if err == nil {
			return w, r.release, nil
		}
		r.release()
		if ctx.Err() != nil || !r.spare || !comesBack(err) {
			return nil, nil, err
		}
	}
}

// comesBack tells whether what was loaded for later failed for a reason that does not hold once it is needed.
func comesBack(err error) bool {
	code := core.CodeOf(err)
	return code == core.CodeInsufficientRAM || code == core.CodeCancelled
}

// wait returns the window of a resident when it is loaded.
func (r *resident) wait(ctx context.Context) (engine.Window, error) {
	select {
	case <-r.up:
	case <-ctx.Done():
		return nil, core.Errorf(core.CodeCancelled, "load shards of %s: %w", r.m.ID, ctx.Err())
	}
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if r.err != nil {
		return nil, r.err
	}
	return r.workers.windows[0], nil
}

// resident takes a use of the resident of key, or a wish to keep it for later, and starts it if it is not there.
func (l *Memory) resident(m *residence, key residentKey, o WindowOptions, later bool) (*resident, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.residents[key]; ok && !r.dead() {
		r.take(later)
		return r, nil
	}
	if !later {
		m.cancelSpeculativeLoads()
	}
	ctx, cancel := context.WithCancel(l.ctx)
	r := &resident{m: m, key: key, span: key.span, cancel: cancel, up: make(chan struct{}), gone: make(chan struct{}), spare: later}
	r.take(later)
	if !l.spawn(func() { l.raise(ctx, r, o) }) {
		cancel()
		return nil, core.Errorf(core.CodeNotReady, "the node is stopping")
	}
	m.residents[key] = r
	return r, nil
}

// raise loads a resident that chains use and stays with it until it is ended or its worker dies. The next who needs one
// starts another.
func (l *Memory) raise(ctx context.Context, r *resident, o WindowOptions) {
	defer close(r.gone)
	defer r.cancel()
	c, err := l.loadStage(ctx, r, o)
	if err != nil {
		r.fail(err)
		return
	}
	r.found(c)
	if !r.key.vocab {
		l.library.Changed("stage_loaded", r.m.ID, library.DescribeLayers([]core.LayerRange{r.m.Layers(r.span)})+" of "+r.m.ID.String()+" are loaded.", "")
		defer l.library.Touch()
	}
	l.live(ctx, r, c)
}

// fail notes that a resident did not come up.
func (r *resident) fail(err error) {
	r.leave()
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.err = err
	close(r.up)
}

// loadStage starts the worker of a window or a tokenizer when there is memory for it.
func (l *Memory) loadStage(ctx context.Context, r *resident, o WindowOptions) (*workers, error) {
	m := r.m
	if err := m.Enter(ctx); err != nil {
		return nil, err
	}
	defer m.Leave()
	if r.key.vocab {
		spec := engine.Spec{ModelDir: m.Dir, EndShard: 1, Context: minContext, Sequences: 1, BatchRows: 1, Threads: 1, VocabOnly: true}
		w, err := l.cfg.Engine.Load(ctx, spec)
		if err != nil {
			return nil, err
		}
		return &workers{windows: []engine.Window{w}, started: time.Now()}, nil
	}
	if missing := m.Missing(r.span); len(missing) > 0 {
		return nil, library.ErrMissing(m.ID, missing)
	}
	if err := l.library.VerifySpan(ctx, m.Model, r.span); err != nil {
		return nil, err
	}
	sequences := min(64, 2*max(l.cfg.Settings().MaxBatchSize, o.Sequences)) // so that two hosts find room
	place := l.makePlace
	if r.spare {
		place = l.placeSpare
	}
	p, err := place(ctx, m, r.span, 1, sequences)
	if err != nil {
		return nil, err
	}
	p.spec.ShareCPU = true
	m.mu.Lock()
	r.place = p
	m.mu.Unlock()
	return l.boot(ctx, m, p, false)
}
