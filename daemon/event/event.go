// Package event spreads what happens in the node to whoever watches: the admin WebSocket, the screen, the log.
//
// Two rules. Events have one order, the same for every subscriber. A slow subscriber never holds anyone up: it loses
// its oldest events, and gets an activity of kind "events_lost" in their place.
package event

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/bell"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Sizes of the replay ring and of the queue of one subscriber, in events.
const (
	ringSize  = 100
	queueSize = 256
)

// Bus orders events and hands them out. It is safe for concurrent use; the zero value is ready.
type Bus struct {
	mu       sync.Mutex // guards all below
	last     uint64     // id of the newest event
	ring     []core.Event
	watchers map[*watcher]struct{}
	changed  chan struct{} // closed and replaced when the number of subscribers changes
}

// watcher is one subscriber. Its queue is guarded by the bus's mutex.
type watcher struct {
	queue []core.Event
	lost  int       // events dropped since the subscriber was last told
	wake  bell.Bell // the queue may have something
}

// Publish gives the event the next id, keeps it for replay and queues it for every subscriber. It never blocks.
// Stats and peer lists describe a moment, so only the newest of each is worth replaying.
func (b *Bus) Publish(t core.EventType, data any) core.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	e := core.Event{ID: b.last, Type: t, Data: data}
	b.remember(e)
	for w := range b.watchers {
		w.push(e)
	}
	return e
}

func (b *Bus) remember(e core.Event) {
	if e.Type == core.EventStats || e.Type == core.EventPeers {
		for i, old := range b.ring {
			if old.Type == e.Type {
				b.ring = append(b.ring[:i], b.ring[i+1:]...)
				break
			}
		}
	}
	if len(b.ring) == ringSize {
		b.ring = append(b.ring[:0], b.ring[1:]...)
	}
	b.ring = append(b.ring, e)
}

func (w *watcher) push(e core.Event) {
	if len(w.queue) == queueSize {
		w.queue = append(w.queue[:0], w.queue[1:]...)
		w.lost++
	}
	w.queue = append(w.queue, e)
	w.wake.Ring()
}

// Subscribe returns the kept events with an id above since, then every new one, until ctx ends; then the channel is
// closed.
func (b *Bus) Subscribe(ctx context.Context, since uint64) <-chan core.Event {
	w := &watcher{wake: bell.New()}
	b.mu.Lock()
	for _, e := range b.ring {
		if e.ID > since {
			w.push(e)
		}
	}
	if b.watchers == nil {
		b.watchers = map[*watcher]struct{}{}
	}
	b.watchers[w] = struct{}{}
	b.announce()
	b.mu.Unlock()

	out := make(chan core.Event)
	go b.serve(ctx, w, out)
	return out
}

// serve moves events from the queue of w to out until ctx ends.
func (b *Bus) serve(ctx context.Context, w *watcher, out chan<- core.Event) {
	defer close(out)
	defer b.remove(w)
	for {
		e, ok := b.next(w)
		if !ok {
			select {
			case <-w.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case out <- e:
		case <-ctx.Done():
			return
		}
	}
}

func (b *Bus) next(w *watcher) (core.Event, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(w.queue) == 0 {
		return core.Event{}, false
	}
	if w.lost > 0 {
		return w.confess(), true
	}
	e := w.queue[0]
	w.queue = append(w.queue[:0], w.queue[1:]...)
	return e, true
}

// confess makes the event that stands for those that were lost. Its id is that of the last one lost.
func (w *watcher) confess() core.Event {
	text := fmt.Sprintf("%d events were lost because they were read too slowly", w.lost)
	w.lost = 0
	return core.Event{
		ID:   w.queue[0].ID - 1,
		Type: core.EventActivity,
		Data: core.Activity{Kind: "events_lost", Message: text, Timestamp: time.Now().UTC()},
	}
}

func (b *Bus) remove(w *watcher) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.watchers, w)
	b.announce()
}

// Watched tells how many subscribers there are, and gives a channel that is closed when that changes.
func (b *Bus) Watched() (int, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return len(b.watchers), b.changed
}

// announce wakes those who wait for a change in the number of subscribers. The mutex is held.
func (b *Bus) announce() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}
