package memory

import (
	"context"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/mean"
)

// A prompt's chunk counts as a measure of prefill from so many rows on.
const prefillRows = 32

// meter measures how fast this PC runs a model, by what its windows do for real requests.
type meter struct {
	mu    sync.Mutex // guards both
	token time.Duration
	row   time.Duration
}

// watch returns w, with its steps measured.
func (m *meter) watch(w engine.Window) engine.Window {
	return &metered{Window: w, meter: m, layers: max(1, w.Shape().Layers.Len())}
}

type metered struct {
	engine.Window
	meter  *meter
	layers int
}

// Step implements engine.Window.
func (w *metered) Step(ctx context.Context, b *engine.Batch) (*engine.Output, error) {
	began := time.Now()
	out, err := w.Window.Step(ctx, b)
	if err == nil {
		w.meter.add(len(b.Rows), time.Since(began)/time.Duration(w.layers))
	}
	return out, err
}

// add takes in a step of so many rows; took is per layer.
func (m *meter) add(rows int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case rows == 1:
		m.token = mean.Time(m.token, took, 8)
	case rows >= prefillRows:
		m.row = mean.Time(m.row, took/time.Duration(rows), 8)
	}
}

// speed is what was measured; it is false until a token was decoded.
func (m *meter) speed(id core.ModelID) (core.Speed, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return core.Speed{Model: id, LayerTime: m.token, PrefillRow: m.row}, m.token > 0
}
