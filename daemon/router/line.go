package router

import (
	"context"
	"slices"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// line is the one place in which requests wait: so many run at once, and so many more wait. Whoever has the fewest
// requests running is next, and among equals the one served longest ago, so that one program that sends hundreds does
// not make the next wait for all of them.
type line struct {
	mu      sync.Mutex // guards all below
	limit   int
	queue   int
	running int
	waiting int
	served  uint64
	by      map[string]*place // of requesters with a running or a waiting request
}

// place is what one requester has in the line.
type place struct {
	running int
	served  uint64          // when its last turn was
	turns   []chan struct{} // of those that wait, in order; closed when it is that request's turn
}

func newLine(limit, queue int) *line {
	return &line{limit: limit, queue: queue, by: map[string]*place{}}
}

// enter waits for the request's turn; leave must follow. The error has code CodeOverloaded, at once, when the line is
// full, or the requester has three quarters of it, or CodeCancelled.
func (l *line) enter(ctx context.Context, requester string) error {
	l.mu.Lock()
	p := l.of(requester)
	if l.running < l.limit {
		l.start(p)
		l.mu.Unlock()
		return nil
	}
	if share := l.queue - l.queue/4; l.waiting >= l.queue || len(p.turns) >= share {
		l.clean(requester)
		limit, waiting := l.limit, l.waiting
		l.mu.Unlock()
		return core.Errorf(core.CodeOverloaded, "%d requests are running and %d are waiting", limit, waiting)
	}
	turn := make(chan struct{})
	p.turns = append(p.turns, turn)
	l.waiting++
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-turn: // both happened; the turn goes to the next
		l.end(requester)
	default:
		p.turns = slices.DeleteFunc(p.turns, func(c chan struct{}) bool { return c == turn })
		l.waiting--
		l.clean(requester)
	}
	return core.Errorf(core.CodeCancelled, "wait for a turn: %w", ctx.Err())
}

// leave ends a request that entered.
func (l *line) leave(requester string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(requester)
}

// resize sets new limits. Requests that run or wait already are not turned away.
func (l *line) resize(limit, queue int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit, l.queue = limit, queue
	l.admit()
}

// active is how many requests run.
func (l *line) active() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running
}

// of is the place of a requester. The mutex is held, as for all below.
func (l *line) of(requester string) *place {
	p, ok := l.by[requester]
	if !ok {
		p = &place{}
		l.by[requester] = p
	}
	return p
}

func (l *line) start(p *place) {
	l.running++
	l.served++
	p.running++
	p.served = l.served
}

func (l *line) end(requester string) {
	l.running--
	l.by[requester].running--
	l.admit()
	l.clean(requester)
}

// clean forgets a requester that has nothing in the line.
func (l *line) clean(requester string) {
	if p := l.by[requester]; p.running == 0 && len(p.turns) == 0 {
		delete(l.by, requester)
	}
}

// admit gives free places to those whose turn it is.
func (l *line) admit() {
	for l.running < l.limit && l.waiting > 0 {
		p := next(l.by)
		turn := p.turns[0]
		p.turns = p.turns[1:]
		l.waiting--
		l.start(p)
		close(turn)
	}
}

// next is the place whose turn it is; somebody waits.
func next(by map[string]*place) (best *place) {
	for _, p := range by {
		if len(p.turns) == 0 {
			continue
		}
		if best == nil || p.running < best.running || p.running == best.running && p.served < best.served {
			best = p
		}
	}
	return best
}
