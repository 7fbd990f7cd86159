package llama_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest/real"
	"github.com/shoal-p2p/shoal/daemon/engine/llama"
)

// engineOf is the engine of all tests: the libraries cannot be loaded twice in a process.
func engineOf(t testing.TB) engine.Engine {
	t.Helper()
	dir := real.Runtime(t)
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
	path, trained := real.Model(t)
	text := generate(t, open(t, small(path)), "Once upon a time", 40, engine.Sampler{})
	t.Log(text)
	if trained && !strings.Contains(text, "there was a") || text == "" {
		t.Error(text)
	}
}

// smallModel is the file of a small model, trained or not.
func smallModel(t testing.TB) string {
	t.Helper()
	path, _ := real.Model(t)
	return path
}
