package memory

import (
	"context"

	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/library"
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
	spans []library.Span // one per window
	spec  engine.Spec
	need  hardware.Use
}

// place chooses the spans of so many windows for so many sequences, threads, context and GPU layers. The error has code
// CodeInsufficientRAM when the span does not fit the free memory.
func (l *Memory) place(ctx context.Context, m *residence, s library.Span, windows, sequences int) (placement, error) {
	set := l.cfg.Settings()
	p := placement{spans: m.divide(s, windows)}
	p.spec = engine.Spec{
		ModelDir: m.Dir, Sequences: sequences, BatchRows: batchRows,
		Threads: threads(set, l.cfg.Hardware.Cores(), m.Bytes(s)), GPULayers: set.GPULayers, ShareCPU: len(p.spans) > 1,
	}
	gpu := l.lookAtGPU(ctx)
	ram, vram := l.cfg.Hardware.Free(ctx)
	share := float64(m.Bytes(s)) / float64(max(1, m.Bytes(m.Whole())))
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
			m.ID, p.need.RAM/hardware.MiB, ram/hardware.MiB)
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

// divide splits s into n windows, or as many as there are shards, of about the same number of layers.
func (m *residence) divide(s library.Span, n int) []library.Span {
	n = min(n, s.Len())
	all := m.Layers(s)
	spans := make([]library.Span, 0, n)
	first := s.First
	for i := 1; i <= n; i++ {
		goal := all.First + all.Len()*i/n
		end := first + 1
		for end < s.End-(n-i) && m.Manifest.Shards[end-1].Layers.End < goal {
			end++
		}
		spans = append(spans, library.Span{First: first, End: end})
		first = end
	}
	return spans
}

// chooseContext finds the largest KV cache that is worth its memory: each request may use what the model was trained
// for, if memory allows.
func (m *residence) chooseContext(spec engine.Spec, ram int64, share float64) int {
	trained := m.Traits.Context
	if trained == 0 {
		trained = 4096
	}
	want := min(trained*spec.Sequences, maxContext)
	least := min(minContext, want)
	fit := m.Fit()
	if fit == nil {
		return min(want, 4096)
	}
	allowance := max(kvAllowance, m.Manifest.Size/2)
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
func (l *Memory) lookAtGPU(ctx context.Context) bool {
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
func (m *residence) chooseGPULayers(spec *engine.Spec, c config.Contribution, vram int64, share float64) int {
	fit := m.Fit()
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
func (m *residence) need(spec engine.Spec, gpuLayers int, share float64) hardware.Use {
	use := hardware.Use{RAM: m.Manifest.Size}
	if fit := m.Fit(); fit != nil {
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
func (p placement) window(m *residence, i int) engine.Spec {
	spec := p.spec
	spec.FirstShard, spec.EndShard = p.spans[i].First, p.spans[i].End
	if spec.GPULayers > 0 {
		spec.GPULayers = max(0, spec.GPULayers-(m.Layers(p.spans[i]).First-m.Layers(p.spans[0]).First))
	}
	return spec
}
