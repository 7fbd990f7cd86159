package shard_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// signer is a fixed identity.
type signer struct{ ed25519.PrivateKey }

func (s signer) Public() ed25519.PublicKey { return s.PrivateKey.Public().(ed25519.PublicKey) }
func (s signer) Sign(m []byte) []byte      { return ed25519.Sign(s.PrivateKey, m) }

func testKey() signer { return signer{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))} }

func newStore(t *testing.T, change ...func(*shard.Config)) *shard.Store {
	t.Helper()
	c := shard.Config{
		Dir: filepath.Join(t.TempDir(), "models"), Key: testKey(),
		Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC) },
	}
	for _, f := range change {
		f(&c)
	}
	return shard.NewStore(c)
}

// model writes a generated model and returns its path.
func model(t *testing.T, c gguftest.Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny-"+c.Arch+".gguf")
	if err := gguftest.WriteFile(path, c); err != nil {
		t.Fatal(err)
	}
	return path
}

func importFile(t *testing.T, s *shard.Store, path string) *shard.Model {
	t.Helper()
	m, err := s.Import(context.Background(), shard.Import{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sameFiles(t *testing.T, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Errorf("%s and %s differ", a, b)
	}
}

// sources are a generated model of every architecture and the real ones.
func sources(t *testing.T) []string {
	var list []string
	for _, arch := range gguftest.Architectures() {
		list = append(list, model(t, gguftest.Config{Arch: arch, Weights: gguftest.Q4KM}))
	}
	return append(list, sharedModels()...)
}

func sharedModels() []string {
	dir := os.Getenv("SHOAL_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	list, _ := filepath.Glob(filepath.Join(dir, "models", "*.gguf"))
	return list
}

func TestExportIsTheOriginal(t *testing.T) {
	for _, path := range sources(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			m := importFile(t, s, path)
			if !m.Complete() || m.Manifest.Layers > 1 && len(m.Manifest.Shards) != min(m.Manifest.Layers, 8) {
				t.Errorf("%d layers in %d shards, %d there", m.Manifest.Layers, len(m.Manifest.Shards), len(m.Present()))
			}
			out := filepath.Join(t.TempDir(), "out.gguf")
			if err := m.Export(context.Background(), out, nil); err != nil {
				t.Fatal(err)
			}
			sameFiles(t, path, out)
			if damaged, err := m.Verify(context.Background(), nil); err != nil || len(damaged) > 0 {
				t.Errorf("damaged %v, %v", damaged, err)
			}
			if err := m.Export(context.Background(), out, nil); core.CodeOf(err) != core.CodeConflict {
				t.Errorf("export over a file: %v", err)
			}
		})
	}
}
