package library

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/store"
)

// flight is a load under way, shared by all who wait for it.
type flight struct {
	span   span
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

// Load brings a whole model into memory and returns when it can answer. A model that is loaded stays as it is.
func (l *Library) Load(ctx context.Context, id core.ModelID) (admin.ModelInfo, error) {
	m, err := l.find(id)
	if err != nil {
		return admin.ModelInfo{}, err
	}
	m.mu.Lock()
	m.broken = false
	m.mu.Unlock()
	if err := l.load(ctx, m, m.whole()); err != nil {
		return admin.ModelInfo{}, err
	}
	return l.info(ctx, m), nil
}

// load brings a span of a model into memory, in place of what is there of it. Everyone who asks for the same waits
// for one load, which goes on when they leave.
func (l *Library) load(ctx context.Context, m *model, s span) error {
	if l.Paused() {
		return errPaused()
	}
	m.mu.Lock()
	f := m.flight
	if f == nil || f.span != s {
		next, ok := l.launch(m, s)
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
		return core.Errorf(core.CodeCancelled, "load model %s: %w", m.id, ctx.Err())
	}
}

func errPaused() error {
	return core.Errorf(core.CodeNotReady, "the node is paused").WithHint("Resume it in the tray menu or on the Home page.")
}

// launch starts a load. The model's mutex is held.
func (l *Library) launch(m *model, s span) (*flight, bool) {
	ctx, cancel := context.WithCancel(l.ctx)
	f := &flight{span: s, cancel: cancel, done: make(chan struct{})}
	m.hurry()
	m.flight = f
	ok := l.spawn(func() {
		defer cancel()
		f.err = l.fly(ctx, m, s)
		m.mu.Lock()
		if m.flight == f {
			m.flight = nil
		}
		m.mu.Unlock()
		close(f.done)
	})
	if !ok {
		cancel()
		m.flight = nil
	}
	return f, ok
}

// fly carries a load out.
func (l *Library) fly(ctx context.Context, m *model, s span) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.leave()
	if m.serves(s) {
		return nil
	}
	l.touch()
	err := l.replace(ctx, m, s)
	m.mu.Lock()
	if m.lastErr = ""; err != nil && core.CodeOf(err) != core.CodeCancelled {
		m.lastErr = err.Error()
	}
	m.mu.Unlock()
	if err != nil {
		l.changed("load_failed", m.id, "Loading "+m.id.String()+" did not work: "+err.Error(), "error")
		return err
	}
	l.changed("model_loaded", m.id, m.id.String()+" is loaded.", "success")
	return nil
}

// serves tells whether a span is in memory and its workers are up.
func (m *model) serves(s span) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.instance != nil && m.instance.span == s && m.instance.crew != nil
}

// replace ends the model's instance, if any, and starts one of span s. The gate is held.
func (l *Library) replace(ctx context.Context, m *model, s span) error {
	m.mu.Lock()
	missing := m.missing(s)
	m.mu.Unlock()
	if len(missing) > 0 {
		return errMissing(m.id, missing)
	}
	if s != m.whole() && m.traits.refusal != "" {
		return core.Errorf(core.CodeUnsupported, "%s can only be loaded whole: %s", m.id, m.traits.refusal)
	}
	if err := l.prove(ctx, m, s); err != nil {
		return err
	}
	l.end(m)
	l.clearCards()
	set := l.cfg.Settings()
	windows := m.windowCount(set)
	p, err := l.place(ctx, m, s, windows, set.MaxBatchSize)
	for core.CodeOf(err) == core.CodeInsufficientRAM && l.makeRoom(ctx) {
		p, err = l.place(ctx, m, s, windows, set.MaxBatchSize)
	}
	if err != nil {
		return err
	}
	c, err := l.boot(ctx, m, s, p)
	if err != nil {
		return err
	}
	if err := l.cfg.Store.RecordLoaded(ctx, store.Loaded{ID: m.id, First: s.first, End: s.end}); err != nil {
		c.close()
		return err
	}
	l.begin(m, s, p, c)
	return nil
}

// begin makes the crew an instance.
func (l *Library) begin(m *model, s span, p placement, c *crew) {
	ctx, cancel := context.WithCancel(l.ctx)
	up := make(chan struct{})
	close(up)
	in := &instance{m: m, span: s, place: p, cancel: cancel, gone: make(chan struct{}), crew: c, up: up, used: time.Now()}
	m.mu.Lock()
	m.instance = in
	m.mu.Unlock()
	if !l.spawn(func() { l.keep(ctx, in, c) }) {
		cancel()
		c.close()
		in.leave()
		close(in.gone)
	}
}

// end takes the model out of memory and waits until its workers are gone. The gate is held.
func (l *Library) end(m *model) *instance {
	m.mu.Lock()
	in := m.instance
	m.instance = nil
	m.mu.Unlock()
	if in != nil {
		in.cancel()
		<-in.gone
	}
	return in
}

// makeRoom ends a stage that nobody uses, or else unloads the model that was not used for longest. It is false when every model in memory is in use or being
// changed; waiting for that could wait for this very load.
func (l *Library) makeRoom(ctx context.Context) bool {
	if l.endIdleStage() {
		return true
	}
	candidates := l.all()
	slices.SortStableFunc(candidates, func(a, b *model) int {
		x, _ := a.idle()
		y, _ := b.idle()
		return cmp.Compare(y, x)
	})
	for _, m := range candidates {
		if _, idle := m.idle(); !idle {
			continue
		}
		if ended, err := l.retire(ctx, m); ended {
			return err == nil
		}
	}
	return false
}

// retire unloads a model that nobody uses, but not what others use of it. It is false when the model is being changed.
func (l *Library) retire(ctx context.Context, m *model) (ended bool, err error) {
	select {
	case m.gate <- struct{}{}:
	default:
		return false, nil
	}
	defer m.leave()
	_, err = l.unload(ctx, m, func(st *stage) bool { return st.uses == 0 && st.warm == 0 })
	return true, err
}

// Unload takes a model out of memory; its requests end with CodeNotReady. A load under way is stopped. For a time
// nothing of it is loaded for later.
func (l *Library) Unload(ctx context.Context, id core.ModelID) (admin.ModelUnloaded, error) {
	m, err := l.find(id)
	if err != nil {
		return admin.ModelUnloaded{}, err
	}
	m.abort()
	if err := m.enter(ctx); err != nil {
		return admin.ModelUnloaded{}, err
	}
	defer m.leave()
	if !l.Paused() {
		m.mu.Lock()
		m.unloaded = time.Now() // before its stages end: whoever keeps them warm would ask for them again
		m.mu.Unlock()
	}
	return l.unload(ctx, m, everyStage)
}

// abort stops the load under way.
func (m *model) abort() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flight != nil {
		m.flight.cancel()
		m.flight = nil
	}
}

func everyStage(*stage) bool { return true }

// unload ends the model's instance and those of its stages that which accepts. The gate is held.
func (l *Library) unload(ctx context.Context, m *model, which func(*stage) bool) (admin.ModelUnloaded, error) {
	out := admin.ModelUnloaded{Status: "unloaded", ModelID: m.id.String(), ModelName: m.name()}
	in := l.end(m)
	stages, freed := l.endStages(m, which)
	if err := l.cfg.Store.ForgetLoaded(ctx, m.id); err != nil {
		return out, err
	}
	if in != nil {
		stages += len(in.place.spans)
		freed.RAM, freed.VRAM = freed.RAM+in.usage().RAM, freed.VRAM+in.usage().VRAM
	}
	if stages > 0 {
		out.SegmentsRemoved = stages
		out.EstimatedFreedMB = freed.Total() / hardware.MiB
		l.changed("model_unloaded", m.id, m.id.String()+" is unloaded.", "")
	}
	return out, nil
}

// LoadShard brings a shard into memory beside those of the model that are there. A window has no holes, so shards
// between come along.
func (l *Library) LoadShard(ctx context.Context, id core.ModelID, index int) (admin.ShardLoaded, error) {
	m, err := l.findShard(id, index)
	if err != nil {
		return admin.ShardLoaded{}, err
	}
	m.mu.Lock()
	s, local := span{index, index + 1}, m.local[index]
	if m.instance != nil {
		s = span{min(s.first, m.instance.span.first), max(s.end, m.instance.span.end)}
	}
	m.broken = false
	m.mu.Unlock()
	if !local {
		return admin.ShardLoaded{}, core.Errorf(core.CodeConflict, "shard %d of %s is not on this disk", index, id)
	}
	if err := l.load(ctx, m, s); err != nil {
		return admin.ShardLoaded{}, err
	}
	return admin.ShardLoaded{Status: "loaded", ModelID: id.String(), ShardIndex: index, LoadedShards: m.inMemory()}, nil
}

// UnloadShard takes a shard out of memory. A window has no holes: of the shards before and after it, the longer run
// stays, the one before if both are as long. Without a shard left the model is unloaded.
func (l *Library) UnloadShard(ctx context.Context, id core.ModelID, index int) (admin.ShardUnloaded, error) {
	m, err := l.findShard(id, index)
	if err != nil {
		return admin.ShardUnloaded{}, err
	}
	in := m.current()
	if in == nil || !in.span.has(index) {
		return admin.ShardUnloaded{}, core.Errorf(core.CodeConflict, "shard %d of %s is not in memory", index, id)
	}
	rest := span{in.span.first, index}
	if after := (span{index + 1, in.span.end}); after.len() > rest.len() {
		rest = after
	}
	if rest.len() == 0 {
		_, err = l.Unload(ctx, id)
	} else {
		err = l.load(ctx, m, rest)
	}
	if err != nil {
		return admin.ShardUnloaded{}, err
	}
	return admin.ShardUnloaded{Status: "unloaded", ModelID: id.String(), ShardIndex: index, RemainingLoaded: m.inMemory()}, nil
}

// inMemory lists the shards that are in memory.
func (m *model) inMemory() []int {
	if in := m.current(); in != nil {
		return in.span.indices()
	}
	return []int{}
}

// findShard finds a model and checks that it has the shard.
func (l *Library) findShard(id core.ModelID, index int) (*model, error) {
	m, err := l.find(id)
	if err != nil {
		return nil, err
	}
	if index < 0 || index >= len(m.manifest.Shards) {
		return nil, core.Errorf(core.CodeNotFound, "model %s has shards 0 to %d, not %d", id, len(m.manifest.Shards)-1, index)
	}
	return m, nil
}

// errMissing says which layers cannot be had.
func errMissing(id core.ModelID, layers []core.LayerRange) error {
	return core.Errorf(core.CodeNotReady, "%s of model %s are not on this disk", describeLayers(layers), id)
}

// describeLayers writes runs of layers as "layers 0-3, 8-11", both ends included.
func describeLayers(layers []core.LayerRange) string {
	slices.SortFunc(layers, func(a, b core.LayerRange) int { return a.First - b.First })
	var runs []core.LayerRange
	for _, r := range layers {
		if n := len(runs); n > 0 && runs[n-1].End == r.First {
			runs[n-1].End = r.End
		} else {
			runs = append(runs, r)
		}
	}
	words := make([]string, len(runs))
	for i, r := range runs {
		words[i] = fmt.Sprintf("%d-%d", r.First, r.End-1)
	}
	return "layers " + strings.Join(words, ", ")
}
