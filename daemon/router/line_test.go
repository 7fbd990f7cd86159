package router

import (
	"context"
	"strconv"
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
		if running, waiting := g.count(); running+waiting != 0 {
			t.Errorf("%d requests run and %d wait", running, waiting)
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

// TestOneRequesterDoesNotHoldUpTheNext sends 500 requests of one requester and then one of another: measured in turns,
// not in time.
func TestOneRequesterDoesNotHoldUpTheNext(t *testing.T) {
	for name, c := range map[string]struct {
		busy func(i int) string
		next string
	}{
		"senders":                   {func(int) string { return "10.0.0.1" }, "10.0.0.2"},
		"programs of a sender":      {func(int) string { return "127.0.0.1\x00script" }, "127.0.0.1\x00chat"},
		"users of a program":        {func(int) string { return "127.0.0.1\x00chat\x00ann" }, "127.0.0.1\x00chat\x00bob"},
		"a program of many users":   {func(i int) string { return "127.0.0.1\x00chat\x00" + strconv.Itoa(i) }, "127.0.0.1\x00other"},
		"a sender of many programs": {func(i int) string { return "10.0.0.1\x00" + strconv.Itoa(i) }, "10.0.0.2"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { holdUp(t, c.busy, c.next) })
		})
	}
}

func holdUp(t *testing.T, busy func(int) string, next string) {
	l := newLine(10, 1000)
	turns := make(chan string, 501)
	for i := range 501 {
		who := next
		if i < 500 {
			who = busy(i)
		}
		go func() {
			if err := l.enter(t.Context(), who); err != nil {
				t.Error(err)
			}
			turns <- who
		}()
		synctest.Wait()
	}
	ended, came := 0, false
	for range 501 {
		who := <-turns
		l.leave(who)
		synctest.Wait()
		if came = came || who == next; !came {
			ended++
		}
	}
	if ended > 11 { // ten ran already
		t.Errorf("the next one had its turn after %d requests of the busy one", ended)
	}
	if running, waiting := l.count(); len(l.root.below) != 0 || running != 0 || waiting != 0 {
		t.Errorf("left behind: %d requesters, %d waiting, %d running", len(l.root.below), waiting, running)
	}
}

// TestOneRequesterMayNotFillTheLine leaves a quarter of the line to other senders, and a part of a sender's to its other
// programs; who calls himself many gets no more.
func TestOneRequesterMayNotFillTheLine(t *testing.T) {
	for name, c := range map[string]struct {
		busy func(i int) string
		next string
		wait int // how many of the busy one may wait, of 16 places
	}{
		"sender of many programs": {func(i int) string { return "10.0.0.1\x00" + strconv.Itoa(i) }, "10.0.0.2", 12},
		"program of many users":   {func(i int) string { return "127.0.0.1\x00chat\x00" + strconv.Itoa(i) }, "127.0.0.1\x00other", 9},
		"one user":                {func(int) string { return "127.0.0.1\x00chat\x00ann" }, "127.0.0.1\x00other\x00ann", 9},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLine(0, 16)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				refused := make(chan error, 40)
				for i := range 40 {
					go func() { refused <- l.enter(ctx, c.busy(i)) }()
				}
				synctest.Wait()
				if n := 40 - len(refused); n != c.wait || core.CodeOf(<-refused) != core.CodeOverloaded {
					t.Errorf("%d wait, want %d", n, c.wait)
				}
				go func() { refused <- l.enter(ctx, c.next) }()
				synctest.Wait()
				if _, waiting := l.count(); waiting != c.wait+1 {
					t.Errorf("%d wait, want one more of another requester", waiting)
				}
			})
		})
	}
}

// TestLineHasAnEnd lets ever new senders come.
func TestLineHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(0, 16)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i := range 40 {
			go func() { _ = l.enter(ctx, strconv.Itoa(i)) }()
		}
		synctest.Wait()
		if _, waiting := l.count(); waiting != 16 || len(l.root.below) != 16 {
			t.Errorf("%d wait, of %d senders; want 16", waiting, len(l.root.below))
		}
	})
}
