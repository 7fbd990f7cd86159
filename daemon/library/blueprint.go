package library

import (
	"context"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/hardware"
)

// Blueprint is what a chain for a model is planned from.
type Blueprint struct {
	ID       core.ModelID
	Manifest core.Digest
	Layers   []core.LayerRange // by shard
	Bytes    []int64           // by shard
	KVBytes  int64             // memory that a usual context takes per layer
	Complete bool              // every shard is on this disk
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
	m, err := l.Find(id)
	if err != nil {
		return Blueprint{}, err
	}
	b := Blueprint{
		ID: id, Manifest: m.Digest, KVBytes: m.kvPerLayer(), Context: m.Traits.Context, Refusal: m.Traits.Refusal,
		HalfRows: m.Traits.Half, Source: m.Source(), Text: m.Text(), Complete: len(m.Missing(m.Whole())) == 0,
	}
	for _, s := range m.Manifest.Shards {
		b.Layers, b.Bytes = append(b.Layers, s.Layers), append(b.Bytes, s.Size)
	}
	local := m.Local()
	b.First, b.Last = local[0], local[len(local)-1]
	return b, nil
}

// kvPerLayer estimates the KV cache of one layer for a usual context, in bytes; 0 if the header cannot be judged.
func (m *Model) kvPerLayer() int64 {
	fit := m.Fit()
	if fit == nil {
		return 0
	}
	const few, usual, rows = 512, 4096, 512 // tokens, tokens, rows of a batch
	most, err := fit.At(hardware.Load{Context: usual, Sequences: 1, BatchRows: rows})
	least, errLeast := fit.At(hardware.Load{Context: few, Sequences: 1, BatchRows: rows})
	if err != nil || errLeast != nil {
		return 0
	}
	return max(0, most.RAM-least.RAM) / int64(max(1, m.Manifest.Layers))
}

// HasShard tells whether a shard is on this disk.
func (l *Library) HasShard(id core.ModelID, index int) bool {
	m, err := l.FindShard(id, index)
	if err != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.local[index]
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
	if _, err := l.Find(id); err != nil {
		return err
	}
	err := l.cfg.Store.SetEncrypted(ctx, id, on)
	l.Touch()
	return err
}
