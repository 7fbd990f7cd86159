package shard_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// TestFlippedBitIsFound flips one bit in each region of each file.
func TestFlippedBitIsFound(t *testing.T) {
	m := importFile(t, newStore(t), model(t, gguftest.Config{Arch: "llama", Layers: 3}))
	ctx := context.Background()
	for i, s := range m.Manifest.Shards {
		for _, off := range []int64{0, 1, s.Size / 3, 1<<20 - 1, 1 << 20, s.Size - 40, s.Size - 1} {
			flip(t, m.Path(i), m.Manifest.Reserved+off)
			damaged, err := m.Verify(ctx, nil)
			if err != nil || !slices.Equal(damaged, []int{i}) {
				t.Errorf("bit at %d of shard %d: damaged %v, %v", off, i, damaged, err)
			}
			if err := m.VerifyShard(ctx, i); core.CodeOf(err) != core.CodeCorrupt {
				t.Errorf("bit at %d of shard %d: %v", off, i, err)
			}
			flip(t, m.Path(i), m.Manifest.Reserved+off)
		}
	}
	for _, name := range []string{shard.HeaderFile, shard.ManifestFile} {
		path := filepath.Join(m.Dir, name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, off := range []int64{0, 30, info.Size() / 2, info.Size() - 40} {
			flip(t, path, off)
			if _, err := shard.Open(m.Dir); err == nil {
				t.Errorf("bit at %d of %s was not found", off, name)
			}
			flip(t, path, off)
		}
	}
	if _, err := shard.Open(m.Dir); err != nil {
		t.Error(err)
	}
}

func TestVerifyOfShortAndMissingShards(t *testing.T) {
	m := importFile(t, newStore(t), model(t, gguftest.Config{Arch: "llama", Layers: 3}))
	if err := os.Truncate(m.Path(1), m.Manifest.Reserved+10); err != nil {
		t.Fatal(err)
	}
	if err := m.DeleteShard(2); err != nil {
		t.Fatal(err)
	}
	var last, total int64
	damaged, err := m.Verify(context.Background(), func(d, n int64) { last, total = d, n })
	if err != nil || !slices.Equal(damaged, []int{1}) || m.Has(1) {
		t.Errorf("damaged %v, %v", damaged, err)
	}
	if last == 0 || last > total {
		t.Errorf("progress %d of %d", last, total)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Verify(ctx, nil); core.CodeOf(err) != core.CodeCancelled {
		t.Errorf("cancelled: %v", err)
	}
}

// TestExportOfDamagedModel leaves no file.
func TestExportOfDamagedModel(t *testing.T) {
	m := importFile(t, newStore(t), model(t, gguftest.Config{Arch: "llama", Layers: 3}))
	flip(t, m.Path(1), m.Manifest.Reserved+500)
	dir := t.TempDir()
	if err := m.Export(context.Background(), filepath.Join(dir, "out.gguf"), nil); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestTreeIsMadeAgain(t *testing.T) {
	m := importFile(t, newStore(t), model(t, gguftest.Config{Arch: "llama", Layers: 3}))
	path := filepath.Join(m.Dir, "shard_000.tree")
	for name, spoil := range map[string]func(){
		"missing": func() { _ = os.Remove(path) },
		"short":   func() { _ = os.Truncate(path, 7) },
		"flipped": func() { flip(t, path, 3) },
		"sound":   func() {},
	} {
		spoil()
		tree, err := m.Tree(context.Background(), 0)
		if err != nil || tree.Root() != m.Manifest.Shards[0].Hash {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() == 7 {
			t.Errorf("%s: not written again: %v", name, err)
		}
	}
}

// TestWriter moves a model's shards from one folder to another in chunks, as peers do.
func TestWriter(t *testing.T) {
	from := importFile(t, newStore(t), model(t, gguftest.Config{Arch: "llama", Layers: 3}))
	to := emptyCopy(t, from)
	ctx := context.Background()
	for i, s := range from.Manifest.Shards {
		tree, err := from.Tree(ctx, i)
		if err != nil {
			t.Fatal(err)
		}
		w, err := to.NewWriter(i)
		if err != nil {
			t.Fatal(err)
		}
		count := shard.Chunks(s.Size)
		for c := count - 1; c >= 0; c-- {
			if c == count/2 { // the process ends here and starts again
				if err := w.Finish(); core.CodeOf(err) != core.CodeNotReady {
					t.Errorf("finished with chunks missing: %v", err)
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				if w, err = to.NewWriter(i); err != nil {
					t.Fatal(err)
				}
				if got := len(w.Missing()); got != c+1 || !w.Has(count-1) && c != count-1 {
					t.Errorf("%d chunks missing after a restart, want %d", got, c+1)
				}
			}
			data := readChunk(t, from, i, c)
			data[7] ^= 1
			if err := w.Write(c, data, tree.Proof(c)); core.CodeOf(err) != core.CodeCorrupt || w.Has(c) {
				t.Errorf("bad chunk: %v", err)
			}
			data[7] ^= 1
			for range 2 { // the second time it is there already
				if err := w.Write(c, data, tree.Proof(c)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if to.Has(i) {
			t.Error("the shard has its name before it is finished")
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		if _, err := to.NewWriter(i); core.CodeOf(err) != core.CodeConflict {
			t.Errorf("writer for a shard that is here: %v", err)
		}
		sameFiles(t, from.Path(i), to.Path(i))
	}
	if left, _ := filepath.Glob(filepath.Join(to.Dir, "*.part*")); len(left) > 0 || !to.Complete() {
		t.Errorf("left %v", left)
	}
	if _, err := to.NewWriter(99); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("writer for shard 99: %v", err)
	}
}

// TestWriterStartsOver when the partial file or its list of chunks is not what it should be.
func TestWriterStartsOver(t *testing.T) {
	from := importFile(t, newStore(t), model(t, gguftest.Config{Arch: "llama", Layers: 3}))
	tree, err := from.Tree(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(part string){
		"no list":        func(part string) { _ = os.Remove(part + ".have") },
		"short list":     func(part string) { _ = os.Truncate(part+".have", 40) },
		"other shard":    func(part string) { flip(t, part+".have", 0) },
		"short data":     func(part string) { _ = os.Truncate(part, 100) },
		"nothing at all": func(part string) { _ = os.Remove(part) },
	} {
		to := emptyCopy(t, from)
		w, err := to.NewWriter(0)
		if err != nil {
			t.Fatal(err)
		}
		all := len(w.Missing())
		if err := w.Write(0, readChunk(t, from, 0, 0), tree.Proof(0)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		spoil(to.Path(0) + ".part")
		_ = os.Remove(to.Path(0) + ".part.log")
		if w, err = to.NewWriter(0); err != nil {
			t.Fatal(err)
		}
		if len(w.Missing()) != all {
			t.Errorf("%s: %d of %d chunks missing", name, len(w.Missing()), all)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

// emptyCopy is the folder of a model of which nothing but the manifest and the header is there.
func emptyCopy(t *testing.T, m *shard.Model) *shard.Model {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{shard.ManifestFile, shard.HeaderFile} {
		b, err := os.ReadFile(filepath.Join(m.Dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c, err := shard.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func readChunk(t *testing.T, m *shard.Model, index, chunk int) []byte {
	t.Helper()
	size := m.Manifest.Shards[index].Size
	off := int64(chunk) * shard.ChunkSize
	b := make([]byte, min(shard.ChunkSize, size-off))
	if _, err := m.ReadAt(index, b, off); err != nil {
		t.Fatal(err)
	}
	return b
}
