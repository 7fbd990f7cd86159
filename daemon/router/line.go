package router

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// line is the one place in which requests wait: so many run at once, and so many more wait. It is fair to senders, then
// to the programs of one sender, then to the users of one program: of each, whoever has the fewest requests running is
// next, and among equals the one served longest ago. So one program that sends hundreds does not make the next wait for
// all of them, and one that calls itself many users gets no more than another.
type line struct {
	mu    sync.Mutex // guards all below
	limit int
	queue int
	clock uint64 // counts what came and what was served
	root  *place
}

// levels is how deep the line is: sender, program, user. core.GenerateRequest.Requester names them in this order.
const levels = 3

// place is what a requester, or all below it, have in the line.
type place struct {
	parent  *place
	name    string
	running int
	waiting int
	served  uint64            // when the last turn was; 0 is never
	came    uint64            // when it came into the line
	below   map[string]*place // those with a running or a waiting request
	turns   []chan struct{}   // of the requests that wait here, in order; closed when it is that request's turn
}

func newLine(limit, queue int) *line {
	return &line{limit: limit, queue: queue, root: &place{below: map[string]*place{}}}
}

// enter waits for the request's turn; leave must follow. The error has code CodeOverloaded, at once, when the line is
// full, or the requester has its share of it, or CodeCancelled.
func (l *line) enter(ctx context.Context, requester string) error {
	l.mu.Lock()
	p := l.of(requester)
	if l.root.running < l.limit {
		l.start(p)
		l.mu.Unlock()
		return nil
	}
	if l.full(p) {
		p.clean()
		limit, waiting := l.limit, l.root.waiting
		l.mu.Unlock()
		return core.Errorf(core.CodeOverloaded, "%d requests are running and %d are waiting", limit, waiting)
	}
	turn := make(chan struct{})
	p.turns = append(p.turns, turn)
	p.wait(1)
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
		l.end(p)
	default:
		p.turns = slices.DeleteFunc(p.turns, func(c chan struct{}) bool { return c == turn })
		p.wait(-1)
		p.clean()
	}
	return core.Errorf(core.CodeCancelled, "wait for a turn: %w", ctx.Err())
}

// leave ends a request that entered.
func (l *line) leave(requester string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(l.of(requester))
}

// resize sets new limits. Requests that run or wait already are not turned away.
func (l *line) resize(limit, queue int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit, l.queue = limit, queue
	l.admit()
}

// count is how many requests run, and how many wait.
func (l *line) count() (running, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.root.running, l.root.waiting
}

// of is the place of a requester. The mutex is held, as for all below.
func (l *line) of(requester string) *place {
	names := append(strings.SplitN(requester, "\x00", levels), make([]string, levels)...)
	p := l.root
	for _, name := range names[:levels] {
		next, ok := p.below[name]
		if !ok {
			l.clock++
			next = &place{parent: p, name: name, came: l.clock, below: map[string]*place{}}
			p.below[name] = next
		}
		p = next
	}
	return p
}

// full tells whether no more requests of a user may wait: a sender may have three quarters of the line, and a program
// three quarters of its sender's part.
func (l *line) full(user *place) bool {
	program := user.parent
	sender := program.parent
	part := l.queue - l.queue/4
	return l.root.waiting >= l.queue || sender.waiting >= part || program.waiting >= part-part/4
}

func (l *line) start(p *place) {
	l.clock++
	for ; p != nil; p = p.parent {
		p.running++
		p.served = l.clock
	}
}

func (l *line) end(p *place) {
	for q := p; q != nil; q = q.parent {
		q.running--
	}
	l.admit()
	p.clean()
}

// admit gives free places to those whose turn it is.
func (l *line) admit() {
	for l.root.running < l.limit && l.root.waiting > 0 {
		p := l.root
		for range levels {
			p = p.next()
		}
		turn := p.turns[0]
		p.turns = p.turns[1:]
		p.wait(-1)
		l.start(p)
		close(turn)
	}
}

// wait counts n more requests that wait.
func (p *place) wait(n int) {
	for ; p != nil; p = p.parent {
		p.waiting += n
	}
}

// clean forgets a requester that has nothing in the line.
func (p *place) clean() {
	for ; p.parent != nil && p.running == 0 && p.waiting == 0; p = p.parent {
		delete(p.parent.below, p.name)
	}
}

// next is the place below p whose turn it is; somebody waits there.
func (p *place) next() (best *place) {
	for _, q := range p.below {
		if q.waiting > 0 && (best == nil || q.before(best)) {
			best = q
		}
	}
	return best
}

func (p *place) before(q *place) bool {
	switch {
	case p.running != q.running:
		return p.running < q.running
	case p.served != q.served:
		return p.served < q.served
	}
	return p.came < q.came
}
