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
	st, err := l.stage(m, key, o, true)
	if err != nil {
		return nil, nil, err
	}
	release = func() { l.unwarm(m, st) }
	if err := st.wait(ctx, m); err != nil {
		release()
		return nil, nil, err
	}
	return st.gone, release, nil
}

// unwarm takes back a wish to keep a stage. One that was never used then ends, with its load if that is still under way;
// others stay as they do without such a wish.
func (l *Memory) unwarm(m *residence, st *stage) {
	m.mu.Lock()
	st.warm--
	m.mu.Unlock()
	l.endStages(m, func(other *stage) bool { return other == st && st.warm == 0 && st.uses == 0 && st.used.IsZero() })
}

// placeSpare is place for a window that is kept for later: it makes no room and does not take the last that is free.
func (l *Memory) placeSpare(ctx context.Context, m *residence, s library.Span, sequences int) (placement, error) {
	p, err := l.place(ctx, m, s, 1, sequences)
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
	for _, st := range m.stages {
		if st.spare && st.uses == 0 && st.window == nil {
			st.cancel()
		}
	}
}

// freeGPU ends the stages on a graphics card that are kept for later: what is needed now gets all of the card, and
// would not notice that it could have had more.
func (l *Memory) freeGPU() {
	for _, m := range l.all() {
		l.endStages(m, func(st *stage) bool { return st.spare && st.uses == 0 && st.used.IsZero() && st.need.VRAM > 0 })
	}
}
