package worker_test

import (
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest/real"
)

// loadChain loads the shards in dir as windows of about the same size.
func loadChain(t testing.TB, e engine.Engine, windows, shards int, spec engine.Spec) []engine.Window {
	t.Helper()
	var list []engine.Window
	for i := range windows {
		spec.FirstShard, spec.EndShard = i*shards/windows, (i+1)*shards/windows
		list = append(list, load(t, e, spec))
	}
	return list
}

func TestWindowsKeepTheContract(t *testing.T) {
	e := newEngine(t, "llama")
	path, _ := real.Model(t)
	dir, shards := real.Cut(t, path)
	enginetest.Run(t, enginetest.Config{
		Windows: []int{1, 2, 3},
		Open: func(t *testing.T, windows int, spec engine.Spec) []engine.Window {
			spec.Threads, spec.ModelDir, spec.ShareCPU = 1, dir, windows > 1
			return loadChain(t, e, windows, shards, spec)
		},
	})
}
