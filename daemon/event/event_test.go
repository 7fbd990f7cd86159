package event

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func drain(ch <-chan core.Event, n int) []uint64 {
	ids := make([]uint64, n)
	for i := range ids {
		ids[i] = (<-ch).ID
	}
	return ids
}

func TestReplayThenLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var b Bus
		for range ringSize + 5 {
			b.Publish(core.EventActivity, nil)
		}
		ch := b.Subscribe(ctx, 0)
		b.Publish(core.EventModelsChanged, nil)
		ids := drain(ch, ringSize+1)
		for i, id := range ids {
			if want := uint64(i + 6); id != want {
				t.Fatalf("event %d has id %d, want %d", i, id, want)
			}
		}
		late := b.Subscribe(ctx, 104)
		if ids := drain(late, 2); ids[0] != 105 || ids[1] != 106 {
			t.Errorf("since 104: got %v, want 105 and 106", ids)
		}
		cancel()
		if _, open := <-ch; open {
			t.Error("the channel stays open after its context ended")
		}
	})
}

func TestSlowSubscriberLosesTheOldestOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var b Bus
		ch := b.Subscribe(ctx, 0)
		const published = 3 * queueSize
		for range published {
			b.Publish(core.EventActivity, nil)
		}
		synctest.Wait()
		var last uint64
		told := false
		for last < published {
			e := <-ch
			if e.ID <= last {
				t.Fatalf("event %d follows %d", e.ID, last)
			}
			if a, ok := e.Data.(core.Activity); ok && a.Kind == "events_lost" {
				told = true
			} else if e.ID != last+1 && !told {
				t.Fatalf("events before %d are lost without a word", e.ID)
			}
			last = e.ID
		}
		if !told {
			t.Error("nothing was lost: the queue has no bound")
		}
	})
}

func TestOneOrderForAll(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var b Bus
	one, two := b.Subscribe(ctx, 0), b.Subscribe(ctx, 0)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 25 {
				b.Publish(core.EventActivity, i)
			}
		})
	}
	for i := range 100 {
		x, y := <-one, <-two
		if x != y || x.ID != uint64(i+1) {
			t.Fatalf("at %d: %v and %v", i, x, y)
		}
	}
	wg.Wait()
}

func TestOnlyTheNewestStatsAreReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var b Bus
		b.Publish(core.EventActivity, "first")
		for range 2 * ringSize {
			b.Publish(core.EventStats, nil)
		}
		ch := b.Subscribe(ctx, 0)
		if e := <-ch; e.Data != "first" {
			t.Errorf("stats pushed the activity out of the ring; got %v", e)
		}
		if e := <-ch; e.ID != 2*ringSize+1 {
			t.Errorf("got stats %d, want the newest", e.ID)
		}
	})
}

func TestWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Bus
		n, changed := b.Watched()
		ctx, cancel := context.WithCancel(t.Context())
		b.Subscribe(ctx, 0)
		<-changed
		if m, _ := b.Watched(); n != 0 || m != 1 {
			t.Errorf("subscribers %d then %d, want 0 then 1", n, m)
		}
		_, changed = b.Watched()
		cancel()
		<-changed
		if m, _ := b.Watched(); m != 0 {
			t.Errorf("%d subscribers stay after their context ended", m)
		}
	})
}
