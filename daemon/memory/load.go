package memory

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/store"
)

// load is a load under way, shared by all who wait for it.
type load struct {
	span   library.Span
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

// Load brings a whole model into memory and returns when it can answer. A model that is loaded stays as it is.
func (l *Memory) Load(ctx context.Context, id core.ModelID) error {
	m, err := l.find(id)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.broken = false
	m.mu.Unlock()
	return l.bring(ctx, m, m.Whole())
}

// bring brings a span of a model into memory, in place of what is there of it. Everyone who asks for the same waits
// for one load, which goes on when they leave.
func (l *Memory) bring(ctx context.Context, m *residence, s library.Span) error {
	if l.Paused() {
		return errPaused()
	}
	m.mu.Lock()
	f := m.load
	if f == nil || f.span != s {
		next, ok := l.startLoad(m, s)
		if !ok {
			m.mu.Unlock()
			return core.Errorf(core.CodeNotReady, "the node is stopping")
		}
		f = next
	}
	m.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return core.Errorf(core.CodeCancelled, "load model %s: %w", m.ID, ctx.Err())
	}
}

func errPaused() error {
	return core.Errorf(core.CodeNotReady, "the node is paused").WithHint("Resume it in the tray menu or on the Home page.")
}

// startLoad starts a load. The model's mutex is held.
func (l *Memory) startLoad(m *residence, s library.Span) (*load, bool) {
	ctx, cancel := context.WithCancel(l.ctx)
	f := &load{span: s, cancel: cancel, done: make(chan struct{})}
	m.cancelSpeculativeLoads()
	m.load = f
	ok := l.spawn(func() {
		defer cancel()
		f.err = l.runLoad(ctx, m, s)
		m.mu.Lock()
		if m.load == f {
			m.load = nil
		}
		m.mu.Unlock()
		close(f.done)
	})
	if !ok {
		cancel()
		m.load = nil
	}
	return f, ok
}

// runLoad carries a load out.
func (l *Memory) runLoad(ctx context.Context, m *residence, s library.Span) error {
	if err := m.Enter(ctx); err != nil {
		return err
	}
	defer m.Leave()
	if m.serves(s) {
		return nil
	}
	l.library.Touch()
	err := l.replace(ctx, m, s)
	m.mu.Lock()
	if m.lastErr = ""; err != nil && core.CodeOf(err) != core.CodeCancelled {
		m.lastErr = err.Error()
	}
	m.mu.Unlock()
	if err != nil {
		l.library.Changed("load_failed", m.ID, "Loading "+m.ID.String()+" did not work: "+err.Error(), "error")
		return err
	}
	l.library.Changed("model_loaded", m.ID, m.ID.String()+" is loaded.", "success")
	return nil
}

// serves tells whether a span is in memory and its workers are up.
func (m *residence) serves(s library.Span) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.residents[aloneKey]
	return r != nil && r.span == s && r.workers != nil
}

// replace ends what runs of the model here alone, if anything does, and starts span s. The gate is held.
func (l *Memory) replace(ctx context.Context, m *residence, s library.Span) error {
	missing := m.Missing(s)
	if len(missing) > 0 {
		return library.ErrMissing(m.ID, missing)
	}
	if s != m.Whole() && m.Traits.Refusal != "" {
		return core.Errorf(core.CodeUnsupported, "%s can only be loaded whole: %s", m.ID, m.Traits.Refusal)
	}
	if err := l.library.VerifySpan(ctx, m.Model, s); err != nil {
		return err
	}
	l.endResidents(m, isAlone)
	set := l.cfg.Settings()
	p, err := l.makePlace(ctx, m, s, m.WindowCount(set), set.MaxBatchSize)
	if err != nil {
		return err
	}
	c, err := l.boot(ctx, m, p, s == m.Whole())
	if err != nil {
		return err
	}
	if err := l.cfg.Store.RecordLoaded(ctx, store.Loaded{ID: m.ID, First: s.First, End: s.End}); err != nil {
		c.close()
		return err
	}
	l.begin(m, s, p, c)
	return nil
}

// makePlace is place for what is needed now: it makes room.
func (l *Memory) makePlace(ctx context.Context, m *residence, s library.Span, windows, sequences int) (placement, error) {
	l.freeGPU()
	p, err := l.place(ctx, m, s, windows, sequences)
	for core.CodeOf(err) == core.CodeInsufficientRAM && l.makeRoom(ctx) {
		p, err = l.place(ctx, m, s, windows, sequences)
	}
	return p, err
}

// begin makes the workers the model's resident.
func (l *Memory) begin(m *residence, s library.Span, p placement, c *workers) {
	ctx, cancel := context.WithCancel(l.ctx)
	up := make(chan struct{})
	close(up)
	r := &resident{
		m: m, key: aloneKey, span: s, place: p, cancel: cancel, gone: make(chan struct{}),
		workers: c, up: up, loaded: true, used: time.Now(),
	}
	m.mu.Lock()
	m.residents[aloneKey] = r
	m.mu.Unlock()
	if !l.spawn(func() { defer close(r.gone); l.live(ctx, r, c) }) {
		cancel()
		c.close()
		r.leave()
		close(r.gone)
	}
}

// Unload takes a model out of memory; its requests end with CodeNotReady. A load under way is stopped. For a time
// nothing of it is loaded for later.
func (l *Memory) Unload(ctx context.Context, id core.ModelID) (admin.ModelUnloaded, error) {
	m, err := l.find(id)
	if err != nil {
		return admin.ModelUnloaded{}, err
	}
	m.abort()
	if err := m.Enter(ctx); err != nil {
		return admin.ModelUnloaded{}, err
	}
	defer m.Leave()
	if !l.Paused() {
		m.mu.Lock()
		m.unloaded = time.Now() // before its stages end: whoever keeps them warm would ask for them again
		m.mu.Unlock()
	}
	return l.unload(ctx, m, everyone)
}

// abort stops the load under way.
func (m *residence) abort() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.load != nil {
		m.load.cancel()
		m.load = nil
	}
}

// unload ends those of the model's residents that which accepts. The gate is held.
func (l *Memory) unload(ctx context.Context, m *residence, which func(*resident) bool) (admin.ModelUnloaded, error) {
	out := admin.ModelUnloaded{Status: "unloaded", ModelID: m.ID.String(), ModelName: m.Name()}
	windows, freed := l.endResidents(m, which)
	if m.alone() == nil {
		if err := l.cfg.Store.ForgetLoaded(ctx, m.ID); err != nil {
			return out, err
		}
	}
	if windows > 0 {
		out.SegmentsRemoved = windows
		out.EstimatedFreedMB = freed.Total() / hardware.MiB
		l.library.Changed("model_unloaded", m.ID, m.ID.String()+" is unloaded.", "")
	}
	return out, nil
}

// LoadShard brings a shard into memory beside those of the model that are there. A window has no holes, so shards
// between come along.
func (l *Memory) LoadShard(ctx context.Context, id core.ModelID, index int) (admin.ShardLoaded, error) {
	m, err := l.findShard(id, index)
	if err != nil {
		return admin.ShardLoaded{}, err
	}
	m.mu.Lock()
	s := library.Span{First: index, End: index + 1}
	if r := m.residents[aloneKey]; r != nil {
		s = library.Span{First: min(s.First, r.span.First), End: max(s.End, r.span.End)}
	}
	m.broken = false
	m.mu.Unlock()
	if len(m.Missing(library.Span{First: index, End: index + 1})) > 0 {
		return admin.ShardLoaded{}, core.Errorf(core.CodeConflict, "shard %d of %s is not on this disk", index, id)
	}
	if err := l.bring(ctx, m, s); err != nil {
		return admin.ShardLoaded{}, err
	}
	return admin.ShardLoaded{Status: "loaded", ModelID: id.String(), ShardIndex: index, LoadedShards: m.inMemory()}, nil
}

// UnloadShard takes a shard out of memory. A window has no holes: of the shards before and after it, the longer run
// stays, the one before if both are as long. Without a shard left the model is unloaded.
func (l *Memory) UnloadShard(ctx context.Context, id core.ModelID, index int) (admin.ShardUnloaded, error) {
	m, err := l.findShard(id, index)
	if err != nil {
		return admin.ShardUnloaded{}, err
	}
	in := m.alone()
	if in == nil || !in.span.Has(index) {
		return admin.ShardUnloaded{}, core.Errorf(core.CodeConflict, "shard %d of %s is not in memory", index, id)
	}
	rest := library.Span{First: in.span.First, End: index}
	if after := (library.Span{First: index + 1, End: in.span.End}); after.Len() > rest.Len() {
		rest = after
	}
	if rest.Len() == 0 {
		_, err = l.Unload(ctx, id)
	} else {
		err = l.bring(ctx, m, rest)
	}
	if err != nil {
		return admin.ShardUnloaded{}, err
	}
	return admin.ShardUnloaded{Status: "unloaded", ModelID: id.String(), ShardIndex: index, RemainingLoaded: m.inMemory()}, nil
}

// inMemory lists the shards that are in memory.
func (m *residence) inMemory() []int {
	if in := m.alone(); in != nil {
		return in.span.Indices()
	}
	return []int{}
}
