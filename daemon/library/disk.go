package library

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// Scan finds the models of the folder. It is called once, before Run; shards that changed on the disk are read before
// they are used, and otherwise some time later.
func (l *Library) Scan(ctx context.Context) error {
	_, err := l.rescan(ctx, false)
	return err
}

// Rescan looks at the models folder again: models that were put there or taken away, and shards of those known. A shard
// that is new is read and checked against the manifest; a damaged one counts as missing.
func (l *Library) Rescan(ctx context.Context) (admin.Rescanned, error) { return l.rescan(ctx, true) }

func (l *Library) rescan(ctx context.Context, check bool) (admin.Rescanned, error) {
	l.looking.Lock()
	defer l.looking.Unlock()
	opened, problems, err := l.disk.Scan()
	if err != nil {
		return admin.Rescanned{}, err
	}
	l.noteDamaged(problems)
	out := admin.Rescanned{Status: "ok", ModelsUpdated: []string{}}
	seen := map[core.ModelID]bool{}
	for _, o := range opened {
		id := o.Manifest.ModelID
		seen[id] = true
		updated, err := l.adopt(ctx, o, check)
		if err != nil {
			return out, err
		}
		if updated {
			out.ModelsUpdated = append(out.ModelsUpdated, id.String())
		}
	}
	for _, m := range l.All() {
		if !seen[m.ID] && l.vanish(ctx, m) {
			out.ModelsUpdated = append(out.ModelsUpdated, m.ID.String())
		}
	}
	slices.Sort(out.ModelsUpdated)
	out.Count = len(out.ModelsUpdated)
	if out.Count > 0 {
		l.Touch()
	}
	return out, nil
}

// adopt takes a model of the disk into the list, or notes which of its shards are there now; with check, shards that
// are new are verified. It tells whether anything changed. The caller holds l.looking since before o was opened.
func (l *Library) adopt(ctx context.Context, o *shard.Model, check bool) (bool, error) {
	id := o.Manifest.ModelID
	fresh := newModel(id, o)
	if check {
		if err := l.verifyNew(ctx, o, fresh); err != nil {
			return false, err
		}
	}
	fresh.source = readSource(o)
	locked, err := l.cfg.Store.LockedShards(ctx, id)
	if err != nil {
		return false, err
	}
	for _, i := range locked {
		fresh.locked[i] = true
	}
	if fresh.windows, err = l.cfg.Store.Windows(ctx, id); err != nil {
		return false, err
	}
	l.mu.Lock()
	delete(l.damaged, id)
	l.mu.Unlock()
	known := l.add(fresh)
	switch {
	case known == fresh:
		return true, nil
	case known.Manifest.SHA256 == fresh.Manifest.SHA256 && len(known.Manifest.Shards) == len(fresh.Manifest.Shards):
		return known.refresh(fresh), nil
	}
	return true, l.supersede(ctx, known, fresh)
}

// verifyNew checks the shards that were not there before and takes damaged ones for missing.
func (l *Library) verifyNew(ctx context.Context, o *shard.Model, fresh *Model) error {
	before := make([]bool, len(fresh.local))
	if known, err := l.Find(fresh.ID); err == nil && known.Manifest.SHA256 == fresh.Manifest.SHA256 {
		known.mu.Lock()
		copy(before, known.local)
		known.mu.Unlock()
	}
	for i, local := range fresh.local {
		if !local || before[i] {
			continue
		}
		err := l.verify(ctx, o, i, o.VerifyShard)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			fresh.local[i] = false
			l.tellDamaged(fresh.ID, i, err)
		}
	}
	return nil
}

// supersede puts another model in the place of one whose folder now holds it.
func (l *Library) supersede(ctx context.Context, old, fresh *Model) error {
	if err := old.Enter(ctx); err != nil {
		return err
	}
	defer old.Leave()
	if err := l.memory.Free(ctx, old); err != nil {
		return err
	}
	l.memory.Forget(old)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.models[fresh.ID] = fresh
	return nil
}

// add puts a model on the list unless it is there, and returns the one that is.
func (l *Library) add(m *Model) *Model {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.models[m.ID]; ok {
		return known
	}
	l.models[m.ID] = m
	return m
}

// refresh takes over what fresh found on the disk.
func (m *Model) refresh(fresh *Model) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := !slices.Equal(m.local, fresh.local)
	m.local, m.source, m.windows = fresh.local, fresh.source, fresh.windows
	return changed
}

// vanish takes a model out of the list whose folder is gone. It tells whether it did.
func (l *Library) vanish(ctx context.Context, m *Model) bool {
	if _, err := os.Stat(filepath.Join(m.Dir, shard.ManifestFile)); err == nil {
		return false
	}
	if err := m.Enter(ctx); err != nil {
		return false
	}
	defer m.Leave()
	if err := l.memory.Free(ctx, m); err != nil {
		l.cfg.Log.Warn("unload model that is gone", "model", m.ID.String(), "err", err)
	}
	l.remove(m)
	return true
}

func (l *Library) remove(m *Model) {
	l.memory.Forget(m)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.models[m.ID] == m {
		delete(l.models, m.ID)
	}
}

// readSource is where the model was fetched from, in words that can be shown.
func readSource(o *shard.Model) *admin.HFSource {
	s := o.Origin()
	if s == nil {
		return nil
	}
	return &admin.HFSource{RepoID: core.Plain(s.RepoID, maxName), Filename: core.Plain(s.Filename, maxName), Revision: core.Plain(s.Revision, maxName)}
}

// LockShard protects a shard from being pruned, or lifts that.
func (l *Library) LockShard(ctx context.Context, id core.ModelID, index int, locked bool) error {
	m, err := l.FindShard(id, index)
	if err != nil {
		return err
	}
	if err := l.cfg.Store.LockShard(ctx, id, index, locked); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if locked {
		m.locked[index] = true
	} else {
		delete(m.locked, index)
	}
	return nil
}

// DeleteModel unloads a model and removes its shards, manifest and everything kept about it.
func (l *Library) DeleteModel(ctx context.Context, id core.ModelID) error {
	m, err := l.Find(id)
	if err != nil {
		return l.deleteDamaged(ctx, id, err)
	}
	l.memory.Stop(m)
	if err := m.Enter(ctx); err != nil {
		return err
	}
	defer m.Leave()
	if err := l.memory.Free(ctx, m); err != nil {
		return err
	}
	if err := l.disk.Delete(id); err != nil && core.CodeOf(err) != core.CodeNotFound {
		return err
	}
	l.remove(m)
	if err := l.cfg.Store.ForgetModel(ctx, id); err != nil {
		return err
	}
	l.Changed("model_deleted", id, id.String()+" was deleted.", "")
	return nil
}

// DeleteShard removes one shard from the disk. A shard that is locked or in memory is an error of code CodeConflict.
func (l *Library) DeleteShard(ctx context.Context, id core.ModelID, index int) error {
	m, err := l.FindShard(id, index)
	if err != nil {
		return err
	}
	if err := m.Enter(ctx); err != nil {
		return err
	}
	defer m.Leave()
	m.mu.Lock()
	locked := m.locked[index]
	m.mu.Unlock()
	if locked {
		return core.Errorf(core.CodeConflict, "shard %d of %s is locked", index, id)
	}
	if err := l.memory.InUse(m, index); err != nil {
		return err
	}
	l.memory.FreeShard(m, index)
	opened, err := l.disk.Open(id)
	if err != nil {
		return err
	}
	if err := opened.DeleteShard(index); err != nil {
		return err
	}
	m.mu.Lock()
	m.local[index] = false
	m.mu.Unlock()
	l.Touch()
	return nil
}

// Refresh looks again at which shards of a model are on the disk, or takes a new model into the list.
func (l *Library) Refresh(ctx context.Context, id core.ModelID) error {
	l.looking.Lock()
	defer l.looking.Unlock()
	opened, err := l.disk.Open(id)
	if err != nil {
		return err
	}
	changed, err := l.adopt(ctx, opened, false)
	if err == nil && changed {
		l.Touch()
	}
	return err
}

// Arrived takes over a shard that was just written, every chunk of it verified. The header of a model that is known is
// not read again for that: it may be 64 MiB, and a model may have hundreds of shards.
func (l *Library) Arrived(ctx context.Context, id core.ModelID, index int) error {
	m, err := l.FindShard(id, index)
	if err != nil {
		return l.Refresh(ctx, id)
	}
	l.looking.Lock()
	defer l.looking.Unlock()
	o := m.files()
	if !o.Has(index) {
		return core.Errorf(core.CodeNotFound, "shard %d of %s is not on this disk", index, id)
	}
	l.recordVerified(ctx, o, index, stampOf(o, index))
	m.mu.Lock()
	before := m.local[index]
	m.local[index] = true
	m.mu.Unlock()
	if !before {
		l.Touch()
	}
	return nil
}
