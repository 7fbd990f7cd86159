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
	scrubAfter = 20 * time.Second // from the start of the node, which has other things to do, and between two looks
	checkLife  = 30 * 24 * time.Hour
)

// files is the model's folder without its header: enough to look at shards, read them and put them aside.
func (m *model) files() *shard.Model { return &shard.Model{Dir: m.dir, Manifest: m.manifest} }

// stampOf is the zero value for a file that cannot be looked at, which matches no check.
func stampOf(o *shard.Model, index int) shard.Stamp {
	s, err := o.Stamp(index)
	if err != nil {
		return shard.Stamp{}
	}
	return s
}

// vouched tells whether a shard counts as sound.
func (l *Library) vouched(ctx context.Context, o *shard.Model, index int) bool {
	c, ok, err := l.cfg.Store.ShardCheck(ctx, o.Manifest.ModelID, index)
	if err != nil {
		l.cfg.Log.Warn("look up a shard's check", "model", o.Manifest.ModelID.String(), "shard", index, "err", err)
	}
	now := stampOf(o, index)
	return ok && err == nil && c.Size == now.Size && c.Changed.Equal(now.Changed)
}

// vouch records that a shard was sound when its file looked as before says.
func (l *Library) vouch(ctx context.Context, o *shard.Model, index int, before shard.Stamp) {
	c := store.ShardCheck{Size: before.Size, Changed: before.Changed, Checked: time.Now()}
	if err := l.cfg.Store.SetShardCheck(ctx, o.Manifest.ModelID, index, c); err != nil {
		l.cfg.Log.Warn("record a shard's check", "model", o.Manifest.ModelID.String(), "shard", index, "err", err)
	}
}

// verify reads a shard with read, and vouches for it if it is sound.
func (l *Library) verify(ctx context.Context, o *shard.Model, index int, read func(context.Context, int) error) error {
	before := stampOf(o, index)
	err := read(ctx, index)
	if err == nil {
		l.vouch(ctx, o, index, before)
	}
	return err
}

// prove reads those shards of a span that do not count as sound, before they are loaded. Damaged ones are put aside,
// and then the error says what is missing. The gate is held.
func (l *Library) prove(ctx context.Context, m *model, s span) error {
	o := m.files()
	var missing []core.LayerRange
	for i := s.first; i < s.end; i++ {
		if l.vouched(ctx, o, i) {
			continue
		}
		err := l.verify(ctx, o, i, o.VerifyShard)
		if ctx.Err() != nil {
			return core.Errorf(core.CodeCancelled, "check shards of %s: %w", m.id, ctx.Err())
		}
		switch {
		case core.CodeOf(err) == core.CodeCorrupt:
			l.putAside(m, o, i, err)
			missing = append(missing, m.manifest.Shards[i].Layers)
		case err != nil:
			return err
		}
	}
	if len(missing) > 0 {
		return errMissing(m.id, missing)
	}
	return nil
}

// putAside makes a damaged shard a missing one. The gate is held.
func (l *Library) putAside(m *model, o *shard.Model, index int, why error) {
	if err := o.Demote(index); err != nil {
		l.cfg.Log.Error("put a damaged shard aside", "model", m.id.String(), "shard", index, "err", err)
	}
	m.mu.Lock()
	m.local[index] = false
	m.mu.Unlock()
	l.tellDamaged(m.id, index, why)
	l.touch()
	if l.cfg.Damaged != nil {
		l.cfg.Damaged(m.id, m.digest, index)
	}
}

func (l *Library) tellDamaged(id core.ModelID, index int, why error) {
	l.cfg.Log.Warn("shard is damaged", "model", id.String(), "shard", index, "err", why)
	l.activity("shard_damaged", id, fmt.Sprintf("Shard %d of %s is damaged and is not used.", index, id), "warning")
}

// scrub reads shards that do not count as sound, slowly and one after the other, until ctx ends.
func (l *Library) scrub(ctx context.Context) {
	tick := time.NewTicker(l.scrubAfter)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, m := range l.all() {
			for i := range m.manifest.Shards {
				if err := l.scrubShard(ctx, m, i); err != nil && ctx.Err() == nil {
					l.cfg.Log.Warn("check a shard", "model", m.id.String(), "shard", i, "err", err)
				}
			}
		}
	}
}

// scrubShard reads a shard if that is due. A damaged one that is in memory is taken out of there.
func (l *Library) scrubShard(ctx context.Context, m *model, index int) error {
	if !l.HasShard(m.id, index) || ctx.Err() != nil {
		return nil
	}
	o := m.files()
	c, _, err := l.cfg.Store.ShardCheck(ctx, m.id, index)
	if err != nil || l.vouched(ctx, o, index) && time.Since(c.Checked) < checkLife {
		return err
	}
	why := l.verify(ctx, o, index, o.VerifyShardGently)
	if core.CodeOf(why) != core.CodeCorrupt {
		return why
	}
	return l.condemn(ctx, m, o, index, why)
}

// condemn unloads a model of which a shard is damaged and puts the shard aside.
func (l *Library) condemn(ctx context.Context, m *model, o *shard.Model, index int, why error) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.leave()
	if !l.HasShard(m.id, index) || l.vouched(ctx, o, index) { // it was deleted meanwhile, or fetched again
		return nil
	}
	_, err := l.unload(ctx, m, everyStage)
	l.putAside(m, o, index, why)
	return err
}

// Sound tells whether a shard was read since its file last changed.
func (l *Library) Sound(ctx context.Context, id core.ModelID, index int) bool {
	m, err := l.findShard(id, index)
	return err == nil && l.vouched(ctx, m.files(), index)
}

// Suspect says that a shard looks damaged to whoever read a part of it. It is read soon and put aside if that is so.
func (l *Library) Suspect(id core.ModelID, index int) {
	l.spawn(func() {
		m, err := l.findShard(id, index)
		if err == nil {
			err = l.reread(l.ctx, m, index)
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			l.cfg.Log.Warn("check a shard", "model", id.String(), "shard", index, "err", err)
		}
	})
}

func (l *Library) reread(ctx context.Context, m *model, index int) error {
	o := m.files()
	why := l.verify(ctx, o, index, o.VerifyShard)
	if core.CodeOf(why) != core.CodeCorrupt {
		return why
	}
	return l.condemn(ctx, m, o, index, why)
}
