package shard_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// parcel is what a peer sends of a model before its shards.
func parcel(t *testing.T, m *shard.Model) (manifest, header []byte) {
	t.Helper()
	manifest, err := m.Manifest.Encode()
	if err != nil {
		t.Fatal(err)
	}
	header, err = os.ReadFile(filepath.Join(m.Dir, shard.HeaderFile))
	if err != nil {
		t.Fatal(err)
	}
	return manifest, header
}

func TestDigestIsOfTheCutNotItsPublisher(t *testing.T) {
	path := model(t, gguftest.Config{Arch: "llama"})
	digest := func(m *shard.Model) core.Digest {
		d, err := m.Manifest.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a := digest(importFile(t, newStore(t), path))
	other := func(c *shard.Config) { c.Now = func() time.Time { return time.Unix(1e9, 0) } }
	if digest(importFile(t, newStore(t, other), path)) != a {
		t.Error("another time gives another digest")
	}
	if digest(importFile(t, newStore(t, func(c *shard.Config) { c.Rule = shard.Rule{Number: 1, ShardSize: 1 << 20, MinShards: 1} }), path)) == a {
		t.Error("another cut has the same digest")
	}
}

func TestAdopt(t *testing.T) {
	source := importFile(t, newStore(t), model(t, gguftest.Config{Arch: "llama"}))
	manifest, header := parcel(t, source)
	s := newStore(t)
	m, err := s.Adopt(manifest, header)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Adopt(manifest, header); err != nil || again.Dir != m.Dir || len(again.Present()) != 0 {
		t.Errorf("a second time: %v", err)
	}
	if _, err := s.Open(m.Manifest.ModelID); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(a, b []byte) ([]byte, []byte){
		"signature": func(a, b []byte) ([]byte, []byte) {
			return bytes.Replace(a, []byte(`"time": "2026`), []byte(`"time": "2027`), 1), b
		},
		"header": func(a, b []byte) ([]byte, []byte) { b = slices.Clone(b); b[len(b)/2] ^= 1; return a, b },
		"short":  func(a, b []byte) ([]byte, []byte) { return a, b[1:] },
	} {
		empty := newStore(t)
		if _, err := empty.Adopt(change(manifest, header)); core.CodeOf(err) != core.CodeCorrupt {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(empty.ModelDir(m.Manifest.ModelID)); err == nil {
			t.Errorf("%s: a folder was made", name)
		}
	}
	other := importFile(t, newStore(t, func(c *shard.Config) { c.Rule = shard.Rule{Number: 1, ShardSize: 1 << 20, MinShards: 1} }), model(t, gguftest.Config{Arch: "llama"}))
	if _, err := s.Adopt(parcel(t, other)); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("another cut: %v", err)
	}
}

// chunkAndProof reads a chunk and its proof.
func chunkAndProof(t *testing.T, m *shard.Model, index, chunk int) ([]byte, []core.Digest) {
	t.Helper()
	tree, err := m.Tree(context.Background(), index)
	if err != nil {
		t.Fatal(err)
	}
	size := m.Manifest.Shards[index].Size
	data := make([]byte, min(shard.ChunkSize, size-int64(chunk)*shard.ChunkSize))
	if _, err := m.ReadAt(index, data, int64(chunk)*shard.ChunkSize); err != nil {
		t.Fatal(err)
	}
	return data, tree.Proof(chunk)
}

// TestKilledWriterLosesNothing leaves a Writer without closing it, as a process that is killed does.
func TestKilledWriterLosesNothing(t *testing.T) {
	source := importFile(t, newStore(t), model(t, gguftest.Config{Arch: "llama", Embedding: 1024, FeedForward: 2048}))
	size := source.Manifest.Shards[0].Size
	if shard.Chunks(size) < 4 {
		t.Fatalf("the shard has %d bytes only", size)
	}
	m, err := newStore(t).Adopt(parcel(t, source))
	if err != nil {
		t.Fatal(err)
	}
	w, err := m.NewWriter(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 2, 3} {
		data, proof := chunkAndProof(t, source, 0, i)
		if err := w.Write(i, data, proof); err != nil {
			t.Fatal(err)
		}
	}
	// The power went: one chunk is listed, but its bytes never came to the disk.
	flip(t, m.Path(0)+".part", m.Manifest.Reserved+3*shard.ChunkSize+5)
	w, err = m.NewWriter(0)
	if err != nil {
		t.Fatal(err)
	}
	if !w.Has(0) || !w.Has(2) || w.Has(1) || w.Has(3) || w.Written() != 2*shard.ChunkSize {
		t.Errorf("missing %v, written %d; want all but 0 and 2", w.Missing(), w.Written())
	}
	for _, i := range w.Missing() {
		data, proof := chunkAndProof(t, source, 0, i)
		if err := w.Write(i, data, proof); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := m.VerifyShard(context.Background(), 0); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(m.Path(0) + ".part*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDropPart(t *testing.T) {
	source := importFile(t, newStore(t), model(t, gguftest.Config{Arch: "llama"}))
	m, err := newStore(t).Adopt(parcel(t, source))
	if err != nil {
		t.Fatal(err)
	}
	w, err := m.NewWriter(1)
	if err != nil {
		t.Fatal(err)
	}
	data, proof := chunkAndProof(t, source, 1, 0)
	if err := w.Write(0, data, proof); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.DropPart(1); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(m.Path(1) + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := m.DropPart(99); core.CodeOf(err) != core.CodeNotFound {
		t.Error(err)
	}
}
