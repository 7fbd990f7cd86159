package worker_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest/real"
	"github.com/shoal-p2p/shoal/daemon/engine/worker"
)

// vulkanDir is a folder with the Vulkan flavour of the libraries, named by SHOAL_RUNTIME_VULKAN or installed beside
// the plain one. The test is skipped where there is none. Mesa's lavapipe is GPU enough.
func vulkanDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SHOAL_RUNTIME_VULKAN")
	if dir == "" {
		dir = filepath.Join(filepath.Dir(real.Runtime(t)), "llama.cpp-v0.5.0-linux-x64-vulkan")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no Vulkan libraries: set SHOAL_RUNTIME_VULKAN")
	}
	return dir
}

func TestVulkan(t *testing.T) {
	e := worker.New(worker.Config{
		Program: os.Args[0], Env: []string{actAs + "=llama", "GGML_VK_VISIBLE_DEVICES=0"},
		Runtime: vulkanDir(t), Log: slog.New(slog.DiscardHandler),
	})
	info, err := e.Info(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", info)
	if info.Flavour != "vulkan" {
		t.Errorf("flavour %q", info.Flavour)
	}
	if len(info.Devices) < 2 || !info.Devices[0].GPU && !info.Devices[1].GPU {
		t.Skip("no Vulkan device")
	}
	path, _ := real.Model(t)
	dir, shards := real.Cut(t, path)
	want := story(t, loadChain(t, newEngine(t, "llama"), 1, shards, engine.Spec{ModelDir: dir, Context: 512, Sequences: 2, BatchRows: 64, Threads: 1}))
	for windows := 1; windows <= 2; windows++ {
		chain := loadChain(t, e, windows, shards, engine.Spec{ModelDir: dir, Context: 512, Sequences: 2, BatchRows: 64, Threads: 1, GPULayers: -1})
		for _, w := range chain {
			if s := w.Shape(); s.GPULayers != s.Layers.Len() || s.Placement != "" {
				t.Errorf("%d of %d layers on the GPU: %s", s.GPULayers, s.Layers.Len(), s.Placement)
			}
		}
		if got := story(t, chain); got != want {
			t.Errorf("%d windows on the GPU tell %q, the CPU %q", windows, got, want)
		}
	}
	part := load(t, e, engine.Spec{ModelDir: dir, EndShard: shards, Context: 512, Sequences: 2, BatchRows: 64, Threads: 1, GPULayers: 2})
	if s := part.Shape(); s.GPULayers != 2 || s.Placement == "" {
		t.Errorf("%+v", s)
	}
	if got := story(t, []engine.Window{part}); got != want {
		t.Errorf("with 2 layers on the GPU %q, on the CPU %q", got, want)
	}
}
