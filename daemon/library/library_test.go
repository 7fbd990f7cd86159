package library

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/event"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/store"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

// nothing is a memory with nothing in it.
type nothing struct{}

func (nothing) Stop(*Model)                        {}
func (nothing) InUse(*Model, int) error            { return nil }
func (nothing) FreeShard(*Model, int)              {}
func (nothing) Free(context.Context, *Model) error { return nil }
func (nothing) Forget(*Model)                      {}

// furnish makes a library in dir, of which nothing is in memory.
func furnish(t *testing.T, dir string) *Library {
	t.Helper()
	key, err := identity.Open(filepath.Join(dir, "identity.key"))
	must(t, err)
	db, err := store.Open(t.Context(), filepath.Join(dir, "shoal.db"))
	must(t, err)
	t.Cleanup(func() { db.Close() })
	l := New(Config{
		Dir: filepath.Join(dir, "models"), Store: db, Settings: config.Default, Key: key, Events: &event.Bus{},
		Log: slog.New(slog.DiscardHandler),
	})
	l.Attach(nothing{})
	must(t, l.Scan(t.Context()))
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// file writes a generated model that change has changed.
func file(t *testing.T, name string, change func(*gguftest.Model)) string {
	t.Helper()
	m, err := gguftest.New(gguftest.Config{Name: name, Layers: 2})
	must(t, err)
	change(m)
	path := filepath.Join(t.TempDir(), name+".gguf")
	must(t, m.WriteFile(path))
	return path
}

func unchanged(*gguftest.Model) {}

// TestLargeHeaderIsReadOnce asks for the metadata of a model with a header of 56 MiB many times at once.
func TestLargeHeaderIsReadOnce(t *testing.T) {
	l := furnish(t, t.TempDir())
	id, err := l.Import(t.Context(), file(t, "m", func(m *gguftest.Model) {
		m.File.Set("tokenizer.ggml.merges", large())
	}), 0, nil)
	must(t, err)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	var asking sync.WaitGroup
	for range 40 {
		asking.Go(func() {
			if md, err := l.Metadata(t.Context(), id); err != nil || md.Model.BlockCount != 2 {
				t.Errorf("%+v, %v", md, err)
			}
		})
	}
	asking.Wait()
	runtime.ReadMemStats(&after)
	took, allocated := time.Since(start), (after.TotalAlloc-before.TotalAlloc)>>20
	t.Logf("40 requests took %v and %d MiB of memory in all", took, allocated)
	if allocated > 800 { // two readers, of 200 MiB each; forty would take 8 GiB
		t.Errorf("40 requests took %d MiB of memory", allocated)
	}
	stale, err := l.Find(id)
	must(t, err)
	now := time.Now().Add(time.Hour)
	must(t, os.Chtimes(filepath.Join(stale.Dir, "gguf_header.bin"), now, now))
	if _, kept := stale.described(); kept {
		t.Error("the answer outlives a change of the file")
	}
}

// large is a list of texts of 56 MiB.
func large() []string {
	list := make([]string, 1<<20)
	for i := range list {
		list[i] = strings.Repeat("x", 45)
	}
	return list
}

func TestDamagedModelIsListedReplacedAndDeleted(t *testing.T) {
	dir := t.TempDir()
	l := furnish(t, dir)
	path := file(t, "m", unchanged)
	id, err := l.Import(t.Context(), path, 0, nil)
	must(t, err)
	manifest := filepath.Join(dir, "models", "m", "manifest.json")
	damage := func() {
		t.Helper()
		must(t, os.WriteFile(manifest, []byte("{"), 0o600))
		_, err := l.Rescan(t.Context())
		must(t, err)
	}
	l = furnish(t, t.TempDir())
	l.disk = shard.NewStore(shard.Config{Dir: filepath.Join(dir, "models"), Key: l.cfg.Key})
	damage()
	if list := l.Damaged(); len(list) != 1 || list[0].ID != id || list[0].Reason == "" {
		t.Fatalf("damaged: %+v", list)
	}
	_, err = l.Import(t.Context(), path, 0, nil)
	must(t, err)
	if m, err := l.Find(id); err != nil || len(m.Missing(m.Whole())) > 0 || len(l.Damaged()) > 0 {
		t.Errorf("after importing it again: %v, %+v", err, l.Damaged())
	}
	l = furnish(t, t.TempDir())
	l.disk = shard.NewStore(shard.Config{Dir: filepath.Join(dir, "models"), Key: l.cfg.Key})
	damage()
	must(t, l.DeleteModel(t.Context(), id))
	if _, err := os.Stat(filepath.Dir(manifest)); !os.IsNotExist(err) || len(l.Damaged()) > 0 {
		t.Errorf("after deleting it: %v, %+v", err, l.Damaged())
	}
	if err := l.DeleteModel(t.Context(), id); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("deleted twice: %v", err)
	}
}

func TestNameIsPlain(t *testing.T) {
	l := furnish(t, t.TempDir())
	id, err := l.Import(t.Context(), file(t, "m", func(m *gguftest.Model) {
		m.File.Set("general.name", "a\x1b[31m\nb\u202ec"+strings.Repeat("d", 900))
	}), 0, nil)
	must(t, err)
	m, err := l.Find(id)
	must(t, err)
	if name := m.Name(); !strings.HasPrefix(name, "a[31mbcd") || len(name) != maxName {
		t.Errorf("%q", name)
	}
}

// TestArrivingShardReadsNoHeader takes the header away: whoever reads it again fails.
func TestArrivingShardReadsNoHeader(t *testing.T) {
	l := furnish(t, t.TempDir())
	id, err := l.Import(t.Context(), file(t, "m", unchanged), 0, nil)
	must(t, err)
	m, err := l.Find(id)
	must(t, err)
	path := m.files().Path(1)
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, l.DeleteShard(t.Context(), id, 1))
	if err := l.Arrived(t.Context(), id, 1); core.CodeOf(err) != core.CodeNotFound || l.HasShard(id, 1) {
		t.Errorf("a shard that is not there: %v", err)
	}
	must(t, os.WriteFile(path, data, 0o600))
	must(t, os.Remove(filepath.Join(m.Dir, "gguf_header.bin")))
	must(t, l.Arrived(t.Context(), id, 1))
	if !l.HasShard(id, 1) || !l.Sound(t.Context(), id, 1) {
		t.Error("the shard is not there, or does not count as sound")
	}
}

// TestVocabulariesAreComparedOnce asks again after the header is gone: the answer is kept only while the files are there.
func TestVocabulariesAreComparedOnce(t *testing.T) {
	l := furnish(t, t.TempDir())
	large := func(m *gguftest.Model) { m.File.Set("tokenizer.ggml.merges", large()) }
	a, err := l.Import(t.Context(), file(t, "a", large), 0, nil)
	must(t, err)
	b, err := l.Import(t.Context(), file(t, "b", unchanged), 0, nil)
	must(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		must(t, l.SameVocabulary(a, b))
	}
	runtime.ReadMemStats(&after)
	if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; allocated > 500 {
		t.Errorf("10 comparisons took %d MiB of memory", allocated)
	}
}
