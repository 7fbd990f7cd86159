package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
)

// TestAnyMixGivesWhatEachJobGivesAlone runs random jobs with common beginnings, cancels, slow clients and all sizes
// of everything. A job's reply must be the one it gives alone, or the beginning of it when something ended it.
func TestAnyMixGivesWhatEachJobGivesAlone(t *testing.T) {
	seeds := 150
	if testing.Short() {
		seeds = 30
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runMix(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

var errEnough = errors.New("enough")

// plan is one random job and what its caller does.
type plan struct {
	job    engine.Job
	begin  time.Duration // when it is sent
	cancel time.Duration // when its context ends; 0 is never
	stop   int           // emit fails at this token; 0 is never
	slow   time.Duration // how long emit takes
	embed  bool
}

func runMix(t *testing.T, r *rand.Rand) {
	model := fake.Config{
		Layers:   4 + r.IntN(4),
		StepTime: time.Duration(r.IntN(3)) * time.Millisecond,
		RowTime:  time.Duration(1+r.IntN(1000)) * time.Microsecond,
		NoTrim:   r.IntN(4) == 0,
		EndOdds:  []int{-1, 10, 40}[r.IntN(3)],
	}
	s := setup{
		model:   model,
		windows: 1 + r.IntN(4),
		spec:    engine.Spec{Context: []int{150, 400, 4000}[r.IntN(3)], Sequences: 1 + r.IntN(8), BatchRows: 1 + r.IntN(64)},
		config:  schedule.Config{Buffer: 1 + r.IntN(8), BatchSequences: 1 + r.IntN(8), StepTarget: 20 * time.Millisecond},
	}
	b := start(t, s)
	var group sync.WaitGroup
	for range 4 + r.IntN(20) {
		p := randomPlan(r, s.spec.Context)
		group.Go(func() { p.run(t, b, model) })
	}
	group.Wait()
	<-time.After(time.Minute) // what was cancelled may still be under way
	checkIdle(t, b)
}

func randomPlan(r *rand.Rand, context int) plan {
	stories := []string{"once upon a time ", "the sea was calm ", strings.Repeat("a long beginning that many share, ", 3)}
	prompt := stories[r.IntN(len(stories))]
	for range r.IntN(4) {
		prompt += []string{"fish ", "swim ", "in the deep ", strings.Repeat("blub ", 8)}[r.IntN(4)]
	}
	p := plan{
		job:   job(fmt.Sprint("requester", r.IntN(3)), prompt[:min(len(prompt), context-1)], 1+r.IntN(60)),
		begin: time.Duration(r.IntN(400)) * time.Millisecond,
		embed: r.IntN(12) == 0,
	}
	seed := r.Uint32()
	switch r.IntN(4) {
	case 0:
		p.job.Sampler.Sampling = core.Sampling{Temperature: 1, Seed: &seed}
	case 1:
		p.job.Sampler.Sampling = core.Sampling{Temperature: 0.5, Seed: &seed, RepeatPenalty: 1.1, Grammar: "root ::= .*"}
	}
	switch r.IntN(6) {
	case 0:
		p.cancel = time.Duration(1+r.IntN(300)) * time.Millisecond
	case 1:
		p.stop = 1 + r.IntN(20)
	case 2:
		p.slow = time.Duration(1+r.IntN(50)) * time.Millisecond
	}
	return p
}

func (p plan) run(t *testing.T, b *bench, model fake.Config) {
	<-time.After(p.begin)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if p.cancel > 0 {
		defer time.AfterFunc(p.cancel, cancel).Stop()
	}
	if p.embed {
		p.runEmbed(ctx, t, b)
		return
	}
	var got result
	got.finish, got.err = b.Generate(ctx, p.job, func(s engine.Sample) error {
		got.samples = append(got.samples, s)
		if p.slow > 0 {
			<-time.After(p.slow)
		}
		if len(got.samples) == p.stop {
			return errEnough
		}
		return nil
	})
	p.check(t, got, alone(t, model, p.job), b.Shape().Context)
}

func (p plan) runEmbed(ctx context.Context, t *testing.T, b *bench) {
	vectors, err := b.Embed(ctx, p.job.Prompt)
	if (err != nil || len(vectors) != len(p.job.Prompt)) && core.CodeOf(err) != core.CodeCancelled {
		t.Errorf("embed: %d vectors, %v", len(vectors), err)
	}
}

func (p plan) check(t *testing.T, got, want result, context int) {
	n := len(got.samples)
	if n > len(want.samples) || !slices.Equal(got.tokens(), want.tokens()[:n]) {
		t.Errorf("%q: got %q, alone %q", fake.Text(p.job.Prompt), got.text(), want.text())
		return
	}
	switch {
	case p.cancel > 0 && core.CodeOf(got.err) == core.CodeCancelled:
	case p.stop > 0 && errors.Is(got.err, errEnough) && n == p.stop:
	case got.err != nil:
		t.Errorf("%q: %v", fake.Text(p.job.Prompt), got.err)
	case got.finish.Reason == core.FinishLength && n < len(want.samples):
		if context >= 4000 {
			t.Errorf("%q: ended after %d of %d tokens with room left", fake.Text(p.job.Prompt), n, len(want.samples))
		}
	case got.finish.Reason != want.finish.Reason || n != len(want.samples):
		t.Errorf("%q: %d tokens and %+v, alone %d and %+v", fake.Text(p.job.Prompt), n, got.finish, len(want.samples), want.finish)
	}
}

// checkIdle checks that the book of the KV cache is right once no job is left.
func checkIdle(t *testing.T, b *bench) {
	stats := b.Stats()
	if stats.Active != 0 || stats.Waiting != 0 || stats.KVUsed > stats.KVSize {
		t.Errorf("when idle, stats are %+v", stats)
	}
	for i, w := range b.windows {
		held := 0
		for seq := range b.Shape().Sequences {
			held += len(w.Tokens(seq))
		}
		if held != stats.KVUsed {
			t.Errorf("window %d holds %d tokens, the book says %d", i, held, stats.KVUsed)
		}
	}
}
