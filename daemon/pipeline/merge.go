package pipeline

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/mean"
)

const (
	stepTarget = 50 * time.Millisecond // how long a step with rows of several sessions should take: nobody can stop it
	activeFor  = 2 * time.Second       // a session whose last batch came so lately is expected to send another
	smallPart  = 16                    // most rows of a batch that runs beside a large one, as those of decode do
	leastPart  = 4                     // fewest rows of a part of a large batch, and fewest that are measured
	mostMarked = 64                    // sampled rows of a step that every window can take
)

// task is a batch of a session at a stage. While other sessions are active, its rows may run in several steps.
type task struct {
	packet
	ctx    context.Context
	cancel context.CancelFunc
	begin  func(*task) // makes the batch once the tasks before it have ended; nil if it is there
	end    func(*task) // takes what came of it

	batch engine.Batch // in the window's sequences
	begun bool
	at    int // rows that have run
	out   engine.Output
	took  time.Duration // of its steps; of those that it shared, its part
	err   error
}

// part is the rows of a task that run in one step: the first of those left.
type part struct {
	share *share
	task  *task
	rows  int
}

func (t *task) left() int { return len(t.batch.Rows) - t.at }

// single tells whether a task must not share a step.
func (t *task) single() bool { return t.batch.Embed || t.left() == 0 || t.ctx.Err() != nil }

// cut is how many of the first n rows left run together: drafts stay with the row before them, even if that makes more.
func (t *task) cut(n int) int {
	rows := t.batch.Rows[t.at:]
	n = min(n, len(rows))
	end := n
	for end > 0 && end < len(rows) && rows[end].Draft {
		end--
	}
	if end > 0 {
		return end
	}
	for n < len(rows) && rows[n].Draft {
		n++
	}
	return n
}

func (p part) marked() (n int) {
	for _, r := range p.task.batch.Rows[p.task.at : p.task.at+p.rows] {
		if r.Sample {
			n++
		}
	}
	return n
}

// gather takes what runs next: of each session only its oldest batch. A session that leaves goes before all. missing is how
// many others are active.
func (st *station) gather() (parts []part, missing int, gone *share, ended bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	var waiting []part
	now, active := time.Now(), 0
	for _, sh := range st.users {
		if sh.leaving {
			return nil, 0, sh, false
		}
		if len(sh.queue) > 0 {
			t := sh.queue[0]
			if !t.begun && t.begin != nil {
				t.begin(t)
			}
			t.begun, sh.used = true, now
			waiting = append(waiting, part{sh, t, t.left()})
		}
		if now.Sub(sh.used) < activeFor {
			active++
		}
	}
	switch {
	case len(waiting) == 0:
		return nil, 0, nil, st.ended
	case active == 1:
		return waiting, 0, nil, false
	}
	return choose(waiting, st.shape.BatchRows, st.target()), active - len(waiting), nil, false
}

// target is how many rows a step for several sessions should have.
func (st *station) target() int {
	if st.rowTime == 0 {
		return smallPart
	}
	return max(int(stepTarget/st.rowTime), leastPart)
}

// choose cuts what runs in one step of most rows out of the batches that wait, in the order of their turns. The first is
// always among them. Small batches run whole, such as those of decode; what they leave of the target goes to one large
// batch, so that a prompt neither stops others nor is stopped by them.
func choose(waiting []part, most, target int) (parts []part) {
	if first := waiting[0]; first.task.single() {
		first.rows = first.task.cut(target)
		return []part{first}
	}
	target = min(target, most)
	small, left := min(smallPart, target), target
	for _, p := range waiting {
		if !p.task.single() && p.rows <= small {
			left -= p.rows
		}
	}
	marks, large := mostMarked, false
	for _, p := range waiting {
		if p.task.single() || p.rows > small && large {
			continue
		}
		if p.rows > small {
			large = true
			p.rows = p.task.cut(max(left, leastPart))
		}
		if marked := p.marked(); len(parts) == 0 || p.rows <= most && marked <= marks {
			parts, most, marks = append(parts, p), most-p.rows, marks-marked
		}
	}
	return parts
}

// step runs parts of batches. What goes wrong with one does not touch the others.
func (st *station) step(parts []part) {
	if len(parts) > 1 {
		parts = st.prepare(parts)
	}
	if len(parts) > 1 && st.together(parts) {
		return
	}
	for _, p := range parts {
		st.alone(p)
	}
}

// prepare applies the operations of each batch by themselves: they can be refused, and must not be applied twice. It
// returns the parts that go on.
func (st *station) prepare(parts []part) (ready []part) {
	for _, p := range parts {
		t := p.task
		if len(t.batch.Ops) > 0 {
			_, t.err = st.window.Step(context.WithoutCancel(t.ctx), &engine.Batch{Ops: t.batch.Ops})
			t.batch.Ops = nil
		}
		if t.err == nil {
			ready = append(ready, p)
		}
	}
	return ready
}

// together runs parts in one step. It is false if the window refused it, for which any of them may be to blame: then
// nothing has run. The step is cancelled when all of them are.
func (st *station) together(parts []part) bool {
	b := engine.Batch{Spare: st.hidden}
	for _, p := range parts {
		b.Rows = append(b.Rows, p.task.batch.Rows[p.task.at:p.task.at+p.rows]...)
		b.Hidden = append(b.Hidden, st.states(p)...)
	}
	ctx, cancel := untilAll(parts)
	defer cancel()
	out, took, err := st.pass(ctx, &b, len(parts))
	switch core.CodeOf(err) {
	case core.CodeCancelled, core.CodeEngineCrashed, "":
	default:
		return false
	}
	first := 0
	for _, p := range parts {
		if p.task.err = err; err == nil {
			p.task.take(out, first, p.rows, st.shape.Embedding)
			p.task.took += took * time.Duration(p.rows) / time.Duration(len(b.Rows))
		}
		first += p.rows
	}
	if err == nil {
		st.hidden = out.Hidden
	}
	return true
}

// alone runs a part in a step of its own, which ends when its batch is cancelled.
func (st *station) alone(p part) {
	t, whole := p.task, p.rows == len(p.task.batch.Rows)
	b := engine.Batch{
		Ops: t.batch.Ops, Rows: t.batch.Rows[t.at : t.at+p.rows], Hidden: st.states(p), Embed: t.batch.Embed, Spare: st.hidden,
	}
	if whole {
		b.Spare = t.batch.Spare
	}
	t.batch.Ops = nil
	out, took, err := st.pass(t.ctx, &b, 1)
	t.took += took
	switch {
	case err != nil:
		t.err = err
	case whole:
		t.out, t.at = *out, p.rows
	default:
		t.take(out, 0, p.rows, st.shape.Embedding)
		st.hidden = out.Hidden
	}
}

// states are the hidden states of a part.
func (st *station) states(p part) []float32 {
	if st.shape.First {
		return nil
	}
	width := st.shape.Embedding
	return p.task.batch.Hidden[p.task.at*width : (p.task.at+p.rows)*width]
}

// take adds what a step gave for the next n rows, which were those from first on of the step.
func (t *task) take(out *engine.Output, first, n, width int) {
	if out.Hidden != nil {
		if t.at == 0 {
			t.out.Hidden = t.batch.Spare[:0]
		}
		t.out.Hidden = append(t.out.Hidden, out.Hidden[first*width:(first+n)*width]...)
	}
	for _, s := range out.Samples {
		if s.Row >= first && s.Row < first+n {
			s.Row += t.at - first
			t.out.Samples = append(t.out.Samples, s)
		}
	}
	t.out.Embeddings = append(t.out.Embeddings, out.Embeddings...) // which no batch shares a step for
	t.at += n
}

// pass steps the window and learns how long its rows take.
func (st *station) pass(ctx context.Context, b *engine.Batch, sessions int) (*engine.Output, time.Duration, error) {
	begin := time.Now()
	out, err := st.window.Step(ctx, b)
	took, rows := time.Since(begin), len(b.Rows)
	if err != nil {
		return nil, took, err
	}
	if want := rows * st.shape.Embedding; !st.shape.Last && len(out.Hidden) != want {
		return nil, took, core.Errorf(core.CodeEngineCrashed, "the window gave %d floats, want %d", len(out.Hidden), want)
	}
	if rows >= leastPart {
		st.rowTime = mean.Time(st.rowTime, took/time.Duration(rows), 4)
	}
	if rows > 0 && rows <= leastPart*sessions && !b.Embed {
		st.patience.learn(sessions, rows, took)
	}
	return out, took, nil
}

// untilAll ends when the contexts of all parts have.
func untilAll(parts []part) (ctx context.Context, cancel func()) {
	ctx, end := context.WithCancel(context.Background())
	hooks := make([]func() bool, 0, len(parts))
	var left atomic.Int64
	left.Store(int64(len(parts)))
	for _, p := range parts {
		hooks = append(hooks, context.AfterFunc(p.task.ctx, func() {
			if left.Add(-1) == 0 {
				end()
			}
		}))
	}
	return ctx, func() {
		for _, unhook := range hooks {
			unhook()
		}
		end()
	}
}

// retire hands on the batches that have ended and gives those that ran a later turn.
func (st *station) retire(parts []part) {
	for _, p := range parts {
		ended := p.task.err != nil || p.task.left() == 0
		st.mu.Lock()
		if ended {
			p.share.queue = append(p.share.queue[:0], p.share.queue[1:]...)
		}
		at := slices.Index(st.users, p.share)
		st.users = append(slices.Delete(st.users, at, at+1), p.share)
		st.mu.Unlock()
		if ended {
			p.task.end(p.task)
		}
	}
}
