package memory

import (
	"context"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
)

func TestThreadsFollowContribution(t *testing.T) {
	for _, c := range []struct {
		level      config.Contribution
		set, cores int
		weights    int64
		want       int
	}{
		{config.Minimal, 0, 8, 4 << 30, 4},
		{config.Moderate, 0, 8, 4 << 30, 6},
		{config.Maximum, 0, 8, 4 << 30, 8},
		{config.Minimal, 0, 1, 4 << 30, 1},
		{config.Moderate, 0, 2, 4 << 30, 1},
		{config.Minimal, 12, 8, 4 << 30, 12},
		{config.Maximum, 0, 8, 2 << 20, 1},
		{config.Maximum, 0, 8, 40 << 20, 3},
		{config.Maximum, 2, 8, 2 << 20, 2},
	} {
		if got := threads(config.Settings{Contribution: c.level, Threads: c.set}, c.cores, c.weights); got != c.want {
			t.Errorf("%s of %d cores, %d set: %d threads, want %d", c.level, c.cores, c.set, got, c.want)
		}
	}
}

// placed is how a library would load model m when a GPU has that much free memory.
func placed(t *testing.T, h *house, m *residence, free int64) placement {
	t.Helper()
	gpu := withGPU{h.engine, free}
	h.cfg.Engine = gpu
	info, err := gpu.Info(t.Context())
	must(t, err)
	h.cfg.Hardware.SetRuntime(info)
	p, err := h.place(t.Context(), m, m.Whole(), m.WindowCount(h.settings()), h.settings().MaxBatchSize)
	must(t, err)
	return p
}

// withGPU is a scripted engine on a PC with a GPU.
type withGPU struct {
	engine.Engine
	free int64
}

func (e withGPU) Info(ctx context.Context) (engine.RuntimeInfo, error) {
	info, err := e.Engine.Info(ctx)
	info.Flavour = "vulkan"
	info.Devices = append(info.Devices, engine.Device{Name: "Vulkan0", GPU: true, FreeBytes: e.free, TotalBytes: 64 << 30})
	return info, err
}

func TestGPULayersFollowContribution(t *testing.T) {
	h := build(t, t.TempDir(), fake.Config{})
	m, err := h.find(h.bring("m", 2))
	must(t, err)
	if p := placed(t, h, m, 32<<30); p.spec.GPULayers != -1 || p.need.VRAM == 0 || len(p.spans) != 2 || !p.spec.ShareCPU {
		t.Errorf("with room for all: %+v", p)
	}
	if p := placed(t, h, m, 0); p.spec.GPULayers != 0 || p.need.VRAM != 0 {
		t.Errorf("without room: %+v", p)
	}
	h.change(func(s *config.Settings) { s.Contribution = config.Maximum })
	if p := placed(t, h, m, 0); p.spec.GPULayers != -1 || p.need.VRAM != 0 {
		t.Errorf("all of the GPU allowed, none free: %+v", p)
	}
	h.change(func(s *config.Settings) { s.GPULayers = 4 })
	p := placed(t, h, m, 32<<30)
	if first, second := p.window(m, 0), p.window(m, 1); first.GPULayers != 4 || second.GPULayers != 1 || first.EndShard != second.FirstShard {
		t.Errorf("4 layers asked for: windows %+v and %+v", first, second)
	}
}

func TestContextFollowsModelAndMemory(t *testing.T) {
	h := build(t, t.TempDir(), fake.Config{})
	m, err := h.find(h.bring("m", 0))
	must(t, err)
	spec := engine.Spec{Sequences: 8, BatchRows: batchRows}
	most := m.chooseContext(spec, 64<<30, 1)
	if want := min(m.Traits.Context*8, maxContext); most != want {
		t.Errorf("with memory in plenty: %d tokens, want %d", most, want)
	}
	spec.Context = most
	tight := m.chooseContext(spec, m.need(spec, 0, 1).RAM, 1)
	if tight >= most || tight < minContext {
		t.Errorf("with memory for less than %d tokens: %d", most, tight)
	}
	if least := m.chooseContext(spec, 0, 1); least != minContext {
		t.Errorf("without memory: %d tokens, want %d", least, minContext)
	}
}
