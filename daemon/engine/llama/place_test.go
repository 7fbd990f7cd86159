package llama

import (
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

func TestPlace(t *testing.T) {
	const gib = 1 << 30
	p := &plan{layers: core.LayerRange{First: 4, End: 14}, bytes: 10 * gib, cacheRow: 1 << 10}
	gpu := func(free int64) []engine.Device {
		return []engine.Device{{Name: "CPU", FreeBytes: 64 * gib}, {Name: "GPU", GPU: true, FreeBytes: free, TotalBytes: 24 * gib}}
	}
	for _, c := range []struct {
		name    string
		ask     int
		devices []engine.Device
		want    int
		reason  bool
	}{
		{"off", 0, gpu(24 * gib), 0, true},
		{"no GPU", -1, gpu(0)[:1], 0, true},
		{"plenty", -1, gpu(24 * gib), 10, false},
		{"half", -1, gpu(6 * gib), 5, true},
		{"none fits", -1, gpu(gib), 0, true},
		{"full GPU", -1, gpu(0), 0, true},
		{"asked for three", 3, gpu(gib), 3, true},
		{"asked for more than all", 99, gpu(gib), 10, false},
		{"two GPUs", -1, append(gpu(6*gib), gpu(6 * gib)[1]), 10, false},
	} {
		got, reason := place(p, engine.Spec{GPULayers: c.ask, Context: 4096}, c.devices)
		if got != c.want || (reason != "") != c.reason {
			t.Errorf("%s: %d layers, %q; want %d", c.name, got, reason, c.want)
		}
	}
	if gpuParam(10, 10) != 11 || gpuParam(9, 10) != 9 || gpuParam(0, 10) != 0 {
		t.Error("the output goes to the GPU with all layers, and only then")
	}
}

func TestLargest(t *testing.T) {
	logits := []float32{1, 5, 3, 5, -2}
	for n, want := range [][]int32{{}, {1}, {1, 3}, {1, 3, 2}, {1, 3, 2, 0}, {1, 3, 2, 0, 4}, {1, 3, 2, 0, 4}} {
		got := largest(logits, n)
		if len(got) != len(want) {
			t.Fatalf("%d: %v, want %v", n, got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%d: %v, want %v", n, got, want)
			}
		}
	}
}
