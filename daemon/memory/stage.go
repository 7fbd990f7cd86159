package memory

import (
	"context"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/library"
)

// WindowOptions are the sizes that a caller would like a window to have. A window that is there already keeps its own.
type WindowOptions struct {
	Context   int // tokens of KV cache
	Sequences int // requests at once
	BatchRows int // most rows of a batch
}

// stageKey tells the stages of a model apart.
type stageKey struct {
	span  library.Span
	vocab bool // the tokenizer alone; span is empty
}

// stage is a window of a model in memory that whoever acquires it steps, beside the model's own instance: for chains
// of several nodes, of which this one may be the host.
type stage struct {
	key    stageKey
	cancel context.CancelFunc // ends it
	ready  chan struct{}      // closed when window or err is set
	gone   chan struct{}      // closed when its process has ended

	// Guarded by the model's mutex, the first two until ready is closed.
	window engine.Window
	err    error
	need   hardware.Use
	uses   int
	used   time.Time // when the last use ended
	warm   int       // who wants it kept for later
	spare  bool      // it was loaded for later only: nothing made room for it
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
func (l *Memory) stageOf(id core.ModelID, manifest core.Digest, first, end int) (_ *residence, key stageKey, err error) {
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
	return m, stageKey{span: s}, nil
}

// Tokenizer gives the tokenizer of a model, of which no shard need be here. It stays until release is called.
func (l *Memory) Tokenizer(ctx context.Context, id core.ModelID) (engine.Window, func(), error) {
	m, err := l.find(id)
	if err != nil {
		return nil, nil, err
	}
	return l.acquire(ctx, m, stageKey{vocab: true}, WindowOptions{})
}

// acquire waits for a stage. One that found no room when it was loaded for later is loaded again, now that it is needed.
func (l *Memory) acquire(ctx context.Context, m *residence, key stageKey, o WindowOptions) (engine.Window, func(), error) {
	for {
		if l.Paused() {
			return nil, nil, errPaused()
		}
		st, err := l.stage(m, key, o, false)
		if err != nil {
			return nil, nil, err
		}
		release := func() { m.leaveStage(st) }
		err = st.wait(ctx, m)
		if err == nil {
			return st.window, release, nil
		}
		release()
		if ctx.Err() != nil || !st.spare || !comesBack(err) {
			return nil, nil, err
		}
	}
}

// comesBack tells whether what was loaded for later failed for a reason that does not hold once it is needed.
func comesBack(err error) bool {
	code := core.CodeOf(err)
	return code == core.CodeInsufficientRAM || code == core.CodeCancelled
}

// wait returns when the stage is loaded.
func (st *stage) wait(ctx context.Context, m *residence) error {
	select {
	case <-st.ready:
		return st.err
	case <-ctx.Done():
		return core.Errorf(core.CodeCancelled, "load shards of %s: %w", m.ID, ctx.Err())
	}
}

// stage takes a use of the stage of key, or a wish to keep it for later, and starts it if it is not there.
func (l *Memory) stage(m *residence, key stageKey, o WindowOptions, later bool) (*stage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if st, ok := m.stages[key]; ok && !st.dead() {
		st.take(later)
		return st, nil
	}
	if !later {
		m.cancelSpeculativeLoads()
	}
	ctx, cancel := context.WithCancel(l.ctx)
	st := &stage{key: key, cancel: cancel, ready: make(chan struct{}), gone: make(chan struct{}), spare: later}
	st.take(later)
	if !l.spawn(func() { l.keepStage(ctx, m, st, o) }) {
		cancel()
		return nil, core.Errorf(core.CodeNotReady, "the node is stopping")
	}
	m.stages[key] = st
	return st, nil
}

// take counts a use, or a wish to keep the stage for later. The model's mutex is held.
func (st *stage) take(later bool) {
	if later {
		st.warm++
	} else {
		st.uses++
	}
}

// dead tells whether the stage's worker has ended. The model's mutex is held.
func (st *stage) dead() bool {
	if st.window == nil {
		return false
	}
	select {
	case <-st.window.Done():
		return true
	default:
		return false
	}
}

func (m *residence) leaveStage(st *stage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	st.uses--
	st.used = time.Now()
}

// keepStage loads a stage and stays with it until it is ended or its worker dies. The next who needs one starts another.
func (l *Memory) keepStage(ctx context.Context, m *residence, st *stage, o WindowOptions) {
	defer close(st.gone)
	defer st.cancel()
	w, err := l.loadStage(ctx, m, st, o)
	m.mu.Lock()
	st.window, st.err = w, err
	m.mu.Unlock()
	if err != nil {
		m.dropStage(st)
		close(st.ready)
		return
	}
	close(st.ready)
	if !st.key.vocab {
		l.library.Changed("stage_loaded", m.ID, library.DescribeLayers([]core.LayerRange{m.Layers(st.key.span)})+" of "+m.ID.String()+" are loaded.", "")
	}
	select {
	case <-ctx.Done():
	case <-w.Done():
		l.cfg.Log.Warn("engine of a stage stopped", "model", m.ID.String())
	}
	m.dropStage(st)
	_ = w.Close() // the process is gone either way
	if !st.key.vocab {
		l.library.Touch()
	}
}

// loadStage starts the worker of a stage when there is memory for it.
func (l *Memory) loadStage(ctx context.Context, m *residence, st *stage, o WindowOptions) (engine.Window, error) {
	if err := m.Enter(ctx); err != nil {
		return nil, err
	}
	defer m.Leave()
	if st.key.vocab {
		return l.cfg.Engine.Load(ctx, engine.Spec{ModelDir: m.Dir, EndShard: 1, Context: minContext, Sequences: 1, BatchRows: 1, Threads: 1, VocabOnly: true})
	}
	s := st.key.span
	missing := m.Missing(s)
	if len(missing) > 0 {
		return nil, library.ErrMissing(m.ID, missing)
	}
	if err := l.library.VerifySpan(ctx, m.Model, s); err != nil {
		return nil, err
	}
	sequences := min(64, 2*max(l.cfg.Settings().MaxBatchSize, o.Sequences)) // so that two hosts find room
	p, err := l.placeStage(ctx, m, st, sequences)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	st.need = p.need
	m.mu.Unlock()
	spec := p.window(m, 0)
	spec.ShareCPU = true
	w, err := l.cfg.Engine.Load(ctx, spec)
	if err != nil {
		return nil, err
	}
	return m.meter.watch(w), nil
}

// placeStage finds room for a stage, which it makes for one that is needed now.
func (l *Memory) placeStage(ctx context.Context, m *residence, st *stage, sequences int) (placement, error) {
	if st.spare {
		return l.placeSpare(ctx, m, st.key.span, sequences)
	}
	l.freeGPU()
	p, err := l.place(ctx, m, st.key.span, 1, sequences)
	for core.CodeOf(err) == core.CodeInsufficientRAM && l.makeRoom(ctx) {
		p, err = l.place(ctx, m, st.key.span, 1, sequences)
	}
	return p, err
}

func (m *residence) dropStage(st *stage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stages[st.key] == st {
		delete(m.stages, st.key)
	}
}

// idleStage is a stage without users.
type idleStage struct {
	m     *residence
	stage *stage
	warm  bool // somebody wants it kept for later
	used  time.Time
}

// idleStages are the stages in memory that nobody has used for a time, nor wants to be kept; without a limit also those
// kept. One that is being loaded is none: it may be the very one that looks for room, or wait for that one, and has no
// memory to give.
func (m *residence) idleStages(limit time.Duration) (list []idleStage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, st := range m.stages {
		if st.window != nil && st.uses == 0 && (limit == 0 || st.warm == 0 && time.Since(st.used) >= limit) {
			list = append(list, idleStage{m, st, st.warm > 0, st.used})
		}
	}
	return list
}

// endStages takes stages out of memory, those that which accepts, and waits until their workers are gone. A stage that is
// being loaded waits for the gate, which may be held. It tells how many there were and what memory they took.
func (l *Memory) endStages(m *residence, which func(*stage) bool) (ended int, freed hardware.Use) {
	m.mu.Lock()
	var list []*stage
	for key, st := range m.stages {
		if which(st) {
			list = append(list, st)
			delete(m.stages, key)
			freed.RAM, freed.VRAM = freed.RAM+st.need.RAM, freed.VRAM+st.need.VRAM
		}
	}
	m.mu.Unlock()
	for _, st := range list {
		st.cancel()
		<-st.gone
	}
	return len(list), freed
}

// endIdleStage ends a stage that nobody uses: one kept for later if there is one, else the one that was not used for
// longest. It is false when there is none.
func (l *Memory) endIdleStage() bool {
	var list []idleStage
	for _, m := range l.all() {
		list = append(list, m.idleStages(0)...)
	}
	if len(list) == 0 {
		return false
	}
	victim := slices.MinFunc(list, func(a, b idleStage) int {
		switch {
		case a.warm && !b.warm:
			return -1
		case b.warm && !a.warm:
			return 1
		}
		return a.used.Compare(b.used)
	})
	n, _ := l.endStages(victim.m, func(st *stage) bool { return st == victim.stage && st.uses == 0 })
	return n > 0
}
