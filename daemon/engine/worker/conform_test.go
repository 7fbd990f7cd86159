package worker_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest"
	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// cut imports a GGUF file with every layer in a shard of its own.
func cut(t testing.TB, path string) (dir string, shards int) {
	t.Helper()
	key, err := identity.Open(filepath.Join(t.TempDir(), "identity.key"))
	if err != nil {
		t.Fatal(err)
	}
	store := shard.NewStore(shard.Config{Dir: t.TempDir(), Key: key, Rule: shard.Rule{Number: 1, ShardSize: 1 << 20, MinShards: 64}})
	m, err := store.Import(context.Background(), shard.Import{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return m.Dir, len(m.Manifest.Shards)
}

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
	dir, shards := cut(t, shared(t, "models", "stories260K-f32.gguf"))
	enginetest.Run(t, enginetest.Config{
		Windows: []int{1, 2, 3},
		Open: func(t *testing.T, windows int, spec engine.Spec) []engine.Window {
			spec.Threads, spec.ModelDir, spec.ShareCPU = 1, dir, windows > 1
			return loadChain(t, e, windows, shards, spec)
		},
	})
}
