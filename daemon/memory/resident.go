package memory

import (
	"context"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/library"
)

// residentKey tells apart what is in memory of a model.
type residentKey struct {
	alone bool         // the model as this PC runs it alone, in as many windows as it is to have; span is empty
	vocab bool         // the tokenizer alone; span is empty
	span  library.Span // of a window that chains step
}

var aloneKey = residentKey{alone: true}

// resident is a part of a model in memory, from its load to the end of its workers. Whoever wants it to stay counts a use,
// or a wish to keep it for later; nobody's residents are what is idle, and what makes room.
type resident struct {
	m      *residence
	key    residentKey
	span   library.Span
	cancel context.CancelFunc // ends it
	gone   chan struct{}      // closed when it has ended and its workers too

	// Guarded by the model's mutex.
	place   placement
	workers *workers      // nil while workers are down
	up      chan struct{} // closed when workers or err is set, and replaced when the workers go
	err     error         // why it did not come up
	loaded  bool          // it came up
	uses    int
	used    time.Time // when the last use ended, or a model was loaded
	warm    int       // who wants it kept for later
	spare   bool      // it was loaded for later only: nothing made room for it
}

// take counts a use, or a wish to keep it for later. The model's mutex is held.
func (r *resident) take(later bool) {
	if later {
		r.warm++
	} else {
		r.uses++
	}
}

// release ends a use.
func (r *resident) release() {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.uses--
	r.used = time.Now()
}

// leave takes a resident that has ended out of its model, if nobody has done so.
func (r *resident) leave() {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if r.m.residents[r.key] == r {
		delete(r.m.residents, r.key)
	}
}

// dead tells whether a worker has ended. The model's mutex is held.
func (r *resident) dead() bool { return r.workers != nil && r.workers.dead() }

// idle tells whether nobody has used it for a time, nor wants it to be kept; without a limit also one that is kept. One
// that is being loaded is not idle: it may be the very one that looks for room, or wait for that one, and has no memory
// to give. The model's mutex is held.
func (r *resident) idle(limit time.Duration) bool {
	return r.loaded && r.uses == 0 && (limit == 0 || r.warm == 0 && time.Since(r.used) >= limit)
}

// victim is a resident that is idle, as it was when it was looked at.
type victim struct {
	*resident
	kept bool // somebody wants it for later
	last time.Time
}

// idle lists what is idle of all models: first what is only kept for later, then what was not used for longest.
func (l *Memory) idle(limit time.Duration) (list []victim) {
	for _, m := range l.all() {
		m.mu.Lock()
		for _, r := range m.residents {
			if r.idle(limit) {
				list = append(list, victim{r, r.warm > 0, r.used})
			}
		}
		m.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b victim) int {
		switch {
		case a.kept && !b.kept:
			return -1
		case b.kept && !a.kept:
			return 1
		}
		return a.last.Compare(b.last)
	})
	return list
}

// sweepEvery is how often idle residents are looked for.
const sweepEvery = 5 * time.Second

// sweep ends what was not used for as long as the settings say.
func (l *Memory) sweep(ctx context.Context) {
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
		for _, v := range l.idle(limit) {
			if l.retire(ctx, v.resident, limit) {
				l.cfg.Log.Info("model was idle", "model", v.m.ID.String(), "alone", v.key.alone, "idle", time.Since(v.last).Round(time.Second))
			}
		}
	}
}

// makeRoom ends one resident that is idle. It is false when all in memory is in use or being changed; waiting for that
// could wait for this very load.
func (l *Memory) makeRoom(ctx context.Context) bool {
	return slices.ContainsFunc(l.idle(0), func(v victim) bool { return l.retire(ctx, v.resident, 0) })
}

// retire ends a resident if it is still idle. It is false when it is not, or its model is being changed.
func (l *Memory) retire(ctx context.Context, r *resident, limit time.Duration) bool {
	still := func(other *resident) bool { return other == r && r.idle(limit) }
	if !r.key.alone {
		n, _ := l.endResidents(r.m, still)
		return n > 0
	}
	if !r.m.TryEnter() {
		return false
	}
	defer r.m.Leave()
	out, err := l.unload(ctx, r.m, still)
	if err != nil && ctx.Err() == nil {
		l.cfg.Log.Warn("unload idle model", "model", r.m.ID.String(), "err", err)
	}
	return out.SegmentsRemoved > 0
}

// endResidents takes those residents of a model out of memory that which accepts, and waits until their workers are gone.
// One that is being loaded waits for the gate, which may be held. It tells how many windows there were and what memory
// they took.
func (l *Memory) endResidents(m *residence, which func(*resident) bool) (windows int, freed hardware.Use) {
	m.mu.Lock()
	var list []*resident
	for key, r := range m.residents {
		if which(r) {
			list = append(list, r)
			delete(m.residents, key)
			windows += max(1, len(r.place.spans))
			freed.RAM, freed.VRAM = freed.RAM+r.place.need.RAM, freed.VRAM+r.place.need.VRAM
		}
	}
	m.mu.Unlock()
	for _, r := range list {
		r.cancel()
		<-r.gone
	}
	return windows, freed
}

func everyone(*resident) bool { return true }

// isAlone accepts the model as this PC runs it alone.
func isAlone(r *resident) bool { return r.key.alone }

// alone is the model as this PC runs it alone; nil if it is not in memory.
func (m *residence) alone() *resident {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.residents[aloneKey]
}

// occupied tells whether anything of the model is in memory or being loaded.
func (m *residence) occupied() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.residents) > 0 || m.load != nil
}

// keeps tells whether a shard may not leave the disk: an error of code CodeConflict that says why, or nil.
func (m *residence) keeps(index int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.residents {
		switch {
		case !r.span.Has(index):
		case r.key.alone:
			return core.Errorf(core.CodeConflict, "shard %d of %s is in memory; unload it first", index, m.ID)
		case r.uses > 0:
			return core.Errorf(core.CodeConflict, "shard %d of %s is in use for a chain; unload it first", index, m.ID)
		}
	}
	return nil
}
