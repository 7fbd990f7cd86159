package memory

import (
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// WindowCount is in how many windows a model runs on this PC alone; 0 for one that is not known.
func (l *Memory) WindowCount(id core.ModelID) int {
	m, err := l.find(id)
	if err != nil {
		return 0
	}
	return min(m.WindowCount(l.cfg.Settings()), len(m.Manifest.Shards))
}

// Holdings tells which shards are on this disk and which are in memory.
func (l *Memory) Holdings() []core.Holding {
	var list []core.Holding
	for _, m := range l.all() {
		if h, any := m.holding(); any {
			list = append(list, h)
		}
	}
	return list
}

func (m *residence) holding() (h core.Holding, any bool) {
	disk := m.Local()
	m.mu.Lock()
	defer m.mu.Unlock()
	h = core.Holding{Model: m.ID, Manifest: m.Digest}
	for i, local := range disk {
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
func (m *residence) resident(index int) bool {
	for _, r := range m.residents {
		if r.loaded && r.span.Has(index) {
			return true
		}
	}
	return false
}

// Speeds tells how fast this PC was at running models.
func (l *Memory) Speeds() []core.Speed {
	var list []core.Speed
	for _, m := range l.all() {
		if s, ok := m.meter.speed(m.ID); ok {
			list = append(list, s)
		}
	}
	return list
}

var _ engine.Window = (*metered)(nil)
