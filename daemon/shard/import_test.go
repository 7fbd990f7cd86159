package shard_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

func small(arch string) gguftest.Config {
	return gguftest.Config{Arch: arch, Layers: 4, Embedding: 64, Heads: 2, FeedForward: 64}
}

func TestImportNeedsSpace(t *testing.T) {
	path := model(t, small("llama"))
	var need int64
	s := newStore(t, func(c *shard.Config) { c.Space = func(string) (int64, error) { return 1000, nil } })
	_, err := s.Import(context.Background(), shard.Import{Path: path})
	if core.CodeOf(err) != core.CodeDiskFull || !strings.Contains(err.Error(), "more bytes") {
		t.Fatalf("got %v", err)
	}
	if _, scanErr := s.Open(mustID(t, "tiny-llama")); core.CodeOf(scanErr) != core.CodeNotFound {
		t.Errorf("something was imported: %v", scanErr)
	}
	info, _ := os.Stat(path)
	need = info.Size() + 64<<20
	s = newStore(t, func(c *shard.Config) { c.Space = func(string) (int64, error) { return need, nil } })
	importFile(t, s, path)
}

func mustID(t *testing.T, s string) core.ModelID {
	t.Helper()
	id, err := core.ParseModelID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestImportTwice(t *testing.T) {
	path := model(t, small("llama"))
	s := newStore(t)
	first := importFile(t, s, path)
	again := importFile(t, s, path)
	if first.Manifest.Signature != again.Manifest.Signature {
		t.Error("the second import made a new manifest")
	}
	other := small("llama")
	other.Seed = 9
	otherPath := model(t, other)
	if _, err := s.Import(context.Background(), shard.Import{Path: otherPath}); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("another file under the same id: %v", err)
	}
	m, err := s.Import(context.Background(), shard.Import{Path: otherPath, ID: mustID(t, "other")})
	if err != nil || m.Manifest.ModelID.String() != "other" {
		t.Errorf("under an id of its own: %v", err)
	}
}

func TestImportBringsBackMissingShards(t *testing.T) {
	path := model(t, small("llama"))
	s := newStore(t)
	m := importFile(t, s, path)
	if err := m.DeleteShard(2); err != nil {
		t.Fatal(err)
	}
	if err := m.DeleteShard(2); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("deleted twice: %v", err)
	}
	if err := m.DeleteShard(99); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("deleted one that never was: %v", err)
	}
	if m.Complete() || len(m.Present()) != 3 {
		t.Errorf("present %v", m.Present())
	}
	if err := m.Export(context.Background(), filepath.Join(t.TempDir(), "x"), nil); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("export without a shard: %v", err)
	}
	if m = importFile(t, s, path); !m.Complete() {
		t.Errorf("present %v", m.Present())
	}
	if damaged, _ := m.Verify(context.Background(), nil); len(damaged) > 0 {
		t.Errorf("damaged %v", damaged)
	}
}

func TestImportRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole, err := os.ReadFile(model(t, small("llama")))
	if err != nil {
		t.Fatal(err)
	}
	part := &gguf.File{Version: 3}
	part.Set("general.architecture", "llama")
	part.Set("llama.block_count", uint32(4))
	part.Set("split.count", uint16(3))
	partial, _ := gguf.Marshal(part)
	part.Set("split.count", uint16(1))
	part.Set("llama.block_count", uint32(0))
	encoder, _ := gguf.Marshal(part)
	for path, want := range map[string]core.Code{
		filepath.Join(dir, "missing.gguf"):  core.CodeNotFound,
		dir:                                 core.CodeInvalidRequest,
		write("empty.gguf", nil):            core.CodeCorrupt,
		write("text.gguf", []byte("hello")): core.CodeCorrupt,
		write("cut.gguf", whole[:len(whole)-1000]): core.CodeCorrupt,
		write("split.gguf", partial):               core.CodeUnsupported,
		write("mmproj.gguf", encoder):              core.CodeUnsupported,
		write("...", whole):                        core.CodeInvalidRequest,
		write("con.gguf", whole):                   core.CodeInvalidRequest,
		write("bigendian.gguf", append([]byte("GGUF"), binary.BigEndian.AppendUint32(nil, 3)...)): core.CodeUnsupported,
	} {
		if _, err := newStore(t).Import(context.Background(), shard.Import{Path: path}); core.CodeOf(err) != want {
			t.Errorf("%s: %v, want %s", filepath.Base(path), err, want)
		}
	}
}

func TestImportStops(t *testing.T) {
	path := model(t, gguftest.Config{Arch: "llama"})
	s := newStore(t)
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	_, err := s.Import(ctx, shard.Import{Path: path, Progress: func(done, total int64) {
		if calls++; calls == 5 {
			cancel()
		}
		if done > total || done <= 0 {
			t.Errorf("progress %d of %d", done, total)
		}
	}})
	if core.CodeOf(err) != core.CodeCancelled || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if models, problems, err := s.Scan(); len(models)+len(problems) > 0 || err != nil {
		t.Errorf("scan finds %d models, %v %v", len(models), problems, err)
	}
	var last, total int64
	_, err = s.Import(context.Background(), shard.Import{Path: path, Progress: func(d, n int64) { last, total = d, n }})
	if err != nil || last != total {
		t.Errorf("progress ended at %d of %d: %v", last, total, err)
	}
}

// TestImportOfChangedFile starts over when the file is not the one of the stopped import.
func TestImportOfChangedFile(t *testing.T) {
	path := model(t, gguftest.Config{Arch: "llama"})
	s := newStore(t)
	ctx, cancel := context.WithCancel(context.Background())
	_, _ = s.Import(ctx, shard.Import{Path: path, Progress: func(d, total int64) {
		if d > total/2 {
			cancel()
		}
	}})
	if err := gguftest.WriteFile(path, gguftest.Config{Arch: "llama", Seed: 5}); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
	m := importFile(t, s, path)
	out := filepath.Join(t.TempDir(), "out.gguf")
	if err := m.Export(context.Background(), out, nil); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, path, out)
}

// TestFileThatChangesMeanwhile is noticed, and nothing is imported.
func TestFileThatChangesMeanwhile(t *testing.T) {
	path := model(t, gguftest.Config{Arch: "llama"})
	s := newStore(t)
	_, err := s.Import(context.Background(), shard.Import{Path: path, Progress: func(int64, int64) {
		later := time.Now().Add(time.Hour)
		if err := os.Chtimes(path, later, later); err != nil {
			t.Error(err)
		}
	}})
	if core.CodeOf(err) != core.CodeConflict {
		t.Errorf("got %v", err)
	}
}

// TestOneImportAtATime starts a second import of the same model from within the first.
func TestOneImportAtATime(t *testing.T) {
	path := model(t, small("llama"))
	s := newStore(t)
	var second error
	_, err := s.Import(context.Background(), shard.Import{Path: path, Progress: func(int64, int64) {
		if second == nil {
			_, second = s.Import(context.Background(), shard.Import{Path: path})
		}
	}})
	if err != nil || core.CodeOf(second) != core.CodeConflict {
		t.Errorf("first %v, second %v", err, second)
	}
}

// TestGaps has bytes between tensors and behind the last one that must come back.
func TestGaps(t *testing.T) {
	path := model(t, small("llama"))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := &gguf.File{Version: 3}
	f.Set("general.architecture", "llama")
	f.Set("llama.block_count", uint32(1))
	f.Tensors = []gguf.Tensor{
		{Name: "token_embd.weight", Dims: []int64{3, 5}, Type: gguf.F32, Offset: 0},
		{Name: "blk.0.a", Dims: []int64{5}, Type: gguf.F32, Offset: 4096},
		{Name: "blk.0.b", Dims: []int64{0}, Type: gguf.F32, Offset: 4128},
	}
	header, err := gguf.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	odd := append(header, data[len(data)-10000:]...) // nothing but noise behind the header
	oddPath := filepath.Join(t.TempDir(), "odd.gguf")
	if err := os.WriteFile(oddPath, odd, 0o600); err != nil {
		t.Fatal(err)
	}
	m := importFile(t, newStore(t), oddPath)
	out := filepath.Join(t.TempDir(), "out.gguf")
	if err := m.Export(context.Background(), out, nil); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, oddPath, out)

	huge := filepath.Join(t.TempDir(), "huge.gguf")
	if err := os.WriteFile(huge, append(header, bytesOf(3<<20, 1)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newStore(t).Import(context.Background(), shard.Import{Path: huge}); core.CodeOf(err) != core.CodeUnsupported {
		t.Errorf("3 MiB that belong to no tensor: %v", err)
	}
}

func TestScanAndDelete(t *testing.T) {
	s := newStore(t)
	if models, problems, err := s.Scan(); len(models)+len(problems) > 0 || err != nil {
		t.Errorf("an empty store has %v %v %v", models, problems, err)
	}
	for _, arch := range []string{"llama", "qwen2", "qwen3"} {
		importFile(t, s, model(t, small(arch)))
	}
	flip(t, filepath.Join(s.ModelDir(mustID(t, "tiny-qwen2")), shard.HeaderFile), 40)
	models, problems, err := s.Scan()
	if err != nil || len(models) != 2 || len(problems) != 1 || problems[0].ID.String() != "tiny-qwen2" || core.CodeOf(problems[0].Err) != core.CodeCorrupt {
		t.Errorf("%d models, problems %v, %v", len(models), problems, err)
	}
	if m, err := s.Import(context.Background(), shard.Import{Path: model(t, small("qwen2"))}); err != nil || !m.Complete() {
		t.Errorf("import over a damaged model: %v", err)
	}
	for _, id := range []string{"tiny-llama", "tiny-qwen2"} {
		if err := s.Delete(mustID(t, id)); err != nil {
			t.Error(err)
		}
	}
	if err := s.Delete(mustID(t, "tiny-llama")); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("deleted twice: %v", err)
	}
	if models, problems, _ := s.Scan(); len(models) != 1 || len(problems) != 0 {
		t.Errorf("%d models, problems %v", len(models), problems)
	}
	if err := os.Mkdir(filepath.Join(filepath.Dir(s.ModelDir(mustID(t, "x"))), ".trash-x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Clean(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(s.ModelDir(mustID(t, "x"))), ".trash-*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
