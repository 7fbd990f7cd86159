package speculate

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

func TestLookUp(t *testing.T) {
	for name, c := range map[string]struct {
		tokens []int32
		n      int
		want   []int32
	}{
		"what followed three":          {[]int32{1, 2, 3, 4, 5, 6, 1, 2, 3}, 3, []int32{4, 5, 6}},
		"the latest place":             {[]int32{1, 2, 3, 7, 1, 2, 3, 8, 1, 2, 3}, 1, []int32{8}},
		"what followed two":            {[]int32{9, 2, 3, 4, 5, 2, 3}, 2, []int32{4, 5}},
		"no more than there is room":   {[]int32{1, 2, 3, 4, 5, 1, 2, 3}, 1, []int32{4}},
		"nothing where nothing stands": {[]int32{1, 2, 3, 4, 5}, 8, nil},
		"nothing without room":         {[]int32{1, 2, 3, 1, 2, 3}, 0, nil},
		"too short":                    {[]int32{1}, 8, nil},
	} {
		if got := lookUp(c.tokens, c.n); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestWorth holds the number of guesses against what steps take.
func TestWorth(t *testing.T) {
	far := rates{alone: 100 * time.Millisecond, row: time.Millisecond}
	near := rates{alone: 10 * time.Millisecond, row: 10 * time.Millisecond}
	for name, c := range map[string]struct {
		rates rates
		odds  float64
		want  int
	}{
		"a long way, good odds": {far, 0.9, 8},
		"a long way, fair odds": {far, 0.5, 4},
		"a long way, bad odds":  {far, 0.01, 0},
		"no way, good odds":     {near, 0.9, 0},
		"before a step":         {rates{}, 0.9, 0},
		"before a step of two":  {rates{alone: time.Second}, 0.9, 2},
	} {
		if got := c.rates.worth(8, c.odds); got != c.want {
			t.Errorf("%s: %d guesses, want %d", name, got, c.want)
		}
	}
	for range probeEvery - 1 {
		if n := near.worth(8, 0.9); n != 0 {
			t.Fatalf("%d guesses that are not worth it", n)
		}
	}
	if near.worth(8, 0.9) == 0 {
		t.Error("guesses that were not worth it are never tried again")
	}
}

func TestOddsFollowTheSamples(t *testing.T) {
	p := New(nil, 100, func() {})
	good, bad := NewReply("x"), NewReply("x")
	three := []engine.Sample{{Token: 1}, {Token: 2}, {Token: 3}}
	for range 20 {
		p.Landed(&good, Guess{Tokens: []int32{1, 2}}, 2, three)
		p.Landed(&bad, Guess{Tokens: []int32{9, 9}}, 2, three[:1])
	}
	if good.odds < 0.95 || bad.odds > 0.1 {
		t.Errorf("odds %v of guesses that were right, %v of those that were wrong", good.odds, bad.odds)
	}
}

// oracle is a Guesser that takes its time.
type oracle struct {
	name  string
	takes time.Duration
	says  []int32
	err   error
	asked int
}

func (o *oracle) Name() string { return o.name }

func (o *oracle) Guess(ctx context.Context, _ string, _ []int32, n int) ([]int32, error) {
	o.asked++
	timer := time.NewTimer(o.takes)
	defer timer.Stop()
	select {
	case <-timer.C:
		return o.says[:min(n, len(o.says))], o.err
	case <-ctx.Done():
		return nil, nil
	}
}

// TestQuestions follows a question through its states.
func TestQuestions(t *testing.T) {
	tokens := []int32{1, 2, 3, 4}
	for name, c := range map[string]struct {
		oracle    oracle
		text      []int32
		wait      bool    // Next waits for the answer
		want      []int32 // what it gives then
		askedNext bool    // the Guesser is asked again after that
	}{
		"answered":               {oracle{name: "a", says: []int32{5, 6}}, tokens, true, []int32{5, 6}, true},
		"cut at what is unknown": {oracle{name: "a", says: []int32{5, 600}}, tokens, true, []int32{5}, true},
		"too late":               {oracle{name: "a", takes: time.Hour}, tokens, true, nil, false},
		"may not be asked":       {oracle{}, tokens, false, nil, false},
		"cannot follow":          {oracle{name: "a", err: core.Errorf(core.CodeContextTooLong, "long")}, tokens, true, nil, false},
		"much to read":           {oracle{name: "a"}, make([]int32, 500), false, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				woken := 0
				o := c.oracle
				p, r := New(&o, 100, func() { woken++ }), NewReply("x")
				p.Stepped(time.Second, 0)
				g, wait := p.Next(t.Context(), &r, c.text, 4)
				if wait != c.wait || len(g.Tokens) > 0 && wait {
					t.Errorf("wait %v for %v", wait, g.Tokens)
				}
				p.Wait()
				if o.asked > 0 && woken != 1 {
					t.Errorf("woken %d times", woken)
				}
				if g, _ = p.Next(t.Context(), &r, c.text, 4); wait && !slices.Equal(g.Tokens, c.want) {
					t.Errorf("guesses are %v, want %v", g.Tokens, c.want)
				}
				p.KeepOnly(nil)
				p.Wait()
				before := o.asked
				p.Next(t.Context(), &r, append(slices.Clone(c.text), 7), 4)
				p.KeepOnly(nil)
				p.Wait()
				if again := o.asked > before; again != c.askedNext {
					t.Errorf("asked again: %v", again)
				}
			})
		})
	}
}

// TestKeepOnly drops the question of a reply that has ended: its answer wakes nobody.
func TestKeepOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		woken := false
		p := New(&oracle{name: "a", takes: time.Second / 2, says: []int32{1}}, 100, func() { woken = true })
		p.Stepped(time.Second, 0)
		r, other := NewReply("x"), NewReply("y")
		if _, wait := p.Next(t.Context(), &r, []int32{1, 2}, 4); !wait {
			t.Fatal("the Guesser is not asked")
		}
		p.KeepOnly(&r)
		if p.question == nil {
			t.Fatal("the question of the reply is dropped")
		}
		p.KeepOnly(&other)
		p.Wait()
		if woken || p.question != nil {
			t.Error("the question of a reply that has ended is answered")
		}
	})
}
