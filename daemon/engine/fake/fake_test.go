package fake_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
)

func TestConformance(t *testing.T) {
	for name, cfg := range map[string]fake.Config{"plain": {}, "no trim": {NoTrim: true}} {
		t.Run(name, func(t *testing.T) {
			enginetest.Run(t, enginetest.Config{
				Windows: []int{1, 2, 3, 4},
				Open: func(t *testing.T, windows int, spec engine.Spec) []engine.Window {
					cut, err := fake.Cut(cfg, spec, windows)
					if err != nil {
						t.Fatal(err)
					}
					return cut
				},
			})
		})
	}
}

// run feeds tokens to sequence 0 from a position on and returns the last token sampled.
func run(t *testing.T, w engine.Window, pos int, tokens string, ops ...engine.Op) (engine.Sample, error) {
	t.Helper()
	b := &engine.Batch{Ops: ops}
	for i, token := range fake.Tokens(tokens) {
		b.Rows = append(b.Rows, engine.Row{Token: token, Pos: int32(pos + i), Sample: i == len(tokens)-1})
	}
	out, err := w.Step(t.Context(), b)
	if err != nil {
		return engine.Sample{}, err
	}
	return out.Samples[0], nil
}

func open(t *testing.T, cfg fake.Config) *fake.Window {
	t.Helper()
	cut, err := fake.Cut(cfg, engine.Spec{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return cut[0].(*fake.Window)
}

// TestEveryTokenOfTheCacheCounts is what makes the fake worth testing on: tokens before the last one change what is
// sampled, however far back they are.
func TestEveryTokenOfTheCacheCounts(t *testing.T) {
	prompt := "the quick brown fox jumps over the lazy dog"
	seen := map[int32]int{}
	for i := range len(prompt) {
		w := open(t, fake.Config{EndOdds: -1})
		changed := prompt[:i] + "#" + prompt[i+1:]
		sample, err := run(t, w, 0, changed)
		if err != nil {
			t.Fatal(err)
		}
		seen[sample.Token]++
	}
	if len(seen) < 20 {
		t.Errorf("%d prompts give only %d tokens", len(prompt), len(seen))
	}
}

func TestReplyIsFollowedByTheEnd(t *testing.T) {
	w := open(t, fake.Config{Reply: func(prompt []int32) []int32 { return prompt[len(prompt)-1:] }})
	first, err := run(t, w, 0, "abc", engine.Op{Kind: engine.OpSampler, Sampler: &engine.Sampler{}})
	if err != nil || string(first.Piece) != "c" || first.End {
		t.Fatalf("got %+v, %v", first, err)
	}
	if second, err := run(t, w, 3, "c"); err != nil || !second.End {
		t.Errorf("got %+v, %v; want the end", second, err)
	}
}

func TestStepsTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, begin := open(t, fake.Config{StepTime: time.Second, RowTime: time.Minute}), time.Now()
		if _, err := run(t, w, 0, "abc"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 3*time.Minute+time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestCrashEndsARunningStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, begin := open(t, fake.Config{StepTime: time.Hour}), time.Now()
		time.AfterFunc(time.Second, w.Crash)
		_, err := run(t, w, 0, "abc")
		if core.CodeOf(err) != core.CodeEngineCrashed || time.Since(begin) != time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
	})
}
