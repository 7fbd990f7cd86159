// Package memory is the models of this PC that are in memory, and how they get there.
//
// Loading a model starts a worker process per window and a scheduler over them; the pair is an instance, which is
// watched, started again when a worker dies, and unloaded when nobody uses it. Whoever wants to generate takes a lease,
// which loads the model if need be and keeps it in memory. Chains of several nodes take windows instead (stage.go).
package memory

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/store"
)

// Config is what a Memory works with.
type Config struct {
	Library  *library.Library
	Engine   engine.Engine
	Store    *store.Store
	Hardware *hardware.Monitor
	Settings func() config.Settings
	Log      *slog.Logger
}

// Memory holds what is in memory of the library's models. It is safe for concurrent use. Loading needs Run.
type Memory struct {
	cfg     Config
	library *library.Library
	work    sync.WaitGroup  // loads and instances; only added to while Run runs
	ctx     context.Context // of the work; ended by Run
	stop    context.CancelFunc

	firstBackOff time.Duration // shorter in tests
	sweepEvery   time.Duration

	mu         sync.Mutex // guards all below; may be taken while a residence's mutex is held, not the other way round
	residences map[*library.Model]*residence
	paused     bool
	closed     bool
}

// residence is a model and what of it is in memory.
type residence struct {
	*library.Model
	meter meter

	mu       sync.Mutex // guards all below
	instance *instance
	stages   map[stageKey]*stage // windows beside the instance
	load     *load               // under way
	lastErr  string              // why the last load failed
	unloaded time.Time           // when its user last took it out of memory
	broken   bool                // its workers died too often; only an explicit load tries again
}

// New makes a Memory with nothing in it, and attaches it to the library.
func New(cfg Config) *Memory {
	ctx, stop := context.WithCancel(context.Background())
	l := &Memory{
		cfg: cfg, library: cfg.Library, ctx: ctx, stop: stop, firstBackOff: firstBackOff, sweepEvery: sweepEvery,
		residences: map[*library.Model]*residence{},
	}
	cfg.Library.Attach(port{l})
	return l
}

// Run loads what was loaded when the node last stopped and unloads what nobody uses, until ctx ends. It returns when
// every worker has ended; what was loaded stays recorded.
func (l *Memory) Run(ctx context.Context) error {
	restored := make(chan struct{})
	go func() {
		defer close(restored)
		l.restore(ctx)
	}()
	l.sweep(ctx)
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop()
	<-restored
	l.work.Wait()
	return nil
}

// of is the residence of a model.
func (l *Memory) of(m *library.Model) *residence {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.residences[m]
	if !ok {
		r = &residence{Model: m, stages: map[stageKey]*stage{}}
		l.residences[m] = r
	}
	return r
}

// find returns a model by its id.
func (l *Memory) find(id core.ModelID) (*residence, error) {
	m, err := l.library.Find(id)
	if err != nil {
		return nil, err
	}
	return l.of(m), nil
}

// findShard finds a model and checks that it has the shard.
func (l *Memory) findShard(id core.ModelID, index int) (*residence, error) {
	m, err := l.library.FindShard(id, index)
	if err != nil {
		return nil, err
	}
	return l.of(m), nil
}

// all returns the models of the library in order of their ids.
func (l *Memory) all() []*residence {
	models := l.library.All()
	list := make([]*residence, len(models))
	for i, m := range models {
		list[i] = l.of(m)
	}
	return list
}

func (m *residence) current() *instance {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.instance
}

// staged tells whether windows beside the instance are in memory.
func (m *residence) staged() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.stages) > 0
}

func (m *residence) loading() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.load != nil
}

// idle tells for how long nobody has used the model, if it is in memory.
func (m *residence) idle() (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.instance == nil || m.instance.uses > 0 {
		return 0, false
	}
	return time.Since(m.instance.used), true
}

// sweepEvery is how often idle models are looked for.
const sweepEvery = 5 * time.Second

// sweep unloads models that were not used for as long as the settings say.
func (l *Memory) sweep(ctx context.Context) {
	tick := time.NewTicker(l.sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		limit := time.Duration(l.cfg.Settings().IdleUnloadSeconds) * time.Second
		if limit == 0 {
			continue
		}
		for _, m := range l.all() {
			for _, idle := range m.idleStages(limit) {
				l.endStages(m, func(st *stage) bool { return st == idle.stage && st.uses == 0 && st.warm == 0 })
			}
			if idle, ok := m.idle(); ok && idle >= limit {
				l.cfg.Log.Info("model was idle", "model", m.ID.String(), "idle", idle.Round(time.Second))
				if _, err := l.retire(ctx, m); err != nil && ctx.Err() == nil {
					l.cfg.Log.Warn("unload idle model", "model", m.ID.String(), "err", err)
				}
			}
		}
	}
}

// restore loads the models that were in memory when the node stopped.
func (l *Memory) restore(ctx context.Context) {
	records, err := l.cfg.Store.LoadedModels(ctx)
	if err != nil {
		l.cfg.Log.Warn("read load record", "err", err)
		return
	}
	for _, r := range records {
		m, err := l.find(r.ID)
		if err == nil && r.End <= len(m.Manifest.Shards) {
			err = l.bring(ctx, m, library.Span{First: r.First, End: r.End})
		}
		switch {
		case ctx.Err() != nil:
			return
		case core.CodeOf(err) == core.CodeNotFound:
			err = l.cfg.Store.ForgetLoaded(ctx, r.ID)
		}
		if err != nil {
			l.cfg.Log.Warn("load model again", "model", r.ID.String(), "err", err)
		}
	}
}

// Pause unloads every model and refuses new requests until Resume.
func (l *Memory) Pause(ctx context.Context) error {
	l.mu.Lock()
	l.paused = true
	l.mu.Unlock()
	var errs []error
	for _, m := range l.all() {
		if m.current() != nil || m.loading() || m.staged() {
			_, err := l.Unload(ctx, m.ID)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Resume takes requests again.
func (l *Memory) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = false
}

// Paused tells whether the node is paused.
func (l *Memory) Paused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused
}

// spawn runs fn as work that Run waits for. It refuses when the node is stopping.
func (l *Memory) spawn(fn func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.work.Go(fn)
	return true
}

// port is the memory as the library asks it.
type port struct{ l *Memory }

// Stop implements library.Memory.
func (p port) Stop(m *library.Model) { p.l.of(m).abort() }

// Free implements library.Memory.
func (p port) Free(ctx context.Context, m *library.Model) error {
	_, err := p.l.unload(ctx, p.l.of(m), everyStage)
	return err
}

// FreeShard implements library.Memory.
func (p port) FreeShard(m *library.Model, index int) {
	p.l.endStages(p.l.of(m), func(st *stage) bool { return st.key.span.Has(index) && st.uses == 0 })
}

// Forget implements library.Memory.
func (p port) Forget(m *library.Model) {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	delete(p.l.residences, m)
}

// InUse implements library.Memory.
func (p port) InUse(model *library.Model, index int) error {
	m := p.l.of(model)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.instance != nil && m.instance.span.Has(index) {
		return core.Errorf(core.CodeConflict, "shard %d of %s is in memory; unload it first", index, m.ID)
	}
	for _, st := range m.stages {
		if st.key.span.Has(index) && st.uses > 0 {
			return core.Errorf(core.CodeConflict, "shard %d of %s is in use for a chain; unload it first", index, m.ID)
		}
	}
	return nil
}
