package store

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func openNew(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "a b%20?c.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func modelID(t *testing.T, s string) core.ModelID {
	t.Helper()
	id, err := core.ParseModelID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLocks(t *testing.T) {
	s, ctx, id := openNew(t), t.Context(), modelID(t, "m")
	must(t, s.LockShard(ctx, id, 3, true))
	must(t, s.LockShard(ctx, id, 1, true))
	must(t, s.LockShard(ctx, id, 1, true))
	must(t, s.LockShard(ctx, modelID(t, "other"), 9, true))
	must(t, s.LockShard(ctx, id, 3, false))
	must(t, s.LockShard(ctx, id, 7, false))
	got, err := s.LockedShards(ctx, id)
	if err != nil || !slices.Equal(got, []int{1}) {
		t.Errorf("locked %v, %v; want shard 1", got, err)
	}
}

func TestWindowsAndValues(t *testing.T) {
	s, ctx, id := openNew(t), t.Context(), modelID(t, "m")
	if n, err := s.Windows(ctx, id); n != 0 || err != nil {
		t.Errorf("unset windows: %d, %v", n, err)
	}
	must(t, s.SetWindows(ctx, id, 2))
	must(t, s.SetWindows(ctx, id, 3))
	if n, err := s.Windows(ctx, id); n != 3 || err != nil {
		t.Errorf("windows %d, %v; want 3", n, err)
	}
	if err := s.SetWindows(ctx, id, 0); err == nil {
		t.Error("the schema accepts 0 windows")
	}
	if _, ok, err := s.Value(ctx, "k"); ok || err != nil {
		t.Errorf("unset value: %v, %v", ok, err)
	}
	must(t, s.SetValue(ctx, "k", "a"))
	must(t, s.SetValue(ctx, "k", "b"))
	if v, ok, err := s.Value(ctx, "k"); v != "b" || !ok || err != nil {
		t.Errorf("value %q, %v, %v; want b", v, ok, err)
	}
}

func TestForgetModelForgetsAllOfIt(t *testing.T) {
	s, ctx, id, other := openNew(t), t.Context(), modelID(t, "m"), modelID(t, "other")
	for _, m := range []core.ModelID{id, other} {
		must(t, s.LockShard(ctx, m, 0, true))
		must(t, s.SetWindows(ctx, m, 2))
		must(t, s.RecordLoaded(ctx, Loaded{m, 0, 4}))
	}
	must(t, s.ForgetModel(ctx, id))
	locks, _ := s.LockedShards(ctx, id)
	windows, _ := s.Windows(ctx, id)
	loaded, err := s.LoadedModels(ctx)
	if len(locks) != 0 || windows != 0 || err != nil || !slices.Equal(loaded, []Loaded{{other, 0, 4}}) {
		t.Errorf("left: locks %v, windows %d, loaded %v, %v", locks, windows, loaded, err)
	}
	must(t, s.ForgetLoaded(ctx, other))
	if loaded, err = s.LoadedModels(ctx); len(loaded) != 0 || err != nil {
		t.Errorf("loaded %v, %v; want none", loaded, err)
	}
}

func TestStateSurvivesAndIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shoal.db")
	s, err := Open(t.Context(), path)
	must(t, err)
	must(t, s.SetValue(t.Context(), "k", "v"))
	for _, suffix := range []string{"", "-wal"} {
		fi, err := os.Stat(path + suffix)
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want 0600 and write-ahead log", path+suffix, fi, err)
		}
	}
	must(t, s.Close())
	s, err = Open(t.Context(), path)
	must(t, err)
	defer s.Close()
	if v, _, err := s.Value(t.Context(), "k"); v != "v" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
}

func TestManyWritersAtOnce(t *testing.T) {
	s := openNew(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 20 {
				if err := s.LockShard(context.Background(), core.ModelID{}, i*20+j, true); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got, err := s.LockedShards(t.Context(), core.ModelID{}); len(got) != 320 || err != nil {
		t.Errorf("%d rows, %v; want 320", len(got), err)
	}
}

func TestDamagedFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shoal.db")
	must(t, os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600))
	if _, err := Open(t.Context(), path); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("got %v, want corrupt", err)
	}

	path = filepath.Join(t.TempDir(), "shoal.db")
	s, err := Open(t.Context(), path)
	must(t, err)
	for i := range 400 {
		must(t, s.SetValue(t.Context(), strings.Repeat("k", i), strings.Repeat("v", 100)))
	}
	must(t, s.Close())
	data, err := os.ReadFile(path)
	must(t, err)
	for i := len(data) / 2; i < len(data)*3/4; i++ {
		data[i] = 0xa5
	}
	must(t, os.WriteFile(path, data, 0o600))
	if _, err := Open(t.Context(), path); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("half overwritten: got %v, want corrupt", err)
	}
}

func TestUpgradeKeepsDataAndABackup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shoal.db")
	one, err := migrations.ReadFile("migrations/00001_first.sql")
	must(t, err)
	s, err := open(t.Context(), path, fstest.MapFS{"00001_first.sql": {Data: one}})
	must(t, err)
	must(t, s.SetValue(t.Context(), "k", "v"))
	must(t, s.Close())

	next := fstest.MapFS{
		"00001_first.sql":  {Data: one},
		"00900_second.sql": {Data: []byte("-- +goose Up\nALTER TABLE key_value ADD COLUMN extra TEXT;\n")},
	}
	s, err = open(t.Context(), path, next)
	must(t, err)
	if v, _, err := s.Value(t.Context(), "k"); v != "v" || err != nil {
		t.Errorf("after the upgrade: %q, %v", v, err)
	}
	must(t, s.Close())

	if _, err := Open(t.Context(), path); core.CodeOf(err) != core.CodeUnsupported {
		t.Errorf("a newer schema: got %v, want unsupported", err)
	}
	old, err := Open(t.Context(), path+".v1.bak")
	must(t, err)
	defer old.Close()
	if v, _, err := old.Value(t.Context(), "k"); v != "v" || err != nil {
		t.Errorf("in the backup: %q, %v", v, err)
	}
}

func TestFailedUpgradeChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shoal.db")
	s, err := Open(t.Context(), path)
	must(t, err)
	must(t, s.SetValue(t.Context(), "k", "v"))
	must(t, s.Close())
	one, err := migrations.ReadFile("migrations/00001_first.sql")
	must(t, err)
	_, err = open(t.Context(), path, fstest.MapFS{
		"00001_first.sql": {Data: one},
		"00900_bad.sql":   {Data: []byte("-- +goose Up\nDELETE FROM key_value;\nALTER TABLE none ADD COLUMN x TEXT;\n")},
	})
	if err == nil {
		t.Fatal("a bad step was accepted")
	}
	s, err = Open(t.Context(), path)
	must(t, err)
	defer s.Close()
	if v, _, err := s.Value(t.Context(), "k"); v != "v" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
}
