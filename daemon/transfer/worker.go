package transfer

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// worker brings chunks from one source. Its speed is guarded by the fetch's mutex.
type worker struct {
	*fetch
	holder Holder
	since  time.Time
	speed  meter
	stop   context.CancelFunc
	asked  []job // by the worker's goroutine only
}

// start lets a source work. The mutex is held.
func (f *fetch) start(ctx context.Context, h Holder) {
	ctx, stop := context.WithCancel(ctx)
	w := &worker{fetch: f, holder: h, since: time.Now(), stop: stop}
	f.workers[h.Peer] = w
	f.work.Go(func() {
		defer stop()
		err := w.run(ctx)
		if ctx.Err() == nil && err != nil {
			w.judge(err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.workers, h.Peer)
		f.giveBack(w)
	})
}

// judge keeps a source out for a while and reports it, by what it did.
func (w *worker) judge(err error) {
	peer := w.holder.Peer
	w.cfg.Log.Debug("shard source ended", "peer", peer.String(), "model", w.id.String(), "err", err)
	var act core.Conduct
	var out time.Duration
	switch core.CodeOf(err) {
	case core.CodeCorrupt:
		act, out = core.ConductCorrupt, banForFault
	case core.CodeInvalidRequest, core.CodeTooLarge:
		act, out = core.ConductMalformed, banForFault
	case core.CodeOverloaded:
		out = banAtFirst
	}
	w.mu.Lock()
	w.ban(peer, out)
	w.mu.Unlock()
	if act != "" {
		w.cfg.report(peer, act)
	}
}

// run asks for chunks and writes them until there is nothing more that the source could bring.
func (w *worker) run(ctx context.Context) error {
	s, err := w.source(w.holder).Open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	for {
		if err := w.ask(s); err != nil {
			return err
		}
		if len(w.asked) == 0 {
			return nil
		}
		if err := w.receive(s); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// ask keeps some requests under way.
func (w *worker) ask(s Session) error {
	for len(w.asked) < inFlight {
		w.mu.Lock()
		j, ok := w.take(w)
		w.mu.Unlock()
		if !ok {
			return nil
		}
		w.asked = append(w.asked, j)
		if err := s.Ask(w.id, w.digest, j.part.index, j.first, j.end-j.first); err != nil {
			return err
		}
	}
	return nil
}

// receive takes the next chunk, proves it and writes it.
func (w *worker) receive(s Session) error {
	c, err := s.Next()
	if err != nil {
		return err
	}
	j := &w.asked[0]
	if c.Index != j.next {
		return core.Errorf(core.CodeInvalidRequest, "peer sends chunk %d in place of %d", c.Index, j.next)
	}
	if err := j.part.write(c); core.CodeOf(err) == core.CodeCorrupt {
		return err
	} else if err != nil {
		w.fail(err) // of this disk, not of the peer
		return nil
	}
	last := w.wrote(w, j.part, c.Index, int64(len(c.Data)))
	if p := j.part; last {
		w.work.Go(func() { w.finish(p) }) // the source goes on with the next shard meanwhile
	}
	if j.next++; j.next == j.end {
		w.asked = w.asked[1:]
	}
	return nil
}

// write proves and writes a chunk. One that is there already, because somebody else was faster, is passed over; its
// shard may be finished.
func (p *part) write(c Chunk) error {
	if p.writer.Has(c.Index) {
		return nil
	}
	err := p.writer.Write(c.Index, c.Data, c.Proof)
	if err != nil && p.writer.Has(c.Index) {
		return nil
	}
	return err
}
