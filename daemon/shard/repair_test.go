package shard_test

import (
	"os"
	"slices"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWindowsLeaveTheStamp(t *testing.T) {
	m := importFile(t, newStore(t), model(t, gguftest.Config{}))
	before, err := m.Stamp(0)
	check(t, err)
	_, _, err = shard.PrepareWindow(m.Dir, 0, 1)
	check(t, err)
	_, _, err = shard.PrepareWindow(m.Dir, 0, len(m.Manifest.Shards))
	check(t, err)
	if after, err := m.Stamp(0); err != nil || after != before {
		t.Errorf("%+v became %+v, %v", before, after, err)
	}
	check(t, m.VerifyShardGently(t.Context(), 0))
}

// TestDemotedShardKeepsSoundChunks damages one chunk of several: only that one is missing for the next Writer.
func TestDemotedShardKeepsSoundChunks(t *testing.T) {
	m := importFile(t, newStore(t), model(t, gguftest.Config{Embedding: 512, FeedForward: 2048}))
	const damaged = 1
	if n := shard.Chunks(m.Manifest.Shards[0].Size); n < 3 {
		t.Fatalf("the shard has %d chunks", n)
	}
	good := readChunk(t, m, 0, damaged)
	tree, err := m.Tree(t.Context(), 0)
	check(t, err)
	before, err := m.Stamp(0)
	check(t, err)
	f, err := os.OpenFile(m.Path(0), os.O_RDWR, 0)
	check(t, err)
	bad := slices.Clone(good)
	bad[77] ^= 1
	_, err = f.WriteAt(bad, m.Manifest.Reserved+damaged*shard.ChunkSize)
	check(t, err)
	check(t, f.Close())
	if after, err := m.Stamp(0); err != nil || after == before {
		t.Errorf("the stamp stays %+v, %v", after, err)
	}
	if err := m.VerifyShardGently(t.Context(), 0); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("damaged shard: %v", err)
	}
	if tree.Sound(damaged, bad) || !tree.Sound(damaged, good) || tree.Sound(damaged-1, good) {
		t.Error("the tree cannot tell")
	}
	check(t, m.Demote(0))
	if m.Has(0) {
		t.Error("it is still there")
	}
	w, err := m.NewWriter(0)
	check(t, err)
	if got := w.Missing(); !slices.Equal(got, []int{damaged}) {
		t.Errorf("chunks %v are missing", got)
	}
	check(t, w.Write(damaged, good, tree.Proof(damaged)))
	check(t, w.Finish())
	check(t, m.VerifyShard(t.Context(), 0))
}
