package llama_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/llama"
)

// runtimeDir is the folder with the llama.cpp libraries; the test is skipped where it is absent.
func runtimeDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SHOAL_RUNTIME")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skip(err)
		}
		dir = filepath.Join(cache, "shoal", "runtime", "llama.cpp-v0.5.0-linux-x64-cpu")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no llama.cpp libraries: run packaging/runtime/install.sh or set SHOAL_RUNTIME")
	}
	return dir
}

// shared is a file of the shared test data; the test is skipped where it is absent.
func shared(t testing.TB, elem ...string) string {
	t.Helper()
	dir := os.Getenv("SHOAL_SHARED")
	if dir == "" {
		_, file, _, _ := runtime.Caller(0)
		dir = filepath.Join(filepath.Dir(file), "..", "..", "..", "..", "shared")
	}
	path := filepath.Join(append([]string{dir}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skip("no shared test data: set SHOAL_SHARED")
	}
	return path
}

// engineOf is the engine of all tests: the libraries cannot be loaded twice in a process.
func engineOf(t testing.TB) engine.Engine {
	t.Helper()
	dir := runtimeDir(t)
	engineOnce.Do(func() { theEngine = llama.New(llama.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)}) })
	return theEngine
}

var (
	engineOnce sync.Once
	theEngine  engine.Engine
)

// logitsOf are the raw logits of a row of the last step.
func logitsOf(w engine.Window, row int) []float32 { return llama.Logits(w, row) }

func open(t testing.TB, spec engine.Spec) engine.Window {
	t.Helper()
	w, err := engineOf(t).Load(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func small(path string) engine.Spec {
	return engine.Spec{ModelDir: path, Context: 512, Sequences: 4, BatchRows: 128, Threads: 2}
}

func generate(t *testing.T, w engine.Window, prompt string, n int, s engine.Sampler) string {
	t.Helper()
	ctx := context.Background()
	tokens, err := w.Tokenize(ctx, prompt, true, false)
	if err != nil {
		t.Fatal(err)
	}
	b := &engine.Batch{Ops: []engine.Op{{Kind: engine.OpTrim}, {Kind: engine.OpSampler, Sampler: &s}}}
	for i, tok := range tokens {
		b.Rows = append(b.Rows, engine.Row{Token: tok, Pos: int32(i), Sample: i == len(tokens)-1})
	}
	var text strings.Builder
	for i := range n {
		out, err := w.Step(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		got := out.Samples[0]
		text.Write(got.Piece)
		if got.End {
			break
		}
		b = &engine.Batch{Rows: []engine.Row{{Token: got.Token, Pos: int32(len(tokens) + i), Sample: true}}}
	}
	return text.String()
}

func TestStories(t *testing.T) {
	w := open(t, small(shared(t, "models", "stories260K-f32.gguf")))
	t.Logf("%+v", w.Shape())
	text := generate(t, w, "Once upon a time", 40, engine.Sampler{})
	t.Log(text)
	if !strings.Contains(text, "there was a") {
		t.Error(text)
	}
}
