package daemon

import (
	"container/list"
	"context"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// gate lets so many requests run at once, and so many more wait in line.
type gate struct {
	mu      sync.Mutex // guards all below
	limit   int
	queue   int
	running int
	line    list.List // of chan struct{}, closed when it is that request's turn
}

func newGate(limit, queue int) *gate { return &gate{limit: limit, queue: queue} }

// enter waits for the request's turn. The error has code CodeOverloaded, at once, when the line is full, or
// CodeCancelled.
func (g *gate) enter(ctx context.Context) error {
	g.mu.Lock()
	if g.running < g.limit {
		g.running++
		g.mu.Unlock()
		return nil
	}
	if g.line.Len() >= g.queue {
		g.mu.Unlock()
		return core.Errorf(core.CodeOverloaded, "%d requests are running and %d are waiting", g.limit, g.queue)
	}
	turn := make(chan struct{})
	place := g.line.PushBack(turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-turn: // both happened; the turn goes to the next
		g.running--
		g.admit()
	default:
		g.line.Remove(place)
	}
	return core.Errorf(core.CodeCancelled, "wait for a turn: %w", ctx.Err())
}

// leave ends a request that entered.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	g.admit()
}

// resize sets new limits. Requests that run or wait already are not turned away.
func (g *gate) resize(limit, queue int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit, g.queue = limit, queue
	g.admit()
}

// admit gives free places to those who wait, first come first served. The mutex is held.
func (g *gate) admit() {
	for g.running < g.limit && g.line.Len() > 0 {
		g.running++
		close(g.line.Remove(g.line.Front()).(chan struct{}))
	}
}

// active is how many requests run.
func (g *gate) active() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running
}
