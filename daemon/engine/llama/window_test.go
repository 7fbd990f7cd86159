package llama_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/arch"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest/real"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

// random makes a model of an architecture with random weights, and cuts it.
func random(t testing.TB, c gguftest.Config) (dir string, layers int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "random.gguf")
	if err := gguftest.WriteFile(path, c); err != nil {
		t.Fatal(err)
	}
	return real.Cut(t, path)
}

// chain is windows in a row that run the same batches.
type chain []engine.Window

// openChain loads the layers between consecutive bounds as windows.
func openChain(t testing.TB, e engine.Engine, dir string, bounds []int) chain {
	t.Helper()
	var c chain
	for i := range len(bounds) - 1 {
		w, err := e.Load(context.Background(), engine.Spec{
			ModelDir: dir, FirstShard: bounds[i], EndShard: bounds[i+1],
			Context: 1024, Sequences: 4, BatchRows: 256, Threads: 1,
		})
		if err != nil {
			t.Fatalf("layers %d to %d: %v", bounds[i], bounds[i+1], err)
		}
		t.Cleanup(func() { _ = w.Close() })
		c = append(c, w)
	}
	return c
}

func (c chain) step(t testing.TB, b *engine.Batch) *engine.Output {
	t.Helper()
	stage, out := *b, (*engine.Output)(nil)
	for i, w := range c {
		var err error
		if out, err = w.Step(context.Background(), &stage); err != nil {
			t.Fatalf("window %d: %v", i, err)
		}
		stage.Hidden = out.Hidden
	}
	return out
}

// script is the batches of the test and the logits that the whole model gave.
type script struct {
	batches []engine.Batch
	logits  [][]float32 // of the sampled rows, in order
}

// record runs the whole model: a prompt of 128 and 64 tokens more, then three sequences whose prompts and replies
// share batches.
func record(t testing.TB, whole chain) *script {
	t.Helper()
	s := &script{}
	rng := rand.New(rand.NewPCG(1, 2))
	vocabulary := whole[0].Shape().Vocabulary
	token := func() int32 { return int32(3 + rng.IntN(vocabulary-3)) }
	prompt := func(rows []engine.Row, seq int32, n int) []engine.Row {
		for i := range n {
			rows = append(rows, engine.Row{Token: token(), Pos: int32(i), Seq: seq, Sample: i == n-1})
		}
		return rows
	}
	run := func(rows []engine.Row) []int32 {
		b := engine.Batch{Rows: rows}
		out := whole.step(t, &b)
		s.batches = append(s.batches, b)
		var next []int32
		for _, sample := range out.Samples {
			s.logits = append(s.logits, slices.Clone(logitsOf(whole[0], sample.Row)))
			next = append(next, sample.Token)
		}
		return next
	}
	next := run(prompt(nil, 0, 128))
	for i := range int32(64) {
		next = run([]engine.Row{{Token: next[0], Pos: 128 + i, Sample: true}})
	}
	rows := []engine.Row{{Token: next[0], Pos: 192, Sample: true}}
	next = run(prompt(prompt(rows, 1, 100), 2, 37))
	for i := range int32(24) {
		next = run([]engine.Row{
			{Token: next[0], Pos: 193 + i, Sample: true},
			{Token: next[1], Pos: 100 + i, Seq: 1, Sample: true},
			{Token: next[2], Pos: 37 + i, Seq: 2, Sample: true},
		})
	}
	return s
}

// check runs the same batches through windows and compares every logit bit by bit.
func (s *script) check(t *testing.T, c chain) {
	t.Helper()
	at, differ, total, worst := 0, 0, 0, 0.0
	for i := range s.batches {
		out := c.step(t, &s.batches[i])
		for _, sample := range out.Samples {
			got := logitsOf(c[len(c)-1], sample.Row)
			for j, want := range s.logits[at] {
				if math.Float32bits(got[j]) != math.Float32bits(want) {
					differ++
					worst = max(worst, math.Abs(float64(got[j]-want)))
				}
				total++
			}
			at++
		}
	}
	if differ > 0 || total == 0 {
		t.Errorf("%d of %d logits differ from the whole model's, by up to %g", differ, total, worst)
	}
}

// cuts are all ways to make two windows, and to make three: all for the architectures that most models have, and
// for the others those whose middle window is a single layer.
func cuts(layers int, common bool) (list [][]int) {
	for a := 1; a < layers; a++ {
		list = append(list, []int{0, a, layers})
		for b := a + 1; b < layers && (common || b == a+1); b++ {
			list = append(list, []int{0, a, b, layers})
		}
	}
	return list
}

func TestWindowsEqualTheWholeModel(t *testing.T) {
	e := engineOf(t)
	for _, name := range arch.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, layers := random(t, gguftest.Config{Arch: name})
			testCuts(t, e, dir, cuts(layers, slices.Contains([]string{"llama", "qwen2", "qwen3", "gemma3"}, name)))
		})
	}
}

func testCuts(t *testing.T, e engine.Engine, dir string, list [][]int) {
	layers := slices.Max(list[0])
	s := record(t, openChain(t, e, dir, []int{0, layers}))
	for _, bounds := range list {
		t.Run(fmt.Sprint(bounds[1:len(bounds)-1]), func(t *testing.T) {
			s.check(t, openChain(t, e, dir, bounds))
		})
	}
}

func TestWindowsOfEveryStorage(t *testing.T) {
	e := engineOf(t)
	for mix := gguftest.F32; mix <= gguftest.Q4KM; mix++ {
		for _, tied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/tied=%v", mix, tied), func(t *testing.T) {
				t.Parallel()
				dir, layers := random(t, gguftest.Config{Arch: "llama", Weights: mix, Tied: tied})
				s := record(t, openChain(t, e, dir, []int{0, layers}))
				s.check(t, openChain(t, e, dir, []int{0, 2, layers}))
			})
		}
	}
}

func TestRealModelsEqualTheWhole(t *testing.T) {
	e := engineOf(t)
	for _, file := range []string{"stories260K-f32", "tinystories-656k-f32", "tinystories-656k-q8_0", "tinystories-656k-q4_0"} {
		t.Run(file, func(t *testing.T) {
			dir, layers := real.Cut(t, real.Handed(t, "models", file+".gguf"))
			testCuts(t, e, dir, cuts(layers, true))
		})
	}
}

func TestRefusedArchitectureStillRunsWhole(t *testing.T) {
	e := engineOf(t)
	dir, layers := random(t, gguftest.Config{Arch: "deepseek2", Layers: 48})
	_, err := e.Load(context.Background(), engine.Spec{ModelDir: dir, EndShard: 2, Context: 64, Sequences: 1, BatchRows: 8})
	if core.CodeOf(err) != core.CodeUnsupported {
		t.Errorf("a window of it gave %v", err)
	}
	if c := openChain(t, e, dir, []int{0, layers}); c[0].Shape().Layers.End != layers {
		t.Errorf("%+v", c[0].Shape())
	}
}
