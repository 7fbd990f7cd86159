// Package library is the models on this PC's disk: which are there, whether they are sound, and what their headers say.
//
// Each model has a folder of shards (package shard). What of a model is in memory is the business of package memory,
// which the library asks through the port Memory before it takes files away.
package library

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/event"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/store"
)

// Config is what a Library works with. The last three fields may be left out.
type Config struct {
	Dir      string // folder of the models' folders
	Store    *store.Store
	Settings func() config.Settings
	Key      shard.Signer // signs the manifests of imported models
	Events   *event.Bus
	Log      *slog.Logger

	ScrubEvery time.Duration // between two looks at all shards; 0 is 20 s

	Changed func() // called when what is on the disk or in memory has changed; may be nil
	// Damaged is called when a shard turned out to be damaged and was put aside; may be nil.
	Damaged func(id core.ModelID, manifest core.Digest, index int)
}

// Memory is what the library asks whoever keeps models in memory. Except for Stop, the caller has the model's gate.
type Memory interface {
	// Stop ends a load of the model that is under way. The gate is not needed: the load has it.
	Stop(m *Model)
	// InUse tells that a shard may not leave the disk: an error of code CodeConflict that says why, or nil.
	InUse(m *Model, index int) error
	// FreeShard takes the windows out of memory that have a shard and no user.
	FreeShard(m *Model, index int)
	// Free takes all of the model out of memory.
	Free(ctx context.Context, m *Model) error
	// Forget drops what is known of a model that left the library.
	Forget(m *Model)
}

// Library holds the models. It is safe for concurrent use.
type Library struct {
	cfg    Config
	disk   *shard.Store
	memory Memory
	work   sync.WaitGroup  // shards being read again; only added to while Run runs
	ctx    context.Context // of the work; ended by Run
	stop   context.CancelFunc

	imports imports
	readers chan struct{} // holds one per header that is being read for Metadata

	comparing sync.Mutex  // guards compared, and is held while headers are compared
	compared  *comparison // the last one; nil before

	// looking is held from a look at the disk until the list says what was seen, so that an older look does not undo a
	// newer one. It is taken before a model is entered and before mu.
	looking sync.Mutex

	mu      sync.Mutex // guards all below; may be taken while a model's mutex is held, not the other way round
	models  map[core.ModelID]*Model
	damaged map[core.ModelID]error // folders that cannot be opened, and why
	closed  bool
}

// New makes a Library; it knows no models before Scan, and needs Attach before that.
func New(cfg Config) *Library {
	ctx, stop := context.WithCancel(context.Background())
	cfg.ScrubEvery = cmp.Or(cfg.ScrubEvery, scrubEvery)
	return &Library{
		cfg: cfg, disk: shard.NewStore(shard.Config{Dir: cfg.Dir, Key: cfg.Key}), ctx: ctx, stop: stop,
		models: map[core.ModelID]*Model{}, damaged: map[core.ModelID]error{}, readers: make(chan struct{}, 2),
	}
}

// Attach names whoever keeps models in memory. It is called once, before Scan.
func (l *Library) Attach(m Memory) { l.memory = m }

// Run cleans the folder and reads shards that were not looked at for long, until ctx ends.
func (l *Library) Run(ctx context.Context) error {
	if err := l.disk.Clean(); err != nil {
		l.cfg.Log.Warn("clean models folder", "err", err)
	}
	l.scrub(ctx)
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop()
	l.work.Wait()
	return nil
}

// spawn runs fn as work that Run waits for, unless the node is stopping.
func (l *Library) spawn(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.work.Go(fn)
	}
}

// Disk is the folder of models, for whoever gives and fetches shards. Nobody else opens it.
func (l *Library) Disk() *shard.Store { return l.disk }

// rule is how an import cuts a file, by the shard size that is set now.
func (l *Library) rule() shard.Rule {
	rule := shard.DefaultRule()
	rule.ShardSize = l.cfg.Settings().ShardSizeMB * hardware.MiB
	return rule
}

// All returns the models in order of their ids.
func (l *Library) All() []*Model {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*Model, 0, len(l.models))
	for _, m := range l.models {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *Model) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return list
}

// Find returns a model by its id. The error has code CodeNotFound, or CodeCorrupt for a folder that cannot be opened.
func (l *Library) Find(id core.ModelID) (*Model, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, ok := l.models[id]
	if why := l.damaged[id]; !ok && why != nil {
		return nil, core.Errorf(core.CodeCorrupt, "model %s on this PC is damaged: %w", id, why).WithParam("model").
			WithHint("Import its file again, fetch it from others, or delete it.")
	}
	if !ok {
		return nil, core.Errorf(core.CodeNotFound, "model %s is not on this PC", id).WithParam("model")
	}
	return m, nil
}

// FindShard finds a model and checks that it has the shard. The error has code CodeNotFound, or that of Find.
func (l *Library) FindShard(id core.ModelID, index int) (*Model, error) {
	m, err := l.Find(id)
	if err != nil {
		return nil, err
	}
	if index < 0 || index >= len(m.Manifest.Shards) {
		return nil, core.Errorf(core.CodeNotFound, "model %s has shards 0 to %d, not %d", id, len(m.Manifest.Shards)-1, index)
	}
	return m, nil
}

// Changed tells those who watch that the list of models is another, and why.
func (l *Library) Changed(kind string, id core.ModelID, message, toast string) {
	l.Touch()
	l.activity(kind, id, message, toast)
}

// Touch tells those who watch that the list of models is another.
func (l *Library) Touch() {
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

// ErrMissing says which layers cannot be had; its code is CodeNotReady.
func ErrMissing(id core.ModelID, layers []core.LayerRange) error {
	return core.Errorf(core.CodeNotReady, "%s of model %s are not on this disk", DescribeLayers(layers), id)
}

// DescribeLayers writes runs of layers as "layers 0-3, 8-11", both ends included.
func DescribeLayers(layers []core.LayerRange) string {
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
