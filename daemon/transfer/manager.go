package transfer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/bell"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/event"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/store"
)

// Config is what a Manager works with. Fields may be left out where that is said.
type Config struct {
	Network core.Network
	Models  *shard.Store
	Store   *store.Store
	// Holders lists who has shards of a cut, as far as the swarm knows now.
	Holders    func(core.ModelID, core.Digest) []Holder
	Done       func(model core.ModelID, index int) // called when a shard is here; may be nil
	Introduced func(model core.ModelID)            // called when a model's manifest and header are here; may be nil
	Report     func(core.PeerID, core.Conduct)     // what peers did; may be nil
	Download   func() int64                        // cap in bytes a second over all far sources; nil or 0 is none
	Quota      func() int64                        // bytes that models may take of the disk; nil or 0 is no limit
	Used       func() int64                        // bytes that they take, without what is being fetched; asked with Quota
	Events     *event.Bus
	Log        *slog.Logger
}

func (c *Config) report(peer core.PeerID, act core.Conduct) {
	if c.Report != nil {
		c.Report(peer, act)
	}
}

// Manager is the queue of shards that this node wants. It is safe for concurrent use; nothing is fetched before Run.
type Manager struct {
	cfg  Config
	down *limit

	mu      sync.Mutex // guards the rest and the tasks; a fetch's mutex may be taken while it is held
	tasks   map[core.ModelID]*task
	loaded  bool
	wake    bell.Bell // there may be something to start
	running int
}

// maxTasks is how many models are fetched at once.
const maxTasks = 3

// task is what is wanted of one model.
type task struct {
	id     core.ModelID
	digest core.Digest
	added  time.Time
	rows   map[int]*store.Download
	fetch  *fetch             // while it runs and the manifest is here
	stop   context.CancelFunc // while it runs
	ended  chan struct{}      // closed when it has stopped
}

// New makes a Manager.
func New(cfg Config) *Manager {
	return &Manager{cfg: cfg, down: newLimit(cfg.Download), tasks: map[core.ModelID]*task{}, wake: bell.New()}
}

// Run fetches what is queued, what was left by an earlier run first, until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	if err := m.load(ctx); err != nil {
		return err
	}
	var work sync.WaitGroup
	defer work.Wait()
	m.wake.Ring()
	for {
		select {
		case <-m.wake:
			m.startQueued(ctx, &work)
		case <-ctx.Done():
			return nil
		}
	}
}

// load reads the queue once; methods that come before Run do it too.
func (m *Manager) load(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loaded {
		return nil
	}
	rows, err := m.cfg.Store.Downloads(ctx)
	if err != nil {
		return err
	}
	for _, d := range rows {
		m.task(d.Model, d.Manifest, d.Added).rows[d.Shard] = &d
	}
	m.loaded = true
	return nil
}

// task returns the task of a model, a new one if need be. The mutex is held.
func (m *Manager) task(id core.ModelID, digest core.Digest, added time.Time) *task {
	t, ok := m.tasks[id]
	if !ok {
		t = &task{id: id, digest: digest, added: added, rows: map[int]*store.Download{}}
		m.tasks[id] = t
	}
	return t
}

// startQueued starts the oldest tasks that have something queued.
func (m *Manager) startQueued(ctx context.Context, work *sync.WaitGroup) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.ordered() {
		if m.running == maxTasks || ctx.Err() != nil {
			return
		}
		if t.stop != nil || !t.queued() {
			continue
		}
		m.running++
		ctx, stop := context.WithCancel(ctx)
		t.stop, t.ended = stop, make(chan struct{})
		work.Go(func() { m.work(ctx, t) })
	}
}

// ordered are the tasks, oldest first. The mutex is held.
func (m *Manager) ordered() []*task {
	var list []*task
	for _, t := range m.tasks {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *task) int {
		return cmp.Or(a.added.Compare(b.added), cmp.Compare(a.id.String(), b.id.String()))
	})
	return list
}

func (t *task) queued() bool {
	for _, d := range t.rows {
		if d.State == core.DownloadQueued {
			return true
		}
	}
	return false
}

// Add queues shards of a model, all of them if shards is nil. Shards that are here already are passed over, those
// that failed or are paused are queued again. Another cut of the same model is an error of code CodeConflict.
func (m *Manager) Add(ctx context.Context, id core.ModelID, manifest core.Digest, shards []int, why string) error {
	if err := m.load(ctx); err != nil {
		return err
	}
	if i := slices.IndexFunc(shards, func(i int) bool { return i < 0 }); i >= 0 {
		return core.Errorf(core.CodeInvalidRequest, "model %s has no shard %d", id, shards[i])
	}
	if shards == nil {
		shards = []int{store.AllShards}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if t := m.tasks[id]; t != nil && t.digest != manifest {
		return core.Errorf(core.CodeConflict, "another cut of model %s is in the queue; cancel it first", id)
	}
	var list []store.Download
	for _, i := range shards {
		if t := m.tasks[id]; t != nil && t.rows[i] != nil && t.rows[i].State == core.DownloadQueued {
			continue
		}
		list = append(list, store.Download{Model: id, Shard: i, Manifest: manifest, State: core.DownloadQueued, Why: why, Added: now})
	}
	if err := m.cfg.Store.PutDownloads(ctx, list...); err != nil {
		return err
	}
	t := m.task(id, manifest, now)
	for _, d := range list {
		t.rows[d.Shard] = &d
	}
	if len(list) > 0 && t.stop != nil {
		t.stop() // it starts again with what is new, and goes on where it was
	}
	m.wake.Ring()
	return nil
}

// AddShard queues one shard; see Add.
func (m *Manager) AddShard(ctx context.Context, id core.ModelID, manifest core.Digest, index int, why string) error {
	return m.Add(ctx, id, manifest, []int{index}, why)
}

// Pause stops fetching a model and keeps what is there. The error has code CodeNotFound if nothing of it is wanted.
func (m *Manager) Pause(ctx context.Context, id core.ModelID) error {
	return m.turn(ctx, id, core.DownloadPaused, core.DownloadQueued)
}

// Resume goes on with a model that was paused or failed. The error has code CodeNotFound if nothing of it is wanted.
func (m *Manager) Resume(ctx context.Context, id core.ModelID) error {
	return m.turn(ctx, id, core.DownloadQueued, core.DownloadPaused, core.DownloadFailed)
}

// turn gives a state to the shards that have one of others.
func (m *Manager) turn(ctx context.Context, id core.ModelID, to string, from ...string) error {
	if err := m.halt(ctx, id); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tasks[id]
	if t == nil {
		return core.Errorf(core.CodeNotFound, "nothing of model %s is being downloaded", id)
	}
	var list []store.Download
	for _, d := range t.rows {
		if slices.Contains(from, d.State) {
			d.State, d.Error = to, ""
			list = append(list, *d)
		}
	}
	m.wake.Ring()
	return m.cfg.Store.PutDownloads(ctx, list...)
}

// Cancel stops fetching a model and removes the parts of shards that are not whole. Whole shards stay. The error
// has code CodeNotFound if nothing of it is wanted.
func (m *Manager) Cancel(ctx context.Context, id core.ModelID) error {
	// Nothing may start in between.
	if err := m.Pause(ctx, id); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.cfg.Store.ForgetDownloads(ctx, id); err != nil {
		return err
	}
	delete(m.tasks, id)
	model, err := m.cfg.Models.Open(id)
	if err != nil {
		return nil // not even a manifest came
	}
	for i := range model.Manifest.Shards {
		if !model.Has(i) {
			err = errors.Join(err, model.DropPart(i))
		}
	}
	m.cfg.Events.Publish(core.EventModelsChanged, nil)
	return err
}

// halt stops a task that runs and waits until it has.
func (m *Manager) halt(ctx context.Context, id core.ModelID) error {
	if err := m.load(ctx); err != nil {
		return err
	}
	for {
		m.mu.Lock()
		t := m.tasks[id]
		if t == nil || t.stop == nil {
			m.mu.Unlock()
			return nil
		}
		t.stop()
		ended := t.ended
		m.mu.Unlock()
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			return core.Errorf(core.CodeCancelled, "stopped: %w", ctx.Err())
		}
	}
}
