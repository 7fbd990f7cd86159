package router

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestLineServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLine(1, 4)
		if err := g.enter(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		turns := make(chan int, 3)
		for i := range 3 {
			go func() {
				if err := g.enter(t.Context(), "a"); err == nil {
					turns <- i
				}
			}()
			synctest.Wait()
		}
		if err := g.enter(t.Context(), "a"); core.CodeOf(err) != core.CodeOverloaded {
			t.Errorf("a full line: %v, want overloaded", err)
		}
		for want := range 3 {
			g.leave("a")
			if got := <-turns; got != want {
				t.Errorf("request %d has its turn, want %d", got, want)
			}
		}
		g.leave("a")
		if g.active() != 0 {
			t.Errorf("%d requests are active", g.active())
		}
	})
}

func TestLineForgetsThoseWhoLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLine(1, 1)
		if err := g.enter(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.enter(ctx, "a"); core.CodeOf(err) != core.CodeCancelled {
			t.Errorf("got %v, want cancelled", err)
		}
		done := make(chan error)
		go func() { done <- g.enter(t.Context(), "a") }()
		synctest.Wait()
		g.leave("a")
		if err := <-done; err != nil {
			t.Errorf("the place of one who left is lost: %v", err)
		}
	})
}

func TestLineGrowsAndShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLine(1, 10)
		entered := make(chan struct{}, 10)
		for range 4 {
			go func() {
				if g.enter(t.Context(), "a") == nil {
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
		g.leave("a")
		g.leave("a")
		synctest.Wait()
		if len(entered) != 3 {
			t.Errorf("a shrunk gate let %d in", len(entered))
		}
		g.leave("a")
		synctest.Wait()
		if len(entered) != 4 {
			t.Errorf("%d entered, want 4", len(entered))
		}
	})
}

// TestOneRequesterDoesNotHoldUpTheNext sends 500 requests of one program and then one of another: measured in turns,
// not in time.
func TestOneRequesterDoesNotHoldUpTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(10, 1000)
		turns := make(chan string, 501)
		for i := range 501 {
			who := "busy"
			if i == 500 {
				who = "next"
			}
			go func() {
				if err := l.enter(t.Context(), who); err != nil {
					t.Error(err)
				}
				turns <- who
			}()
			synctest.Wait()
		}
		ended := 0
		for range 10 {
			<-turns
		}
		for who := ""; who != "next"; ended++ {
			l.leave("busy")
			who = <-turns
		}
		if ended > 2 {
			t.Errorf("the next program had its turn after %d requests of the busy one", ended)
		}
		for range 10 - 1 {
			l.leave("busy")
			<-turns
		}
		for l.active() > 1 {
			l.leave("busy")
			synctest.Wait()
		}
		l.leave("next")
		if len(l.by) != 0 || l.waiting != 0 || l.running != 0 {
			t.Errorf("left behind: %d requesters, %d waiting, %d running", len(l.by), l.waiting, l.running)
		}
	})
}

// TestOneRequesterMayNotFillTheLine leaves a quarter of the line to others.
func TestOneRequesterMayNotFillTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(1, 8)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		refused := make(chan error, 20)
		for range 20 {
			go func() {
				if err := l.enter(ctx, "busy"); err != nil {
					refused <- err
				}
			}()
		}
		synctest.Wait()
		if len(refused) != 20-1-6 || core.CodeOf(<-refused) != core.CodeOverloaded {
			t.Fatalf("%d of 20 were refused, want all but one that runs and six that wait", len(refused)+1)
		}
		entered := make(chan error)
		go func() { entered <- l.enter(ctx, "next") }()
		synctest.Wait()
		l.leave("busy")
		if err := <-entered; err != nil {
			t.Fatalf("another one: %v", err)
		}
		l.leave("next")
		for range 6 {
			synctest.Wait()
			l.leave("busy")
		}
	})
}
