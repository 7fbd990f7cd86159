package llama

import (
	"fmt"

	"github.com/shoal-p2p/shoal/daemon/engine"
)

// gpuReserve is left free on each GPU for compute buffers and for what else draws on the screen, in bytes.
const gpuReserve = 768 << 20

// place decides how many of the window's layers go on a GPU, and says why if not all do.
func place(p *plan, spec engine.Spec, list []engine.Device) (layers int, reason string) {
	all := p.layers.Len()
	var free int64
	gpus := 0
	for _, d := range list {
		if d.GPU {
			gpus++
			free += max(d.FreeBytes-min(gpuReserve, d.TotalBytes/4), 0)
		}
	}
	switch {
	case spec.GPULayers == 0:
		return 0, "GPU use is off"
	case gpus == 0:
		return 0, "no GPU in sight of the runtime"
	case spec.GPULayers > 0 && spec.GPULayers < all:
		return spec.GPULayers, fmt.Sprintf("%d of %d layers were asked for", spec.GPULayers, all)
	case spec.GPULayers > 0:
		return all, ""
	}
	each := p.bytes/int64(max(all, 1)) + p.cacheRow*int64(spec.Context)
	fit := int(min(free/max(each, 1), int64(all)))
	if fit < all {
		return fit, fmt.Sprintf("%d MiB of free GPU memory hold %d of %d layers of %d MiB", free>>20, fit, all, each>>20)
	}
	return all, ""
}

// gpuParam is llama.cpp's n_gpu_layers: with all layers the output goes along.
func gpuParam(layers, all int) int32 {
	if layers == all {
		return int32(all) + 1
	}
	return int32(layers)
}
