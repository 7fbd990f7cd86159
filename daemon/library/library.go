// Package library is the models of this PC: which are on the disk, which are in memory, and how they get there.
//
// Each model has a folder of shards (package shard). Loading one starts a worker process per window and a scheduler
// over them; the pair is an instance, which is watched, started again when a worker dies, and unloaded when nobody
// uses it. Whoever wants to generate takes a lease, which loads the model if need be and keeps it in memory.
package library

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/event"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/store"
)

// Config is what a Library works with. The last three fields may be left out.
type Config struct {
	Dir      string // folder of the models' folders
	Engine   engine.Engine
	Store    *store.Store
	Hardware *hardware.Monitor
	Settings func() config.Settings
	Key      shard.Signer // signs the manifests of imported models
	Events   *event.Bus
	Log      *slog.Logger

	Neighbours Neighbours // nil is a node alone
	Changed    func()     // called when what is on the disk or in memory has changed; may be nil
	// Damaged is called when a shard turned out to be damaged and was put aside; may be nil.
	Damaged func(id core.ModelID, manifest core.Digest, index int)
}

// Library holds the models. It is safe for concurrent use. Loading needs Run.
type Library struct {
	cfg  Config
	work sync.WaitGroup  // loads and instances; only added to while Run runs
	ctx  context.Context // of the work; set by Run
	stop context.CancelFunc

	firstBackOff time.Duration // shorter in tests
	sweepEvery   time.Duration
	scrubAfter   time.Duration

	imports imports

	// looking is held from a look at the disk until the list says what was seen, so that an older look does not undo a
	// newer one. It is taken before a model is entered and before mu.
	looking sync.Mutex

	mu     sync.Mutex // guards all below; may be taken while a model's mutex is held, not the other way round
	models map[core.ModelID]*model
	paused bool
	closed bool
}

// New makes a Library; it knows no models before Scan.
func New(cfg Config) *Library {
	ctx, stop := context.WithCancel(context.Background())
	return &Library{
		cfg: cfg, ctx: ctx, stop: stop, firstBackOff: firstBackOff, sweepEvery: sweepEvery, scrubAfter: scrubAfter,
		models: map[core.ModelID]*model{},
	}
}

// Run loads what was loaded when the node last stopped and unloads what nobody uses, until ctx ends. It returns when
// every worker has ended; what was loaded stays recorded.
func (l *Library) Run(ctx context.Context) error {
	if err := l.disk().Clean(); err != nil {
		l.cfg.Log.Warn("clean models folder", "err", err)
	}
	restored := make(chan struct{})
	go func() {
		defer close(restored)
		l.restore(ctx)
	}()
	scrubbed := make(chan struct{})
	go func() {
		defer close(scrubbed)
		l.scrub(ctx)
	}()
	l.sweep(ctx)
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop()
	<-restored
	<-scrubbed
	l.work.Wait()
	return nil
}

// sweepEvery is how often idle models are looked for.
const sweepEvery = 5 * time.Second

// sweep unloads models that were not used for as long as the settings say.
func (l *Library) sweep(ctx context.Context) {
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
				l.cfg.Log.Info("model was idle", "model", m.id.String(), "idle", idle.Round(time.Second))
				if _, err := l.retire(ctx, m); err != nil && ctx.Err() == nil {
					l.cfg.Log.Warn("unload idle model", "model", m.id.String(), "err", err)
				}
			}
		}
	}
}

// restore loads the models that were in memory when the node stopped.
func (l *Library) restore(ctx context.Context) {
	records, err := l.cfg.Store.LoadedModels(ctx)
	if err != nil {
		l.cfg.Log.Warn("read load record", "err", err)
		return
	}
	for _, r := range records {
		m, err := l.find(r.ID)
		if err == nil && r.End <= len(m.manifest.Shards) {
			err = l.load(ctx, m, span{r.First, r.End})
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
func (l *Library) Pause(ctx context.Context) error {
	l.mu.Lock()
	l.paused = true
	l.mu.Unlock()
	var errs []error
	for _, m := range l.all() {
		if m.current() != nil || m.loading() || m.staged() {
			_, err := l.Unload(ctx, m.id)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Resume takes requests again.
func (l *Library) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = false
}

// Paused tells whether the library is paused.
func (l *Library) Paused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused
}

// spawn runs fn as work that Run waits for. It refuses when the node is stopping.
func (l *Library) spawn(fn func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.work.Go(fn)
	return true
}

// disk is the folder of models, with the shard size that is set now.
func (l *Library) disk() *shard.Store {
	rule := shard.DefaultRule()
	rule.ShardSize = l.cfg.Settings().ShardSizeMB * hardware.MiB
	return shard.NewStore(shard.Config{Dir: l.cfg.Dir, Key: l.cfg.Key, Rule: rule})
}

// all returns the models in order of their ids.
func (l *Library) all() []*model {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*model, 0, len(l.models))
	for _, m := range l.models {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *model) int { return strings.Compare(a.id.String(), b.id.String()) })
	return list
}

// find returns a model by its id.
func (l *Library) find(id core.ModelID) (*model, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, ok := l.models[id]
	if !ok {
		return nil, core.Errorf(core.CodeNotFound, "model %s is not on this PC", id).WithParam("model")
	}
	return m, nil
}

// changed tells those who watch that the list of models is another, and why.
func (l *Library) changed(kind string, id core.ModelID, message, toast string) {
	l.touch()
	l.activity(kind, id, message, toast)
}

// touch tells those who watch that the list of models is another.
func (l *Library) touch() {
	l.cfg.Events.Publish(core.EventModelsChanged, nil)
	if l.cfg.Changed != nil {
		l.cfg.Changed()
	}
}

func (l *Library) activity(kind string, id core.ModelID, message, toast string) {
	l.cfg.Events.Publish(core.EventActivity, core.Activity{
		Kind: kind, ModelID: id.String(), Message: message, Timestamp: time.Now().UTC(), ToastLevel: toast,
	})
}
