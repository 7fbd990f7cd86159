// Package memory is the models of this PC that are in memory, and how they get there.
//
// What is in memory is a resident (resident.go): workers, one process per window, that end when nobody uses them. Whoever
// wants to generate here takes a lease of the model, which is loaded if need be, with a scheduler over its windows, and
// started again when a worker dies. Chains of several nodes take windows instead (stage.go).
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

	mu        sync.Mutex // guards all below
	residents map[residentKey]*resident
	load      *load     // under way
	lastErr   string    // why the last load failed
	unloaded  time.Time // when its user last took it out of memory
	broken    bool      // its workers died too often; only an explicit load tries again
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
		r = &residence{Model: m, residents: map[residentKey]*resident{}}
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
		if m.occupied() {
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
	_, err := p.l.unload(ctx, p.l.of(m), everyone)
	return err
}

// FreeShard implements library.Memory.
func (p port) FreeShard(m *library.Model, index int) {
	p.l.endResidents(p.l.of(m), func(r *resident) bool { return !r.key.alone && r.span.Has(index) && r.uses == 0 })
}

// Forget implements library.Memory.
func (p port) Forget(m *library.Model) {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	delete(p.l.residences, m)
}

// InUse implements library.Memory.
func (p port) InUse(m *library.Model, index int) error { return p.l.of(m).keeps(index) }
