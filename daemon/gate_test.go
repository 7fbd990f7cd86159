package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestGateServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 3)
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		turns := make(chan int, 3)
		for i := range 3 {
			go func() {
				if err := g.enter(t.Context()); err == nil {
					turns <- i
				}
			}()
			synctest.Wait()
		}
		if err := g.enter(t.Context()); core.CodeOf(err) != core.CodeOverloaded {
			t.Errorf("a full line: %v, want overloaded", err)
		}
		for want := range 3 {
			g.leave()
			if got := <-turns; got != want {
				t.Errorf("request %d has its turn, want %d", got, want)
			}
		}
		g.leave()
		if g.active() != 0 {
			t.Errorf("%d requests are active", g.active())
		}
	})
}

func TestGateForgetsThoseWhoLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 1)
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.enter(ctx); core.CodeOf(err) != core.CodeCancelled {
			t.Errorf("got %v, want cancelled", err)
		}
		done := make(chan error)
		go func() { done <- g.enter(t.Context()) }()
		synctest.Wait()
		g.leave()
		if err := <-done; err != nil {
			t.Errorf("the place of one who left is lost: %v", err)
		}
	})
}

func TestGateGrowsAndShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 10)
		entered := make(chan struct{}, 10)
		for range 4 {
			go func() {
				if g.enter(t.Context()) == nil {
					entered <- struct{}{}
				}
			}()
		}
		synctest.Wait()
		if len(entered) != 1 {
			t.Fatalf("%d entered, want 1", len(entered))
		}
		g.resize(3, 10)
		synctest.Wait()
		if len(entered) != 3 {
			t.Errorf("%d entered, want 3", len(entered))
		}
		g.resize(1, 10)
		g.leave()
		g.leave()
		synctest.Wait()
		if len(entered) != 3 {
			t.Errorf("a shrunk gate let %d in", len(entered))
		}
		g.leave()
		synctest.Wait()
		if len(entered) != 4 {
			t.Errorf("%d entered, want 4", len(entered))
		}
	})
}

func TestCounters(t *testing.T) {
	c := newCounters()
	if s := c.stats(); s.TotalRequests != 0 || s.Samples != 0 || s.AvgLatencyMS != 0 {
		t.Errorf("at the start: %+v", s)
	}
	for i := 1; i <= 100; i++ {
		c.done(time.Duration(i)*time.Millisecond, 11, time.Second)
	}
	s := c.stats()
	if s.TotalRequests != 100 || s.MinLatencyMS != 1 || s.MaxLatencyMS != 100 || s.AvgLatencyMS != 50.5 ||
		s.P50LatencyMS != 50 || s.P95LatencyMS != 95 || s.P99LatencyMS != 99 || s.TokensGenerated != 1100 || s.TokensPerSecond != 10 {
		t.Errorf("%+v", s)
	}
	for range 3 * samples {
		c.done(time.Second, 1, 0)
	}
	if s = c.stats(); s.Samples != samples || s.P50LatencyMS != 1000 || s.MinLatencyMS != 1 || s.TotalRequests != 100+3*samples {
		t.Errorf("after many: %+v", s)
	}
}
