package memory

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/library"
)

// sparePart is how much of the free memory, as one part of so many, a window that is kept for later must leave free.
const sparePart = 4

// unwanted is for how long nothing of a model that was unloaded is loaded for later.
const unwanted = 10 * time.Minute

// Warm loads a window as Window does, before it is needed, if there is room for it beside all that is in memory. It
// stays until release is called, or until somebody needs its memory or the model is unloaded: then gone is closed.
// Errors are those of Window.
func (l *Memory) Warm(ctx context.Context, id core.ModelID, manifest core.Digest, first, end int, o WindowOptions) (gone <-chan struct{}, release func(), err error) {
	m, key, err := l.stageOf(id, manifest, first, end)
	if err != nil {
		return nil, nil, err
	}
	if l.Paused() {
		return nil, nil, errPaused()
	}
	if l.cfg.Settings().Contribution == config.Minimal {
		return nil, nil, core.Errorf(core.CodeInsufficientRAM, "this PC gives little of itself and keeps nothing in memory for later")
	}
	m.mu.Lock()
	since := time.Since(m.unloaded)
	m.mu.Unlock()
	if since < unwanted {
		return nil, nil, core.Errorf(core.CodeNotReady, "model %s was unloaded a short time ago", id)
	}
	r, err := l.resident(m, key, o, true)
	if err != nil {
		return nil, nil, err
	}
	release = func() { l.unwarm(r) }
	if _, err := r.wait(ctx); err != nil {
		release()
		return nil, nil, err
	}
	return r.gone, release, nil
}

// unwarm takes back a wish to keep a window. One that was never used then ends, with its load if that is still under way;
// others stay as they do without such a wish.
func (l *Memory) unwarm(r *resident) {
	r.m.mu.Lock()
	r.warm--
	r.m.mu.Unlock()
	l.endResidents(r.m, func(other *resident) bool { return other == r && r.warm == 0 && r.uses == 0 && r.used.IsZero() })
}

// placeSpare is place for a window that is kept for later: it makes no room and does not take the last that is free.
func (l *Memory) placeSpare(ctx context.Context, m *residence, s library.Span, windows, sequences int) (placement, error) {
	p, err := l.place(ctx, m, s, windows, sequences)
	if err != nil {
		return p, err
	}
	if ram, _ := l.cfg.Hardware.Free(ctx); p.need.RAM > ram-ram/sparePart {
		return p, core.Errorf(core.CodeInsufficientRAM, "shards of %s, kept for later, would take %d of the %d MiB of memory that are free",
			m.ID, p.need.RAM/hardware.MiB, ram/hardware.MiB)
	}
	return p, nil
}

// cancelSpeculativeLoads stops loads of the model that are for later, since one that is needed now would wait for them. The mutex is held.
func (m *residence) cancelSpeculativeLoads() {
	for _, r := range m.residents {
		if r.spare && r.uses == 0 && !r.loaded {
			r.cancel()
		}
	}
}

// freeGPU ends the windows on a graphics card that are kept for later: what is needed now gets all of the card, and
// would not notice that it could have had more.
func (l *Memory) freeGPU() {
	for _, m := range l.all() {
		l.endResidents(m, func(r *resident) bool { return r.spare && r.uses == 0 && r.used.IsZero() && r.place.need.VRAM > 0 })
	}
}
