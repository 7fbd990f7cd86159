package memory

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
)

func TestDeleteAndRescan(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	ctx := t.Context()
	id, other := h.bring("m", 2), h.bring("other", 0)
	err := h.Load(ctx, id)
	must(t, err)
	must(t, h.lib.LockShard(ctx, id, 1, true))
	if !h.model(id).Shards[1].Locked {
		t.Error("the lock does not show")
	}
	wantCode(t, h.lib.DeleteShard(ctx, id, 0), core.CodeConflict)
	_, err = h.Unload(ctx, id)
	must(t, err)
	wantCode(t, h.lib.DeleteShard(ctx, id, 1), core.CodeConflict)
	must(t, h.lib.DeleteShard(ctx, id, 5))
	info := h.model(id)
	if info.Status != admin.StatusPartial || info.HostedShards != layers-1 || info.HasLastShard || info.GlobalAvailable {
		t.Errorf("after deleting a shard: %+v", info)
	}
	_, err = h.say("m")
	wantCode(t, err, core.CodeNotReady)
	_, err = h.LoadShard(ctx, id, 5)
	wantCode(t, err, core.CodeConflict)
	_, err = h.LoadShard(ctx, id, 2)
	must(t, err)

	must(t, os.Remove(filepath.Join(h.dir, "models", "other", "shard_000.bin")))
	found, err := h.lib.Rescan(ctx)
	must(t, err)
	if found.Status != "ok" || found.Count != 1 || !slices.Equal(found.ModelsUpdated, []string{"other"}) {
		t.Errorf("rescan: %+v", found)
	}
	must(t, os.RemoveAll(filepath.Join(h.dir, "models", "other")))
	found, err = h.lib.Rescan(ctx)
	must(t, err)
	if found.Count != 1 || len(h.lib.All()) != 1 {
		t.Errorf("rescan after the folder went: %+v", found)
	}
	wantCode(t, h.lib.DeleteModel(ctx, other), core.CodeNotFound)

	must(t, h.lib.DeleteModel(ctx, id))
	if _, err := os.Stat(filepath.Join(h.dir, "models", "m")); err == nil {
		t.Error("the folder of a deleted model stays")
	}
	if h.open() != 0 || len(h.lib.All()) != 0 {
		t.Errorf("after delete: %d windows, %d models", h.open(), len(h.lib.All()))
	}
	if locks, _ := h.cfg.Store.LockedShards(ctx, id); len(locks) != 0 {
		t.Errorf("locks of a deleted model stay: %v", locks)
	}
}

func TestRescanRefusesDamagedShards(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 0)
	path := filepath.Join(h.dir, "models", "m", "shard_002.bin")
	sound, err := os.ReadFile(path)
	must(t, err)
	rescan := func(data []byte, want int) {
		t.Helper()
		if data == nil {
			must(t, os.Remove(path))
		} else {
			must(t, os.WriteFile(path, data, 0o600))
		}
		_, err := h.lib.Rescan(t.Context())
		must(t, err)
		if n := h.model(id).HostedShards; n != want {
			t.Errorf("%d shards count as here, want %d", n, want)
		}
	}
	rescan(nil, layers-1)
	damaged := slices.Clone(sound)
	damaged[len(damaged)-1] ^= 1
	rescan(damaged, layers-1)
	rescan(sound, layers)
}

func TestRescanFindsAnotherModelInTheFolder(t *testing.T) {
	h, other := furnish(t, t.TempDir(), fake.Config{}), furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 0)
	err := h.Load(t.Context(), id)
	must(t, err)
	_, err = other.lib.Import(t.Context(), seededFile(t, "m", 2), 0, nil)
	must(t, err)
	folder := filepath.Join(h.dir, "models", "m")
	must(t, os.RemoveAll(folder))
	must(t, os.CopyFS(folder, os.DirFS(filepath.Join(other.dir, "models", "m"))))
	found, err := h.lib.Rescan(t.Context())
	must(t, err)
	if !slices.Equal(found.ModelsUpdated, []string{"m"}) || h.open() != 0 || h.model(id).Status != admin.StatusReady {
		t.Errorf("rescan: %+v, %d windows, %s", found, h.open(), h.model(id).Status)
	}
	if got, want := h.model(id).Shards[0].Hash, other.model(id).Shards[0].Hash; got != want {
		t.Errorf("the old model is still listed: hash %s, want %s", got, want)
	}
}

func TestQuota(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	h.change(func(s *config.Settings) { s.MaxDiskMB = 0 })
	_, err := h.lib.Import(t.Context(), modelFile(t, "m"), 0, nil)
	wantCode(t, err, core.CodeDiskFull)
	_, err = h.lib.Import(t.Context(), filepath.Join(t.TempDir(), "none.gguf"), 0, nil)
	wantCode(t, err, core.CodeNotFound)
}

func TestStorageAndProgress(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 0)
	must(t, h.lib.DeleteShard(t.Context(), id, 3))
	m, err := h.lib.Find(id)
	must(t, err)
	if s := h.Storage(m, Elsewhere{}); s.Ready != "incomplete" || s.LocalShards != layers-1 || s.AllShardsAvailable || s.LocalBytes < 1 ||
		h.lib.Usage() <= s.LocalBytes {
		t.Errorf("%+v", s)
	}
	p := h.Progress(id)
	if p.State != admin.StatusPartial || p.DownloadedShards != layers-1 || p.Progress <= 0 || p.Progress >= 1 {
		t.Errorf("%+v", p)
	}
	unknown, _ := core.ParseModelID("nobody")
	if p = h.Progress(unknown); p.State != "unknown" || p.ModelID != "nobody" {
		t.Errorf("%+v", p)
	}
}

func TestMetadata(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 0)
	md, err := h.lib.Metadata(t.Context(), id)
	must(t, err)
	if md.ModelID != "m" || md.General.Architecture != "llama" || !md.General.ArchitectureSupported || md.Model.BlockCount != layers ||
		md.Model.VocabSize != 512 || md.Tensors.Count == 0 || md.Tensors.DataOffset == 0 || md.General.Quantization != "F32" {
		t.Errorf("%+v", md)
	}
	keys := make([]string, len(md.Raw))
	for i, kv := range md.Raw {
		keys[i] = kv.Key
		if kv.Key == "tokenizer.ggml.tokens" {
			t.Error("the vocabulary is in the answer")
		}
	}
	if !slices.IsSorted(keys) || !slices.Contains(keys, "general.architecture") {
		t.Errorf("keys %v", keys)
	}
	must(t, os.Remove(filepath.Join(h.dir, "models", "m", "gguf_header.bin")))
	_, err = h.lib.Metadata(t.Context(), id)
	wantCode(t, err, core.CodeInvalidRequest)
}

func TestExportGivesTheFileBack(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	path := modelFile(t, "m")
	id, err := h.lib.Import(t.Context(), path, 0, nil)
	must(t, err)
	out := filepath.Join(t.TempDir(), "back.gguf")
	must(t, h.lib.Export(t.Context(), id, out, nil))
	want, _ := os.ReadFile(path)
	got, _ := os.ReadFile(out)
	if !slices.Equal(want, got) {
		t.Error("the exported file differs from the imported one")
	}
}

// TestDamagedWhileInMemory damages the folder of a model that is loaded, and imports the file again: the workers end before
// the folder goes.
func TestDamagedWhileInMemory(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	path := modelFile(t, "m")
	id, err := h.lib.Import(t.Context(), path, 0, nil)
	must(t, err)
	must(t, h.Load(t.Context(), id))
	must(t, os.WriteFile(filepath.Join(h.dir, "models", "m", "manifest.json"), []byte("{"), 0o600))
	_, err = h.lib.Import(t.Context(), path, 0, nil)
	must(t, err)
	if h.open() != 0 {
		t.Errorf("%d workers run on files that went", h.open())
	}
	if n, err := h.say("m"); n == 0 || err != nil {
		t.Errorf("after the import: %d tokens, %v", n, err)
	}
}

// TestDamagedModelSaysSo asks for a model whose folder could not be opened at the start.
func TestDamagedModelSaysSo(t *testing.T) {
	dir := t.TempDir()
	h := build(t, dir, fake.Config{})
	stop := h.run()
	id := h.bring("m", 0)
	stop()
	must(t, os.WriteFile(filepath.Join(dir, "models", "m", "manifest.json"), []byte("{"), 0o600))
	h = furnish(t, dir, fake.Config{})
	_, err := h.say("m")
	wantCode(t, err, core.CodeCorrupt)
	if p := h.Progress(id); p.State != admin.StatusDamaged || p.Message == "" {
		t.Errorf("progress: %+v", p)
	}
	_, _, err = h.Window(t.Context(), id, core.Digest{}, 0, 1, WindowOptions{})
	wantCode(t, err, core.CodeNotFound)
}
