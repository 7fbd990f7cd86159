package library

import (
	"context"

	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/hardware"
)

// Sizes of a load.
const (
	batchRows   = 512
	maxContext  = 32_768 // tokens that a model gets without being told, however much it could have
	minContext  = 512
	kvAllowance = 1 << 30 // bytes of KV cache that a model gets even if its weights are small

	weightsPerThread = 16 << 20 // bytes of weights below which one more thread does not pay
)

// placement is how a span of a model is to be loaded.
type placement struct {
	spans []span // one per window
	spec  engine.Spec
	need  hardware.Use
}

// place chooses the spans of so many windows for so many sequences, threads, context and GPU layers. The error has code CodeInsufficientRAM
// when the span does not fit the free memory.
func (l *Library) place(ctx context.Context, m *model, s span, windows, sequences int) (placement, error) {
	set := l.cfg.Settings()
	p := placement{spans: m.cut(s, windows)}
	p.spec = engine.Spec{
		ModelDir: m.dir, Sequences: sequences, BatchRows: batchRows,
		Threads: threads(set, l.cfg.Hardware.Cores(), m.bytes(s)), GPULayers: set.GPULayers, ShareCPU: len(p.spans) > 1,
	}
	gpu := l.lookAtGPU(ctx)
	ram, vram := l.cfg.Hardware.Free(ctx)
	share := float64(m.bytes(s)) / float64(max(1, m.bytes(m.whole())))
	p.spec.Context = set.ContextSize
	if p.spec.Context == 0 {
		p.spec.Context = m.chooseContext(p.spec, ram, share)
	}
	onGPU := 0
	if gpu {
		onGPU = m.chooseGPULayers(&p.spec, set.Contribution, vram, share)
	}
	p.need = m.need(p.spec, onGPU, share)
	if p.need.RAM > ram {
		return p, core.Errorf(core.CodeInsufficientRAM, "model %s needs about %d MiB of memory and %d MiB are free",
			m.id, p.need.RAM/hardware.MiB, ram/hardware.MiB)
	}
	return p, nil
}

// threads is how many CPU threads a model gets: what is set, or the physical cores less what contribution leaves, but
// no more than its weights keep busy. A small model's threads would only wait for each other, and for the other
// programs on their cores.
func threads(set config.Settings, cores int, weights int64) int {
	if set.Threads > 0 {
		return set.Threads
	}
	useful := 1 + int(weights/weightsPerThread)
	return max(1, min(useful, int(float64(cores)*set.Contribution.Share())))
}

// windowCount is how many windows the model is to run in.
func (m *model) windowCount(set config.Settings) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.traits.refusal != "" {
		return 1
	}
	if m.windows > 0 {
		return m.windows
	}
	return set.Windows
}

// cut splits s into n windows, or as many as there are shards, of about the same number of layers.
func (m *model) cut(s span, n int) []span {
	n = min(n, s.len())
	all := m.layers(s)
	spans := make([]span, 0, n)
	first := s.first
	for i := 1; i <= n; i++ {
		goal := all.First + all.Len()*i/n
		end := first + 1
		for end < s.end-(n-i) && m.manifest.Shards[end-1].Layers.End < goal {
			end++
		}
		spans = append(spans, span{first, end})
		first = end
	}
	return spans
}

// chooseContext finds the largest KV cache that is worth its memory: each request may use what the model was trained
// for, if memory allows.
func (m *model) chooseContext(spec engine.Spec, ram int64, share float64) int {
	trained := m.traits.context
	if trained == 0 {
		trained = 4096
	}
	want := min(trained*spec.Sequences, maxContext)
	least := min(minContext, want)
	fit := m.memory()
	if fit == nil {
		return min(want, 4096)
	}
	allowance := max(kvAllowance, m.manifest.Size/2)
	for ; want > least; want /= 2 {
		spec.Context = want
		use, err := fit.At(loadOf(spec, 0))
		if err != nil {
			return least
		}
		spec.Context = least
		floor, err := fit.At(loadOf(spec, 0))
		if err != nil {
			return least
		}
		if use.RAM-floor.RAM <= allowance && scale(use.RAM, share) <= ram/10*9 {
			return want
		}
	}
	return least
}

// lookAtGPU tells whether the runtime uses a GPU, and if so asks how much of its memory is free now.
func (l *Library) lookAtGPU(ctx context.Context) bool {
	if !l.cfg.Hardware.Snapshot(ctx).GPUInference {
		return false
	}
	if info, err := l.cfg.Engine.Info(ctx); err == nil {
		l.cfg.Hardware.SetRuntime(info)
	}
	return l.cfg.Hardware.Snapshot(ctx).GPUInference
}

// chooseGPULayers estimates how many layers will be on the GPU. Where the settings leave the number open and the whole
// GPU may be used, the worker chooses, which knows best; a lower contribution sets the number that fits its part.
func (m *model) chooseGPULayers(spec *engine.Spec, c config.Contribution, vram int64, share float64) int {
	fit := m.memory()
	if fit == nil || spec.GPULayers >= 0 {
		return max(0, spec.GPULayers)
	}
	n := fit.Layers()
	for limit := int64(float64(vram) * c.Share()); n > 0; n-- {
		if use, err := fit.At(loadOf(*spec, n)); err == nil && scale(use.VRAM, share) <= limit {
			break
		}
	}
	if n < fit.Layers() && c != config.Maximum {
		spec.GPULayers = n
	}
	return n
}

// need estimates the memory of a load of the given share of the model, with so many layers of the whole on the GPU.
func (m *model) need(spec engine.Spec, gpuLayers int, share float64) hardware.Use {
	use := hardware.Use{RAM: m.manifest.Size}
	if fit := m.memory(); fit != nil {
		if exact, err := fit.At(loadOf(spec, gpuLayers)); err == nil {
			use = exact
		}
	}
	return hardware.Use{RAM: scale(use.RAM, share), VRAM: scale(use.VRAM, share)}
}

func loadOf(spec engine.Spec, gpuLayers int) hardware.Load {
	return hardware.Load{Context: spec.Context, Sequences: spec.Sequences, BatchRows: spec.BatchRows, GPULayers: gpuLayers}
}

func scale(n int64, share float64) int64 { return int64(float64(n) * share) }

// window is the spec of one window of a placement.
func (p placement) window(m *model, i int) engine.Spec {
	spec := p.spec
	spec.FirstShard, spec.EndShard = p.spans[i].first, p.spans[i].end
	if spec.GPULayers > 0 {
		spec.GPULayers = max(0, spec.GPULayers-(m.layers(p.spans[i]).First-m.layers(p.spans[0]).First))
	}
	return spec
}
