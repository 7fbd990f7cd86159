package library

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/store"
)

// A shard counts as sound from when it was last read, or verified while it was written, until its file changes or
// checkLife is over. One that does not is read before it is loaded, and in the background otherwise.
const (
	scrubEvery = 20 * time.Second // from the start of the node, which has other things to do, and between two looks
	checkLife  = 30 * 24 * time.Hour
)

// files is the model's folder without its header: enough to look at shards, read them and put them aside.
func (m *Model) files() *shard.Model { return &shard.Model{Dir: m.Dir, Manifest: m.Manifest} }

// stampOf is the zero value for a file that cannot be looked at, which matches no check.
func stampOf(o *shard.Model, index int) shard.Stamp {
	s, err := o.Stamp(index)
	if err != nil {
		return shard.Stamp{}
	}
	return s
}

// verified tells whether a shard counts as sound.
func (l *Library) verified(ctx context.Context, o *shard.Model, index int) bool {
	c, ok, err := l.cfg.Store.ShardCheck(ctx, o.Manifest.ModelID, index)
	if err != nil {
		l.cfg.Log.Warn("look up a shard's check", "model", o.Manifest.ModelID.String(), "shard", index, "err", err)
	}
	now := stampOf(o, index)
	return ok && err == nil && c.Size == now.Size && c.Changed.Equal(now.Changed)
}

// recordVerified records that a shard was sound when its file looked as before says.
func (l *Library) recordVerified(ctx context.Context, o *shard.Model, index int, before shard.Stamp) {
	c := store.ShardCheck{Size: before.Size, Changed: before.Changed, Checked: time.Now()}
	if err := l.cfg.Store.SetShardCheck(ctx, o.Manifest.ModelID, index, c); err != nil {
		l.cfg.Log.Warn("record a shard's check", "model", o.Manifest.ModelID.String(), "shard", index, "err", err)
	}
}

// verify reads a shard with read, and records it if it is sound.
func (l *Library) verify(ctx context.Context, o *shard.Model, index int, read func(context.Context, int) error) error {
	before := stampOf(o, index)
	err := read(ctx, index)
	if err == nil {
		l.recordVerified(ctx, o, index, before)
	}
	return err
}

// VerifySpan reads those shards of a span that do not count as sound, before they are loaded. Damaged ones are put aside,
// and then the error says what is missing. The gate is held.
func (l *Library) VerifySpan(ctx context.Context, m *Model, s Span) error {
	o := m.files()
	var missing []core.LayerRange
	for i := s.First; i < s.End; i++ {
		if l.verified(ctx, o, i) {
			continue
		}
		err := l.verify(ctx, o, i, o.VerifyShard)
		if ctx.Err() != nil {
			return core.Errorf(core.CodeCancelled, "check shards of %s: %w", m.ID, ctx.Err())
		}
		switch {
		case core.CodeOf(err) == core.CodeCorrupt:
			l.quarantine(m, o, i, err)
			missing = append(missing, m.Manifest.Shards[i].Layers)
		case err != nil:
			return err
		}
	}
	if len(missing) > 0 {
		return ErrMissing(m.ID, missing)
	}
	return nil
}

// quarantine makes a damaged shard a missing one. The gate is held.
func (l *Library) quarantine(m *Model, o *shard.Model, index int, why error) {
	if err := o.Demote(index); err != nil {
		l.cfg.Log.Error("put a damaged shard aside", "model", m.ID.String(), "shard", index, "err", err)
	}
	m.mu.Lock()
	m.local[index] = false
	m.mu.Unlock()
	l.tellDamaged(m.ID, index, why)
	l.Touch()
	if l.cfg.Damaged != nil {
		l.cfg.Damaged(m.ID, m.Digest, index)
	}
}

func (l *Library) tellDamaged(id core.ModelID, index int, why error) {
	l.cfg.Log.Warn("shard is damaged", "model", id.String(), "shard", index, "err", why)
	l.activity("shard_damaged", id, fmt.Sprintf("Shard %d of %s is damaged and is not used.", index, id), "warning")
}

// scrub reads shards that do not count as sound, slowly and one after the other, until ctx ends.
func (l *Library) scrub(ctx context.Context) {
	tick := time.NewTicker(l.cfg.ScrubEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, m := range l.All() {
			for i := range m.Manifest.Shards {
				if err := l.scrubShard(ctx, m, i); err != nil && ctx.Err() == nil {
					l.cfg.Log.Warn("check a shard", "model", m.ID.String(), "shard", i, "err", err)
				}
			}
		}
	}
}

// scrubShard reads a shard if that is due. A damaged one that is in memory is taken out of there.
func (l *Library) scrubShard(ctx context.Context, m *Model, index int) error {
	if !l.HasShard(m.ID, index) || ctx.Err() != nil {
		return nil //nolint:nilerr // the next round reads it
	}
	o := m.files()
	c, _, err := l.cfg.Store.ShardCheck(ctx, m.ID, index)
	if err != nil || l.verified(ctx, o, index) && time.Since(c.Checked) < checkLife {
		return err
	}
	why := l.verify(ctx, o, index, o.VerifyShardGently)
	if core.CodeOf(why) != core.CodeCorrupt {
		return why
	}
	return l.evict(ctx, m, o, index, why)
}

// evict unloads a model of which a shard is damaged and puts the shard aside.
func (l *Library) evict(ctx context.Context, m *Model, o *shard.Model, index int, why error) error {
	if err := m.Enter(ctx); err != nil {
		return err
	}
	defer m.Leave()
	if !l.HasShard(m.ID, index) || l.verified(ctx, o, index) { // it was deleted meanwhile, or fetched again
		return nil
	}
	err := l.memory.Free(ctx, m)
	l.quarantine(m, o, index, why)
	return err
}

// Sound tells whether a shard was read since its file last changed.
func (l *Library) Sound(ctx context.Context, id core.ModelID, index int) bool {
	m, err := l.FindShard(id, index)
	return err == nil && l.verified(ctx, m.files(), index)
}

// Suspect says that a shard looks damaged to whoever read a part of it. It is read soon and put aside if that is so.
func (l *Library) Suspect(id core.ModelID, index int) {
	l.spawn(func() {
		m, err := l.FindShard(id, index)
		if err == nil {
			err = l.reread(l.ctx, m, index)
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			l.cfg.Log.Warn("check a shard", "model", id.String(), "shard", index, "err", err)
		}
	})
}

func (l *Library) reread(ctx context.Context, m *Model, index int) error {
	o := m.files()
	why := l.verify(ctx, o, index, o.VerifyShard)
	if core.CodeOf(why) != core.CodeCorrupt {
		return why
	}
	return l.evict(ctx, m, o, index, why)
}
