package llama_test

import (
	"math"
	"slices"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

// TestEmbeddingsOfWindows asks for more vectors than rows may be sampled at once, so that the last window takes the
// rows in parts, and the last bits depend on how many rows are computed together.
func TestEmbeddingsOfWindows(t *testing.T) {
	e := engineOf(t)
	dir, layers := random(t, gguftest.Config{Arch: "qwen3"})
	whole, two := openChain(t, e, dir, []int{0, layers}), openChain(t, e, dir, []int{0, 4, layers})
	for from := range int32(2) {
		b := &engine.Batch{Embed: true}
		for i := range int32(100) {
			b.Rows = append(b.Rows, engine.Row{Token: 3 + i, Pos: 100*from + i, Sample: i%3 != 1})
		}
		want, got := whole.step(t, b).Embeddings, two.step(t, b).Embeddings
		if len(want) != 67 || len(got) != len(want) {
			t.Fatalf("%d and %d vectors, want 67", len(want), len(got))
		}
		for i := range want {
			if len(want[i]) != whole[0].Shape().Embedding || !slices.EqualFunc(got[i], want[i], near) {
				t.Fatalf("vector %d of two windows differs from the whole model's", i)
			}
		}
	}
	b := &engine.Batch{Rows: []engine.Row{{Token: 7, Pos: 200, Sample: true}}}
	want, got := whole.step(t, b).Samples, two.step(t, b).Samples
	if len(want) != 1 || len(got) != 1 || got[0].Token != want[0].Token {
		t.Errorf("after embeddings the whole model samples %+v, two windows %+v", want, got)
	}
}

// near allows for what another cut of the batch changes in a whole model, too, with its KV cache of half floats.
func near(a, b float32) bool { return math.Abs(float64(a-b)) < 0.03 }
