// Package real finds what tests of the real engine need: the llama.cpp libraries, the worker program and small models.
//
// A test without the libraries is skipped on a developer's PC, and fails where CI is set: what is skipped there is tested
// nowhere. A test without the trained model runs with one of random weights, which every clone can make.
package real

import (
	"crypto/ed25519"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/worker"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// Runtime is the folder with the llama.cpp libraries: $SHOAL_RUNTIME, or where packaging/runtime/install.sh puts them.
func Runtime(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SHOAL_RUNTIME")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(cache, "shoal", "runtime", "llama.cpp-v0.5.0-linux-x64-cpu")
	}
	if _, err := os.Stat(dir); err != nil {
		missing(t, "no llama.cpp libraries: run packaging/runtime/install.sh or set SHOAL_RUNTIME")
	}
	return dir
}

// missing skips a test, or fails it where nobody would see that.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// Engine builds the worker program, which alone links llama.cpp, and starts windows with it.
func Engine(t testing.TB) engine.Engine {
	t.Helper()
	dir := Runtime(t)
	program := filepath.Join(t.TempDir(), "shoal-worker")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./app/worker")
	build.Dir = root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the worker: %v: %s", err, out)
	}
	return worker.New(worker.Config{Program: program, Runtime: dir, Log: slog.New(slog.DiscardHandler)})
}

// root is the folder of the repository.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "..")
}

// Model is the file of a small model: the trained one that is handed to developers where it is there, else one of random
// weights with the same shape. trained tells whether its text means anything.
func Model(t testing.TB) (path string, trained bool) {
	t.Helper()
	path = filepath.Join(handed(), "models", "stories260K-f32.gguf")
	if _, err := os.Stat(path); err == nil {
		return path, true
	}
	path = filepath.Join(t.TempDir(), "random.gguf")
	err := gguftest.WriteFile(path, gguftest.Config{
		Layers: 5, Embedding: 64, Heads: 8, KVHeads: 4, FeedForward: 172, Vocabulary: 512, Context: 512,
	})
	if err != nil {
		t.Fatal(err)
	}
	return path, false
}

// signer is a key of nobody.
type signer struct{ ed25519.PrivateKey }

func (s signer) Public() ed25519.PublicKey { return s.PrivateKey.Public().(ed25519.PublicKey) }

func (s signer) Sign(message []byte) []byte { return ed25519.Sign(s.PrivateKey, message) }

// Cut imports a model with every layer in a shard of its own.
func Cut(t testing.TB, path string) (dir string, shards int) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	rule := shard.Rule{Number: 1, ShardSize: 1 << 20, MinShards: 64}
	m, err := shard.NewStore(shard.Config{Dir: t.TempDir(), Key: signer{key}, Rule: rule}).Import(t.Context(), shard.Import{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return m.Dir, len(m.Manifest.Shards)
}

// Handed is a file that is handed to developers beside the repository, and too large for it; the test is skipped where it
// is absent.
func Handed(t testing.TB, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{handed()}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skip("no shared test data: set SHOAL_SHARED")
	}
	return path
}

func handed() string {
	if dir := os.Getenv("SHOAL_SHARED"); dir != "" {
		return dir
	}
	return filepath.Join(root(), "..", "shared")
}
