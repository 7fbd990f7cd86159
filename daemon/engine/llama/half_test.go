package llama_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/arch"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest/real"
	"github.com/shoal-p2p/shoal/daemon/gguf"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

// trained are the models with weights that somebody trained, by their architecture.
var trained = map[string][]string{
	"llama": {"stories260K-f32", "tinystories-656k-f32", "tinystories-656k-q8_0", "tinystories-656k-q4_0"},
}

// TestHalfRows compares the table of architectures with what half floats do to models of each. A family may be marked if
// they hardly change the logits of a model with random weights, and trained models show what real numbers are like. Texts
// of random models are not looked at: their likeliest tokens are near ties.
func TestHalfRows(t *testing.T) {
	e := engineOf(t)
	for _, name := range arch.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, layers := random(t, gguftest.Config{Arch: name})
			out := enginetest.MeasureHalf(t, halfConfig(e, dir, layers, randomPrompts()))
			t.Logf("%+v", out)
			if marked, passes := arch.Of(name, &gguf.File{}).HalfRows(), out.Close() && len(trained[name]) > 0; marked != passes {
				t.Errorf("the table says %v for %+v and %d trained models", marked, out, len(trained[name]))
			}
		})
	}
}

// TestHalfRowsOfTrainedModels checks that half floats hardly change the logits of trained models of the marked families.
// Whether a text changes depends on the CPU, and is logged.
func TestHalfRowsOfTrainedModels(t *testing.T) {
	e := engineOf(t)
	for _, files := range trained {
		for _, file := range files {
			dir, layers := real.Cut(t, real.Handed(t, "models", file+".gguf"))
			out := enginetest.MeasureHalf(t, halfConfig(e, dir, layers, storyPrompts(t, e, dir, layers)))
			t.Logf("%s: %+v", file, out)
			if !out.Close() {
				t.Errorf("%s: half floats change it too much: %+v", file, out)
			}
		}
	}
}

func halfConfig(e engine.Engine, dir string, layers int, prompts [][]int32) enginetest.HalfConfig {
	return enginetest.HalfConfig{
		Open:   func(t *testing.T, bounds []int) []engine.Window { return openChain(t, e, dir, bounds) },
		Layers: layers, Prompts: prompts, Logits: logitsOf,
	}
}

func randomPrompts() (prompts [][]int32) {
	draw := rand.New(rand.NewPCG(3, 4))
	for i := range 4 {
		var p []int32
		for range 5 + 10*i {
			p = append(p, int32(3+draw.IntN(500)))
		}
		prompts = append(prompts, p)
	}
	return prompts
}

func storyPrompts(t *testing.T, e engine.Engine, dir string, layers int) (prompts [][]int32) {
	t.Helper()
	w := openChain(t, e, dir, []int{0, layers})[0]
	for _, text := range []string{"Once upon a time", "The little dog", "Lily and Tom went to the park. They", "One day, a big red ball"} {
		tokens, err := w.Tokenize(t.Context(), text, true, false)
		if err != nil {
			t.Fatal(err)
		}
		prompts = append(prompts, slices.Clone(tokens))
	}
	return prompts
}
