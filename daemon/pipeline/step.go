package pipeline

import (
	"errors"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/frame"
)

// begin makes of a batch what the window gets, once those before it have run. The station's goroutine calls it.
func (s *session) begin(t *task) {
	from := &t.packet.batch
	s.countOps(from.Ops)
	if t.failed == nil {
		t.failed = s.countRows(from.Rows)
	}
	t.batch = engine.Batch{Embed: from.Embed, Spare: s.hidden}
	if t.failed == nil {
		t.batch.Ops, t.batch.Rows = s.share.window(from.Ops, from.Rows)
		t.batch.Hidden = from.Hidden
	} else {
		t.batch.Ops, _ = s.share.window(from.Ops, nil)
	}
}

// end hands on what came of a batch. The station's goroutine calls it.
func (s *session) end(t *task) {
	defer s.finish(t)
	if s.ctx.Err() != nil { // the batch was cancelled because the session ended, which is nobody's result
		return
	}
	t.slowest = max(t.slowest, uint32(min(t.took.Microseconds(), 1<<31)))
	if core.CodeOf(t.err) == core.CodeEngineCrashed {
		s.fail(t.err)
		return
	}
	if t.err != nil {
		s.uncount(t)
		t.out = engine.Output{}
		if t.failed == nil {
			t.failed = asError(t.err)
		}
	}
	if err := frame.CheckHidden(t.out.Hidden, s.shape.Embedding); err != nil { // this node's window is at fault
		s.fail(core.Errorf(core.CodeEngineCrashed, "the window's output: %w", err))
		return
	}
	if t.batch.Rows != nil {
		for i, r := range t.batch.Rows {
			t.packet.batch.Rows[i].Seq = s.share.session(r.Seq)
		}
	}
	s.forward(t, &t.out)
	if t.out.Hidden != nil {
		s.hidden = t.out.Hidden
	}
}

// forward makes the frame for whoever is next.
func (s *session) forward(t *task, out *engine.Output) {
	body, err := s.body(), error(nil)
	if s.opening.last() {
		body = appendResult(body, &result{t.header, *out}, s.next)
	} else {
		p := packet{t.header, t.packet.batch}
		p.batch.Hidden = out.Hidden
		body, err = appendPacket(body, &p, s.next)
	}
	if err != nil {
		s.fail(err)
		return
	}
	s.frames <- body // has room: no more batches are here than there are credits
}

// finish lets a task be used again.
func (s *session) finish(t *task) {
	s.mu.Lock()
	delete(s.running, t.number)
	s.mu.Unlock()
	t.cancel()
	*t = task{packet: t.packet, begin: t.begin, end: t.end}
	select {
	case s.tasks <- t:
	default:
	}
}

// send writes frames in the order in which they were made. It waits for the way on to be there.
func (s *session) send() {
	kind := kindBatch
	if s.opening.last() {
		kind = kindResult
	}
	for {
		select {
		case body := <-s.frames:
			if s.ctx.Err() != nil {
				return
			}
			s.held.Add(-1)
			if err := s.onward(s.down.Load().SendPayload(kind, body)); err != nil {
				s.fail(err)
				return
			}
			s.done.Add(1)
			select {
			case s.spare <- body[:0]:
			default:
			}
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *session) body() []byte {
	select {
	case b := <-s.spare:
		return b
	default:
		return nil
	}
}

// countOps follows the lengths of the session's sequences.
func (s *session) countOps(ops []engine.Op) {
	copy(s.before, s.lens)
	for _, op := range ops {
		switch op.Kind {
		case engine.OpTrim:
			s.lens[op.Seq] = min(s.lens[op.Seq], op.From)
		case engine.OpCopy:
			s.lens[op.Seq] = min(op.From, s.lens[op.Source])
		}
	}
	copy(s.after, s.lens)
}

// countRows counts rows in, or refuses those that leave a gap, go back, or are more than the session was granted.
func (s *session) countRows(rows []engine.Row) *core.Error {
	total := len(rows)
	for _, n := range s.lens {
		total += int(n)
	}
	if total > s.share.context {
		return core.Errorf(core.CodeOverloaded, "the session's %d tokens are used up", s.share.context)
	}
	for i, r := range rows {
		if r.Pos != s.lens[r.Seq] {
			want := s.lens[r.Seq]
			copy(s.lens, s.after)
			return core.Errorf(core.CodeInvalidRequest, "row %d has position %d of a sequence of %d", i, r.Pos, want)
		}
		s.lens[r.Seq]++
	}
	return nil
}

// uncount takes back what a failed batch did not leave in the window: the rows that had not run and, unless it was only
// cancelled, perhaps its operations.
func (s *session) uncount(t *task) {
	copy(s.lens, s.after)
	for _, r := range t.batch.Rows[:t.at] {
		s.lens[s.share.session(r.Seq)]++
	}
	if core.CodeOf(t.err) == core.CodeCancelled {
		return
	}
	for i, n := range s.before {
		s.lens[i] = max(s.lens[i], n)
	}
}

func asError(err error) *core.Error {
	if e, ok := errors.AsType[*core.Error](err); ok {
		return e
	}
	return core.Errorf(core.CodeInternal, "%w", err)
}
