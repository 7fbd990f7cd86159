package library

import (
	"context"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/hardware"
)

// Neighbours is what the library asks about other nodes.
type Neighbours interface {
	// Holders counts, by shard, the nodes besides this one that can be reached and have it, and those that have any.
	Holders(id core.ModelID, manifest core.Digest, shards int) (byShard []int, nodes int)
	// Download tells how far a model is that is being fetched.
	Download(id core.ModelID) (admin.Download, bool)
}

// Blueprint is what a chain for a model is planned from.
type Blueprint struct {
	ID       core.ModelID
	Manifest core.Digest
	Layers   []core.LayerRange // by shard
	Bytes    []int64           // by shard
	KVBytes  int64             // memory that a usual context takes per layer
	Complete bool              // every shard is on this disk
	InMemory bool              // whole, on this PC
	First    bool              // the first shard is on this disk
	Last     bool              // the last shard is
	Context  int               // tokens that the model was trained for
	Refusal  string            // why it may not run as windows; "" if it may
	HalfRows bool              // its hidden states may travel as half floats
	Source   *admin.HFSource
	Text     Text
}

// Blueprint describes a model. The error has code CodeNotFound.
func (l *Library) Blueprint(id core.ModelID) (Blueprint, error) {
	m, err := l.find(id)
	if err != nil {
		return Blueprint{}, err
	}
	b := Blueprint{ID: id, Manifest: m.digest, KVBytes: m.kvPerLayer(), Context: m.traits.context, Refusal: m.traits.refusal, HalfRows: m.traits.half, Text: m.text()}
	for _, s := range m.manifest.Shards {
		b.Layers, b.Bytes = append(b.Layers, s.Layers), append(b.Bytes, s.Size)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b.Complete = len(m.missing(m.whole())) == 0
	b.InMemory = m.instance != nil && m.instance.span == m.whole()
	b.First, b.Last, b.Source = m.local[0], m.local[len(m.local)-1], m.source
	return b, nil
}

// HasShard tells whether a shard is on this disk.
func (l *Library) HasShard(id core.ModelID, index int) bool {
	m, err := l.findShard(id, index)
	if err != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.local[index]
}

// WindowCount is in how many windows a model runs on this PC alone; 0 for one that is not known.
func (l *Library) WindowCount(id core.ModelID) int {
	m, err := l.find(id)
	if err != nil {
		return 0
	}
	return min(m.windowCount(l.cfg.Settings()), len(m.manifest.Shards))
}

func (m *model) text() Text {
	return Text{ChatTemplate: m.traits.template, BOS: m.traits.bos, EOS: m.traits.eos, Arch: m.manifest.Architecture}
}

// kvPerLayer estimates the KV cache of one layer for a usual context, in bytes; 0 if the header cannot be judged.
func (m *model) kvPerLayer() int64 {
	fit := m.memory()
	if fit == nil {
		return 0
	}
	const tokens = 4096
	most, err := fit.At(hardware.Load{Context: tokens, Sequences: 1, BatchRows: batchRows})
	least, errLeast := fit.At(hardware.Load{Context: minContext, Sequences: 1, BatchRows: batchRows})
	if err != nil || errLeast != nil {
		return 0
	}
	return max(0, most.RAM-least.RAM) / int64(max(1, m.manifest.Layers))
}

// Holdings tells which shards are on this disk and which are in memory.
func (l *Library) Holdings() []core.Holding {
	var list []core.Holding
	for _, m := range l.all() {
		if h, any := m.holding(); any {
			list = append(list, h)
		}
	}
	return list
}

func (m *model) holding() (h core.Holding, any bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h = core.Holding{Model: m.id, Manifest: m.digest}
	for i, local := range m.local {
		if local {
			h.Shards, any = h.Shards.With(i), true
		}
		if local && m.resident(i) {
			h.Loaded = h.Loaded.With(i)
		}
	}
	return h, any
}

// resident tells whether a shard is in memory. The mutex is held.
func (m *model) resident(index int) bool {
	if m.instance != nil && m.instance.span.has(index) {
		return true
	}
	for _, st := range m.stages {
		if st.window != nil && st.key.span.has(index) {
			return true
		}
	}
	return false
}

// Speeds tells how fast this PC was at running models.
func (l *Library) Speeds() []core.Speed {
	var list []core.Speed
	for _, m := range l.all() {
		if s, ok := m.meter.speed(m.id); ok {
			list = append(list, s)
		}
	}
	return list
}

// Refresh looks again at which shards of a model are on the disk, or takes a new model into the list. arrived is the
// shard that was just written, every chunk of it verified; -1 is none.
func (l *Library) Refresh(ctx context.Context, id core.ModelID, arrived int) error {
	l.looking.Lock()
	defer l.looking.Unlock()
	opened, err := l.disk().Open(id)
	if err != nil {
		return err
	}
	if opened.Has(arrived) {
		l.vouch(ctx, opened, arrived, stampOf(opened, arrived))
	}
	changed, err := l.adopt(ctx, opened, false)
	if err == nil && changed {
		l.touch()
	}
	return err
}

// EncryptedPipeline tells whether a model is to begin and end on this PC, and whether it has a setting of its own.
func (l *Library) EncryptedPipeline(ctx context.Context, id core.ModelID) (on, own bool, err error) {
	if on, own, err = l.cfg.Store.Encrypted(ctx, id); err == nil && !own {
		on = l.cfg.Settings().EncryptedPipeline
	}
	return on, own, err
}

// SetEncryptedPipeline gives a model its own setting.
func (l *Library) SetEncryptedPipeline(ctx context.Context, id core.ModelID, on bool) error {
	if _, err := l.find(id); err != nil {
		return err
	}
	err := l.cfg.Store.SetEncrypted(ctx, id, on)
	l.touch()
	return err
}

// holders are those of a model's shards, this node not counted.
func (l *Library) holders(m *model) (byShard []int, nodes int) {
	if l.cfg.Neighbours == nil {
		return make([]int, len(m.manifest.Shards)), 0
	}
	return l.cfg.Neighbours.Holders(m.id, m.digest, len(m.manifest.Shards))
}

// download is how far the model is that is being fetched.
func (l *Library) download(id core.ModelID) (admin.Download, bool) {
	if l.cfg.Neighbours == nil {
		return admin.Download{}, false
	}
	return l.cfg.Neighbours.Download(id)
}

// reachable tells whether every shard is here or at another node.
func (l *Library) reachable(m *model) bool {
	byShard, _ := l.holders(m)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, local := range m.local {
		if !local && byShard[i] == 0 {
			return false
		}
	}
	return m.traits.refusal == ""
}

var _ engine.Window = (*metered)(nil)
