package shard_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// damage leaves a model's manifest unreadable.
func damage(t *testing.T, m *shard.Model) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(m.Dir, shard.ManifestFile), []byte("{"), 0o600))
}

// TestDamagedFolderGoesLast imports over a damaged folder, at first without the space for it, then without leave.
func TestDamagedFolderGoesLast(t *testing.T) {
	free := int64(1) << 40
	s := newStore(t, func(c *shard.Config) { c.Space = func(string) (int64, error) { return free, nil } })
	path := model(t, small("llama"))
	m := importFile(t, s, path)
	damage(t, m)
	there := func() bool { return m.Has(0) && m.Has(len(m.Manifest.Shards)-1) }
	free = 10
	if _, err := s.Import(t.Context(), shard.Import{Path: path}); core.CodeOf(err) != core.CodeDiskFull || !there() {
		t.Errorf("without space: %v, shards there: %t", err, there())
	}
	free = 1 << 40
	busy := errors.New("in memory")
	swap := func(func() error) error {
		if !there() {
			t.Error("the damaged folder went before it was asked for")
		}
		return busy
	}
	if _, err := s.Import(t.Context(), shard.Import{Path: path, Swap: swap}); !errors.Is(err, busy) || !there() {
		t.Errorf("without leave: %v, shards there: %t", err, there())
	}
	calls := 0
	swap = func(fn func() error) error { calls++; return fn() }
	again, err := s.Import(t.Context(), shard.Import{Path: path, Swap: swap})
	if err != nil || !again.Complete() || calls != 1 {
		t.Errorf("%v after %d swaps", err, calls)
	}
	if _, err := s.Import(t.Context(), shard.Import{Path: path, Swap: swap}); err != nil || calls != 1 {
		t.Errorf("a sound folder: %v after %d swaps", err, calls)
	}
}

// TestAdoptMendsDamagedFolder takes a manifest over a damaged folder: the chunks that are there need not come again, but
// nothing counts as here before it was looked at.
func TestAdoptMendsDamagedFolder(t *testing.T) {
	s := newStore(t)
	m := importFile(t, s, model(t, gguftest.Config{}))
	manifest, header := parcel(t, m)
	damage(t, m)
	stale := filepath.Join(m.Dir, shard.FileName(len(m.Manifest.Shards)))
	check(t, os.WriteFile(stale, []byte("of another cut"), 0o600))
	flip(t, m.Path(1), m.Manifest.Reserved+5)
	mended, err := s.Adopt(manifest, header)
	check(t, err)
	if n := len(mended.Present()); n != 0 {
		t.Errorf("%d shards count as here unseen", n)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("a file of another cut stays")
	}
	for i, missing := range map[int]int{0: 0, 1: 1} {
		w, err := mended.NewWriter(i)
		check(t, err)
		if n := len(w.Missing()); n != missing {
			t.Errorf("%d chunks of shard %d are to come, want %d", n, i, missing)
		}
		check(t, w.Close())
	}
	if _, err := s.Open(m.Manifest.ModelID); err != nil {
		t.Errorf("it stays damaged: %v", err)
	}
}
