package pipeline

import (
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// watch pings the ring and looks for stages that are silent.
func (p *Pipe) watch() {
	tick := time.NewTicker(beatEvery / 4)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%4 == 0 {
			p.ping()
		}
		select {
		case <-tick.C:
		case <-p.broken:
			return
		}
		if err := p.silent(time.Now()); err != nil {
			p.fail(err)
			return
		}
	}
}

func (p *Pipe) ping() {
	p.mu.Lock()
	p.pings++
	p.pinged = time.Now()
	number := p.pings
	p.mu.Unlock()
	// A broken stream is found by its reader. The write may wait for a large batch, or for a peer that takes nothing,
	// which must not keep watch from looking at the beats.
	p.work.Go(func() { _ = p.out.Send(kindPing, &wire.PipelinePing{Number: number}) })
}

// silent returns the error of the first stage that gives no sign of life, or makes no progress.
func (p *Pipe) silent(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, seen := range p.seen {
		limit := beatSilence
		if seen.IsZero() {
			seen, limit = p.begun, openSilence*time.Duration(i+1)
		}
		if since := now.Sub(seen); since >= limit {
			return lost(p.peer(p.quiet(i, now)), core.Errorf(core.CodeTimeout, "nothing was heard of it for %s", since.Round(time.Millisecond)))
		}
	}
	if len(p.pending) == 0 || now.Sub(p.pending[0].begun) < stuckLimit {
		return nil
	}
	for i, n := range p.finish {
		if n < p.pending[0].number {
			return lost(p.peer(i), core.Errorf(core.CodeTimeout, "a batch is stuck there"))
		}
	}
	return lost(p.peer(p.last()), core.Errorf(core.CodeTimeout, "a result did not come"))
}

// quiet finds the first stage up to i that has missed a beat: the beats of those behind it pass through it. The mutex
// is held.
func (p *Pipe) quiet(i int, now time.Time) int {
	for j, seen := range p.seen[:i] {
		if seen.IsZero() || now.Sub(seen) >= 2*beatEvery {
			return j
		}
	}
	return i
}
