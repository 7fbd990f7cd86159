package transfer

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// How sources are used.
const (
	maxSources  = 4 // of a model at once, as near as one another
	batch       = 4 // chunks of one request
	inFlight    = 2 // requests asked of a source at once, so that the line is never idle
	lookEvery   = time.Second
	grace       = 5 * time.Second // before a source is judged by its speed
	muchSlower  = 8               // a source is replaced when another is so many times faster
	nearEnough  = 4 << 20         // bytes a second that near sources bring together before far ones help
	tooSlow     = 32 << 10        // bytes a second below which one is replaced if anybody waits
	banForFault = 10 * time.Minute
	banForSpeed = time.Minute
	banAtFirst  = 2 * time.Second // for a bad line; doubles
	banAtMost   = time.Minute
)

// Holder is a source of a model as the swarm knows it.
type Holder struct {
	Peer   core.PeerID
	LAN    bool
	RTT    time.Duration
	Shards core.Bitmap
	Source Source // nil is the peer itself
}

// fetch brings some shards of one model. Sources pull: each takes the next chunks of the rarest shard that it has.
type fetch struct {
	*Manager
	id      core.ModelID
	digest  core.Digest
	model   *shard.Model
	advance func(*part) // tells of a shard that is here

	mu      sync.Mutex // guards the rest, and parts
	parts   []*part    // rarest first
	holders []Holder
	workers map[core.PeerID]*worker
	bans    map[core.PeerID]ban
	fatal   error
	changed chan struct{} // closed when there may be something to take
	work    sync.WaitGroup
}

// ban keeps a source out for a while.
type ban struct {
	until time.Time
	last  time.Duration
}

func (m *Manager) newFetch(model *shard.Model, id core.ModelID, digest core.Digest, shards []int) (*fetch, error) {
	f := &fetch{Manager: m, id: id, digest: digest, model: model, workers: map[core.PeerID]*worker{}, bans: map[core.PeerID]ban{}, changed: make(chan struct{})}
	for _, i := range shards {
		p, err := newPart(model, i)
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		f.parts = append(f.parts, p)
	}
	return f, nil
}

// close keeps what is there of shards that are not finished.
func (f *fetch) close() (err error) {
	for _, p := range f.parts {
		if !p.finished {
			err = errors.Join(err, p.writer.Close())
		}
	}
	return err
}

// run returns nil when all shards are here, and otherwise at the end of ctx or with an error that trying again does
// not help against. A lack of sources is none: they may come.
func (f *fetch) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	f.finishEmpty()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		f.look(ctx)
		f.mu.Lock()
		done, fatal, changed := f.done(), f.fatal, f.changed
		f.mu.Unlock()
		if done || fatal != nil || ctx.Err() != nil {
			stop()
			f.work.Wait()
			if closed := f.close(); fatal == nil { // what stopped the fetch says more than what came of it
				fatal = errors.Join(closed, ctxError(ctx, done))
			}
			return fatal
		}
		select {
		case <-tick.C:
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func ctxError(ctx context.Context, settled bool) error {
	if settled {
		return nil
	}
	return ctx.Err()
}

// finishEmpty finishes shards that an earlier run had written in full.
func (f *fetch) finishEmpty() {
	for _, p := range f.parts {
		if p.left == 0 {
			f.finish(p)
		}
	}
}

func (f *fetch) done() bool {
	return !slices.ContainsFunc(f.parts, func(p *part) bool { return !p.finished })
}

// wake lets those look again who found nothing to take. The mutex is held.
func (f *fetch) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// look asks who has what now, puts the rarest shards first, drops sources that are far slower than others, and
// starts those that are of use.
func (f *fetch) look(ctx context.Context) {
	holders := f.cfg.Holders(f.id, f.digest)
	slices.SortStableFunc(holders, func(a, b Holder) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.RTT, b.RTT)) })
	f.mu.Lock()
	defer f.mu.Unlock()
	f.holders = holders
	slices.SortStableFunc(f.parts, func(a, b *part) int {
		return cmp.Or(cmp.Compare(f.copies(a.index), f.copies(b.index)), cmp.Compare(a.index, b.index))
	})
	now := time.Now()
	f.dropSlow(now)
	for _, h := range holders {
		if f.fatal != nil || ctx.Err() != nil {
			return
		}
		if f.workers[h.Peer] != nil || h.Peer == f.cfg.Network.Self() || now.Before(f.bans[h.Peer].until) ||
			f.working(rank(h)) >= maxSources || !f.useful(h) {
			continue
		}
		f.start(ctx, h)
	}
}

// rank says in which order sources are preferred.
func rank(h Holder) int {
	switch {
	case h.LAN:
		return 0
	case h.Source == nil:
		return 1
	default:
		return 2
	}
}

// working counts the sources of a rank that work. The mutex is held.
func (f *fetch) working(r int) (n int) {
	for _, w := range f.workers {
		if rank(w.holder) == r {
			n++
		}
	}
	return n
}

// copies is how many holders a shard has.
func (f *fetch) copies(index int) (n int) {
	for _, h := range f.holders {
		if h.Shards.Has(index) {
			n++
		}
	}
	return n
}

// useful tells whether a source has anything that nobody was asked for. The mutex is held.
func (f *fetch) useful(h Holder) bool {
	return slices.ContainsFunc(f.parts, func(p *part) bool {
		return p.left > 0 && slices.Contains(p.chunks, chunkMissing) && f.mayServe(h, p)
	})
}

// mayServe keeps far sources away from shards that near ones are bringing, unless those turn out to be slow. The mutex
// is held.
func (f *fetch) mayServe(h Holder, p *part) bool {
	if !h.Shards.Has(p.index) {
		return false
	}
	now, speed, nearer := time.Now(), 0.0, false
	for _, w := range f.workers {
		if rank(w.holder) >= rank(h) || !w.holder.Shards.Has(p.index) {
			continue
		}
		if now.Sub(w.since) < grace {
			return false
		}
		nearer, speed = true, speed+w.speed.perSecond(now)
	}
	return !nearer || speed < nearEnough
}

// dropSlow ends a source that is far slower than the fastest, or of hardly any use, when others have what it was
// asked for. The mutex is held.
func (f *fetch) dropSlow(now time.Time) {
	best := float64(tooSlow)
	if f.down.on() {
		best = 0 // then it may be the cap that makes it slow
	}
	for _, w := range f.workers {
		best = max(best, w.speed.perSecond(now)/muchSlower)
	}
	for _, w := range f.workers {
		if w.speed.perSecond(now) < best && now.Sub(w.since) > grace && f.replaceable(w, now) {
			f.ban(w.holder.Peer, banForSpeed)
			w.stop()
		}
	}
}

// replaceable tells whether others have all that a source may be asked for. The mutex is held.
func (f *fetch) replaceable(w *worker, now time.Time) bool {
	other := func(h Holder) bool {
		return h.Peer != w.holder.Peer && h.Peer != f.cfg.Network.Self() && !now.Before(f.bans[h.Peer].until)
	}
	return !slices.ContainsFunc(f.parts, func(p *part) bool {
		return p.left > 0 && w.holder.Shards.Has(p.index) &&
			!slices.ContainsFunc(f.holders, func(h Holder) bool { return other(h) && h.Shards.Has(p.index) })
	})
}

// ban keeps a source out for a time that doubles if it is a bad line. The mutex is held.
func (f *fetch) ban(peer core.PeerID, d time.Duration) {
	b := f.bans[peer]
	if d == 0 {
		d = min(max(banAtFirst, 2*b.last), banAtMost)
		b.last = d
	}
	if until := time.Now().Add(d); until.After(b.until) {
		b.until = until
	}
	f.bans[peer] = b
}

// take finds the next chunks for a source: missing ones of the rarest shard it has, or else some that a source much
// slower was asked for. The mutex is held.
func (f *fetch) take(w *worker) (job, bool) {
	for _, p := range f.parts {
		if p.left == 0 || !f.mayServe(w.holder, p) {
			continue
		}
		if first, n := p.run(batch, func(i int) bool { return p.chunks[i] == chunkMissing }); n > 0 {
			return f.assign(w, p, first, n, chunkAsked), true
		}
	}
	now := time.Now()
	for _, p := range f.parts {
		if p.left == 0 || !w.holder.Shards.Has(p.index) {
			continue
		}
		first, n := p.run(batch, func(i int) bool {
			o := p.owner[i]
			return p.chunks[i] == chunkAsked && o != w && o != nil && o.speed.perSecond(now)*2 < w.speed.perSecond(now)
		})
		if n > 0 {
			return f.assign(w, p, first, n, chunkTwice), true
		}
	}
	return job{}, false
}

// job is chunks asked of a source.
type job struct {
	part        *part
	first, next int
	end         int
}

func (f *fetch) assign(w *worker, p *part, first, n int, s chunkState) job {
	for i := first; i < first+n; i++ {
		p.chunks[i], p.owner[i] = s, w
	}
	p.peers[w.holder.Peer] = true
	return job{p, first, first, first + n}
}

// giveBack makes what a source did not bring free for others. The mutex is held.
func (f *fetch) giveBack(w *worker) {
	for _, p := range f.parts {
		for i := range p.chunks {
			if p.owner[i] == w && p.chunks[i] != chunkHere {
				p.chunks[i], p.owner[i] = chunkMissing, nil
			}
		}
		delete(p.peers, w.holder.Peer)
	}
	f.wake()
}

// wrote notes a chunk that is on the disk, and tells whether it was the shard's last.
func (f *fetch) wrote(w *worker, p *part, chunk int, bytes int64) (last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	w.speed.add(bytes, now)
	f.bans[w.holder.Peer] = ban{}
	if p.chunks[chunk] == chunkHere {
		return false
	}
	p.chunks[chunk] = chunkHere
	p.left--
	p.bytes += bytes
	p.speed.add(bytes, now)
	return p.left == 0
}

// finish gives a shard its name and tells of it.
func (f *fetch) finish(p *part) {
	err := p.writer.Finish()
	if err == nil {
		f.advance(p)
	}
	f.mu.Lock()
	p.finished = err == nil
	f.wake()
	f.mu.Unlock()
	if err != nil {
		f.fail(err)
	}
}

// fail ends the fetch with the first error given.
func (f *fetch) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fatal == nil {
		f.fatal = err
	}
	for _, w := range f.workers {
		w.stop()
	}
	f.wake()
}
