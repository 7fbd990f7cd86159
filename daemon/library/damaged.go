package library

import (
	"cmp"
	"context"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// Damaged is a model's folder that cannot be opened.
type Damaged struct {
	ID     core.ModelID
	Reason string
}

// Damaged lists the folders that cannot be opened, in order of their ids. DeleteModel removes one, and an import under
// the same id puts a sound model in its place.
func (l *Library) Damaged() []Damaged {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := []Damaged{}
	for id, err := range l.damaged {
		if _, ok := l.models[id]; !ok { // one that is in the list was opened, and is what the user sees
			list = append(list, Damaged{id, err.Error()})
		}
	}
	slices.SortFunc(list, func(a, b Damaged) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	return list
}

// noteDamaged keeps what the last look at the disk could not open.
func (l *Library) noteDamaged(problems []shard.Problem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.damaged)
	for _, p := range problems {
		l.cfg.Log.Warn("model cannot be opened", "model", p.ID.String(), "err", p.Err)
		l.damaged[p.ID] = p.Err
	}
}

// deleteDamaged removes a folder that cannot be opened; unknown is the answer if there is none of that id.
func (l *Library) deleteDamaged(ctx context.Context, id core.ModelID, unknown error) error {
	l.looking.Lock()
	defer l.looking.Unlock()
	l.mu.Lock()
	_, ok := l.damaged[id]
	l.mu.Unlock()
	if !ok {
		return unknown
	}
	if err := l.disk.Delete(id); err != nil && core.CodeOf(err) != core.CodeNotFound {
		return err
	}
	l.mu.Lock()
	delete(l.damaged, id)
	l.mu.Unlock()
	if err := l.cfg.Store.ForgetModel(ctx, id); err != nil {
		return err
	}
	l.Changed("model_deleted", id, id.String()+" was deleted.", "")
	return nil
}
