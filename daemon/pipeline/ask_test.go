package pipeline_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/draft"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
)

// far is the model of these tests: what it says is a function of every token before, so that a draft model of the same
// kind is always right unless it has lost its place.
var far = fake.Config{StepTime: 10 * time.Millisecond, RowTime: time.Millisecond, EndOdds: -1}

// small is the draft model for far.
var small = fake.Config{StepTime: time.Millisecond, RowTime: 100 * time.Microsecond, EndOdds: -1}

// drafter is a draft model on the host.
type drafter struct {
	*draft.Model
	window *fake.Window
	name   func() string        // may be nil
	spoil  func(asked int) bool // tells whether to make the guesses of a question wrong; may be nil

	mu    sync.Mutex // guards asked
	asked int
}

func newDrafter(t *testing.T, cfg fake.Config) *drafter {
	t.Helper()
	windows, err := fake.Cut(cfg, engine.Spec{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := schedulerWith(t, schedule.Config{}, windows...)
	return &drafter{window: windows[0].(*fake.Window), Model: draft.New(draft.Config{
		Open: func(context.Context) (engine.Runner, func(), error) { return r, func() {}, nil },
		Name: func() string { return "small" }, Log: discarded,
	})}
}

// Name implements schedule.Guesser.
func (d *drafter) Name() string {
	if d.name != nil {
		return d.name()
	}
	return d.Model.Name()
}

// Guess implements schedule.Guesser.
func (d *drafter) Guess(ctx context.Context, key string, tokens []int32, n int) ([]int32, error) {
	d.mu.Lock()
	d.asked++
	asked := d.asked
	d.mu.Unlock()
	guess, err := d.Model.Guess(ctx, key, tokens, n)
	if d.spoil != nil && d.spoil(asked) {
		for i := range guess {
			guess[i] ^= 1
		}
	}
	return guess, err
}

// distant is a scheduler over two nodes that are 20 ms apart.
func distant(t *testing.T, cfg fake.Config, guesser schedule.Guesser) *schedule.Scheduler {
	s := newSwarm(t, cfg, "host", "a", "b")
	s.net.SetDelay(20 * time.Millisecond)
	return schedulerWith(t, schedule.Config{Guesser: guesser}, dial(t, s, "host", spec(cfg, "a", "b")))
}

// asking runs a job of 200 tokens with the help of a draft model; none where model is nil.
func asking(t *testing.T, model func(t *testing.T) schedule.Guesser) (took time.Duration, stats schedule.Stats) {
	synctest.Test(t, func(t *testing.T) {
		var guesser schedule.Guesser
		if model != nil {
			guesser = model(t)
		}
		chain := distant(t, far, guesser)
		j := job("x", "prompt", 200)
		want := alone(t, far, j)
		began := time.Now()
		if got := generate(t.Context(), chain, j); got.err != nil || got.text != want.text {
			t.Errorf("got %q, %v; want %q", got.text, got.err, want.text)
		}
		took, stats = time.Since(began), chain.Stats()
	})
	return took, stats
}

func TestDraftModelShortensTheWay(t *testing.T) {
	plain, _ := asking(t, nil)
	took, stats := asking(t, func(t *testing.T) schedule.Guesser { return newDrafter(t, small) })
	if took > plain/4 || stats.AskedRight < 150 || stats.AskedRight < stats.Asked*9/10 {
		t.Errorf("%s with a draft model, %s without; %d of %d right", took, plain, stats.AskedRight, stats.Asked)
	}
	half, stats := asking(t, func(t *testing.T) schedule.Guesser {
		d := newDrafter(t, small)
		d.spoil = func(asked int) bool { return asked%2 == 0 }
		return d
	})
	if half > plain*2/3 {
		t.Errorf("%s with a draft model that is right every other time, %s without; %d of %d right", half, plain, stats.AskedRight, stats.Asked)
	}
}

// stuck is a Guesser that never answers.
type stuck struct{}

func (stuck) Name() string { return "stuck" }

func (stuck) Guess(ctx context.Context, _ string, _ []int32, _ int) ([]int32, error) {
	<-ctx.Done()
	return nil, nil
}

// TestDraftModelThatLosesIsLeft checks that a draft model which is wrong, slow, broken or dead costs next to nothing.
func TestDraftModelThatLosesIsLeft(t *testing.T) {
	plain, _ := asking(t, nil)
	for name, model := range map[string]func(t *testing.T) schedule.Guesser{
		"wrong": func(t *testing.T) schedule.Guesser {
			d := newDrafter(t, small)
			d.spoil = func(int) bool { return true }
			return d
		},
		"slow": func(t *testing.T) schedule.Guesser {
			return newDrafter(t, fake.Config{StepTime: 150 * time.Millisecond, EndOdds: -1})
		},
		"stuck": func(*testing.T) schedule.Guesser { return stuck{} },
		"crashed": func(t *testing.T) schedule.Guesser {
			d := newDrafter(t, small)
			d.window.Crash()
			return d
		},
		"short of context": func(t *testing.T) schedule.Guesser {
			windows, err := fake.Cut(small, engine.Spec{Context: 5}, 1)
			if err != nil {
				t.Fatal(err)
			}
			r := schedulerWith(t, schedule.Config{}, windows...)
			return draft.New(draft.Config{
				Open: func(context.Context) (engine.Runner, func(), error) { return r, func() {}, nil },
				Name: func() string { return "small" }, Log: discarded,
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			took, stats := asking(t, model)
			if took > plain*11/10 {
				t.Errorf("%s with this draft model, %s without; %d of %d right", took, plain, stats.AskedRight, stats.Asked)
			}
		})
	}
}

// TestDraftModelCrashes takes the draft model away in the middle of a reply.
func TestDraftModelCrashes(t *testing.T) {
	took, stats := asking(t, func(t *testing.T) schedule.Guesser {
		d := newDrafter(t, small)
		d.spoil = func(asked int) bool {
			if asked == 5 {
				d.window.Crash()
			}
			return false
		}
		return d
	})
	if plain, _ := asking(t, nil); took > plain*21/20 || stats.AskedRight == 0 || stats.AskedRight > 100 {
		t.Errorf("%s, %s without a draft model; %d of %d right", took, plain, stats.AskedRight, stats.Asked)
	}
}

// TestAnotherDraftModel sets a good draft model after one that was always wrong: it is not blamed for the other.
func TestAnotherDraftModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrafter(t, small)
		name := "wrong"
		var mu sync.Mutex // guards name
		is := func() string {
			mu.Lock()
			defer mu.Unlock()
			return name
		}
		d.name, d.spoil = is, func(int) bool { return is() == "wrong" }
		chain := distant(t, far, d)
		generate(t.Context(), chain, job("x", "prompt", 400))
		if stats := chain.Stats(); stats.AskedRight > 0 || stats.Asked > 80 {
			t.Errorf("%d of %d right by the wrong one", stats.AskedRight, stats.Asked)
		}
		mu.Lock()
		name = "right"
		mu.Unlock()
		generate(t.Context(), chain, job("x", "prompt", 100))
		if stats := chain.Stats(); stats.AskedRight < 70 {
			t.Errorf("%d of %d right by the right one", stats.AskedRight, stats.Asked)
		}
	})
}

// TestServing tells apart what a node does for others and for itself.
func TestServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSwarm(t, far, "host", "a")
		r := s.runner("host", planner{spec(far, "host", "a")})
		if got := generate(t.Context(), r, job("x", "prompt", 10)); got.err != nil {
			t.Fatal(got.err)
		}
		if s.nodes["host"].server.Serving() || !s.nodes["a"].server.Serving() {
			t.Error("only the other node serves")
		}
		<-time.After(5 * time.Second)
		if s.nodes["a"].server.Serving() {
			t.Error("it served long ago")
		}
	})
}

// TestDraftModelReadsBesides checks that a reply begins at once although the draft model takes long for the prompt, and
// that it helps when it has read it.
func TestDraftModelReadsBesides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := fake.Config{RowTime: time.Millisecond, EndOdds: -1}
		chain := distant(t, fake.Config{StepTime: 10 * time.Millisecond, EndOdds: -1}, newDrafter(t, slow))
		j := job("x", strings.Repeat("a long prompt ", 150), 100)
		began := time.Now()
		var early, late time.Duration
		count := 0
		_, err := chain.Generate(t.Context(), j, func(engine.Sample) error {
			switch count++; count {
			case 10:
				early = time.Since(began)
			case 100:
				late = time.Since(began)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if early > time.Second {
			t.Errorf("ten tokens took %s", early)
		}
		if stats := chain.Stats(); late > 5*time.Second || stats.AskedRight < 40 {
			t.Errorf("a hundred tokens took %s; %d of %d right", late, stats.AskedRight, stats.Asked)
		}
	})
}

// TestDraftModelStopsReading takes the draft model's permission away while it reads a long prompt.
func TestDraftModelStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrafter(t, fake.Config{RowTime: 5 * time.Millisecond, EndOdds: -1})
		began := time.Now()
		d.name = func() string {
			if time.Since(began) > 4*time.Second {
				return ""
			}
			return "small"
		}
		j := job("x", strings.Repeat("a long prompt ", 150), 200)
		generate(t.Context(), distant(t, far, d), j)
		synctest.Wait()
		if took := time.Since(began); took < 9*time.Second || len(d.window.Tokens(0)) >= len(j.Prompt) || d.asked != 1 {
			t.Errorf("after %s it has read %d tokens of %d, asked %d times", took, len(d.window.Tokens(0)), len(j.Prompt), d.asked)
		}
	})
}

// TestDraftModelDelaysNobody lets a second request come while the draft model is asked for the first.
func TestDraftModelDelaysNobody(t *testing.T) {
	took := func(guesser schedule.Guesser) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			chain := distant(t, far, guesser)
			var group sync.WaitGroup
			group.Go(func() { generate(t.Context(), chain, job("x", "first", 300)) })
			<-time.After(500 * time.Millisecond)
			began := time.Now()
			j := job("y", "second", 20)
			if got, want := generate(t.Context(), chain, j), alone(t, far, j); got.err != nil || got.text != want.text {
				t.Errorf("got %q, %v; want %q", got.text, got.err, want.text)
			}
			took = time.Since(began)
			group.Wait()
		})
		return took
	}
	if with, without := took(stuck{}), took(nil); with > without*21/20 {
		t.Errorf("the second request took %s beside guesses, %s without", with, without)
	}
}

// TestDraftModelChangesNoText runs many jobs of all kinds beside a draft model that is right now and then, and checks
// that each says what it says alone.
func TestDraftModelChangesNoText(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			draw := rand.New(rand.NewPCG(3, seed))
			cfg := fake.Config{StepTime: 5 * time.Millisecond, RowTime: time.Millisecond, EndOdds: 80}
			d := newDrafter(t, fake.Config{StepTime: time.Millisecond, EndOdds: 80})
			right := draw.IntN(5)
			spoilt := rand.New(rand.NewPCG(4, seed))
			d.spoil = func(int) bool { return spoilt.IntN(5) > right }
			chain := distant(t, cfg, d)
			var group sync.WaitGroup
			for i := range 12 {
				j := job(fmt.Sprint(i%3), fmt.Sprintf("%d prompt", draw.IntN(8)), 1+draw.IntN(120))
				j.Sampler.Temperature = float64(draw.IntN(2))
				j.Sampler.RepeatPenalty = float64(draw.IntN(2)) * 1.5
				wait := time.Duration(draw.IntN(20_000)) * time.Millisecond
				want := alone(t, cfg, j)
				group.Go(func() {
					<-time.After(wait)
					if got := generate(t.Context(), chain, j); got.err != nil || !slices.Equal(got.tokens, want.tokens) {
						t.Errorf("run %d: got %q, %v; want %q", seed, got.text, got.err, want.text)
					}
				})
			}
			group.Wait()
		})
	}
}

// TestDraftModelOutlivesTheChain loses a stage in the middle of a reply that the draft model helps.
func TestDraftModelOutlivesTheChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSwarm(t, far, "host", "a", "b", "c")
		s.net.SetDelay(20 * time.Millisecond)
		r := s.runnerWith("host", planner{spec(far, "a", "b"), spec(far, "a", "c")}, schedule.Config{Guesser: newDrafter(t, small)})
		j := job("x", "prompt", 400)
		want := alone(t, far, j)
		time.AfterFunc(1500*time.Millisecond, func() { s.net.Kill("b") })
		if got := generate(t.Context(), r, j); got.err != nil || got.text != want.text {
			t.Errorf("got %q, %v; want %q", got.text, got.err, want.text)
		}
		if stats := r.Stats(); stats.Lost != 1 || stats.AskedRight < 200 {
			t.Errorf("%+v", stats)
		}
	})
}
