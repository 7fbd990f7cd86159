package schedule

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule/speculate"
)

const (
	minChunk      = 16 // fewest prefill rows worth a share of a step, and fewest that are measured
	firstChunk    = 64 // prefill rows beside other jobs before a row's time is known
	pipelineChunk = 64 // fewest prefill rows of a chunk that is split only to keep several windows busy
	pipelineParts = 16 // chunks that a prompt is cut into for each window after the first
	headroom      = 32 // free tokens that a job wants beyond its prompt before it joins others

	// pipelineStep is the least work of such a chunk in the slowest window: a fast GPU wastes itself on less.
	pipelineStep = 50 * time.Millisecond
)

// fill admits jobs and sends batches until nothing more can be sent.
func (s *Scheduler) fill(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admitAll()
	s.dropGuesses()
	for s.flying < s.mayFly() && s.sendNext(ctx) {
	}
	if s.flying == 0 && s.starving() {
		s.finishLargest()
		s.wake.Ring()
	}
}

// admitAll gives slots to waiting jobs, in fair order, as long as there is room. A job that finds none keeps its
// turn, and no other passes it.
func (s *Scheduler) admitAll() {
	for j := s.queue.next(); j != nil && !s.hungry(); j = s.queue.next() {
		slot, cached := s.cache.admit(j.requester, j.tokens, s.extra(j))
		if slot == nil {
			return
		}
		j.slot, j.cached, j.sent, j.sure = slot, cached, cached, cached
		s.queue.activate(j)
		s.active = append(s.active, j)
		s.stats.admitted(j)
	}
}

// extra is how much room beyond its prompt a job must find to be admitted.
func (s *Scheduler) extra(j *job) int {
	switch {
	case j.embed:
		return 0
	case len(s.active) == 0:
		return 1
	default:
		return min(j.limit, headroom, s.cfg.MaxContext-j.prompt)
	}
}

// hungry tells whether an active job waits for room in the KV cache, which a new job must not take.
func (s *Scheduler) hungry() bool {
	return slices.ContainsFunc(s.active, func(j *job) bool { return j.hungry })
}

// starving tells whether some job waits for room and no other can run to make it.
func (s *Scheduler) starving() bool {
	return s.hungry() && !slices.ContainsFunc(s.active, func(j *job) bool { return !j.hungry })
}

// finishLargest ends the job that holds the most tokens, so that the others go on.
func (s *Scheduler) finishLargest() {
	largest := slices.MaxFunc(s.active, func(a, b *job) int { return cmp.Compare(a.slot.held, b.slot.held) })
	s.end(largest, core.FinishLength, nil)
}

// mayFly is how many batches may be under way: one per window, and one more to wait at the first window while a
// single prompt is read.
func (s *Scheduler) mayFly() int {
	n := s.chain.Len()
	if n > 1 && s.alone() && s.active[0].prefilling() {
		return n + 1
	}
	return n
}

// alone tells whether there is one job in all.
func (s *Scheduler) alone() bool { return len(s.active) == 1 && s.queue.length == 0 }

// sendNext makes one batch of what is ready and sends it. It tells whether there was anything.
func (s *Scheduler) sendNext(ctx context.Context) bool {
	ready := s.ready()
	if len(ready) == 0 && (len(s.cache.ops) == 0 || s.flying > 0) {
		return false
	}
	guess, wait := s.guessFor(ready)
	if wait {
		return false
	}
	f := s.newFlight()
	f.batch.Ops = append(f.batch.Ops, s.cache.ops...)
	clear(s.cache.ops)
	s.cache.ops = s.cache.ops[:0]
	switch {
	case len(ready) == 0:
	case ready[0].needsPreparing():
		f.prepare(ready[0])
	case ready[0].embed:
		f.batch.Embed = true
		f.add(ready[0], min(ready[0].pending(), s.chunk(ready[0])))
	default:
		s.mix(f, ready, guess)
	}
	s.send(ctx, f)
	return true
}

// ready lists the jobs that have rows to run now, the one served longest ago first.
func (s *Scheduler) ready() []*job {
	s.list = s.list[:0]
	for _, j := range s.active {
		if s.canRun(j) {
			s.list = append(s.list, j)
		}
	}
	slices.SortFunc(s.list, func(a, b *job) int { return cmp.Compare(a.turn, b.turn) })
	return s.list
}

// canRun tells whether a job has rows to run, a caller that takes tokens and room in the KV cache. Rows that follow
// abortable ones must not share a batch with other jobs, which would fail with them.
func (s *Scheduler) canRun(j *job) bool {
	if j.preparing || j.pending() <= 0 || j.abortable > 0 && !s.alone() {
		return false
	}
	if j.embed {
		return true
	}
	if j.blocked() {
		s.watchStall(j)
		return false
	}
	if j.stall != nil {
		j.stall.Stop()
		j.stall = nil
	}
	if j.sent < j.slot.held {
		return true
	}
	j.hungry = !s.cache.grow(j.slot)
	return !j.hungry
}

// mix fills a batch with decode rows, as many as keep every window busy, and then with chunks of prompts. The guess is
// that of a job which decodes alone.
func (s *Scheduler) mix(f *flight, ready []*job, g speculate.Guess) {
	decodes, sequences := s.decodeShare(ready), s.cfg.BatchSequences
	for _, j := range ready {
		if !j.prefilling() && decodes > 0 && !j.needsPreparing() {
			f.add(j, 1)
			if len(g.Tokens) > 0 {
				s.addDrafts(f, j, g)
			}
			decodes--
			sequences--
		}
	}
	rows := -1
	for _, j := range ready {
		if !j.prefilling() || j.embed || j.needsPreparing() || sequences == 0 {
			continue
		}
		if rows < 0 {
			rows = s.chunk(j) - len(f.batch.Rows)
		}
		if rows = min(rows, s.shape.BatchRows-len(f.batch.Rows)); rows <= 0 {
			break
		}
		n := min(j.pending(), rows)
		f.add(j, n)
		rows -= n
		sequences--
	}
}

// decodeShare is how many jobs may decode in one batch: with several windows the jobs fall into as many groups, so
// that each window has one to work on. A prompt that waits keeps its place in the batch.
func (s *Scheduler) decodeShare(ready []*job) int {
	decoding, most := 0, s.cfg.BatchSequences
	for _, j := range s.active {
		if !j.embed && !j.prefilling() {
			decoding++
		}
	}
	prompt := slices.IndexFunc(ready, func(j *job) bool { return j.prefilling() && !j.embed })
	if prompt == 0 || prompt > 0 && most > 1 {
		most--
	}
	n := s.chain.Len()
	return min((decoding+n-1)/n, most)
}

// chunk is how many rows of a prompt may go into one batch. Beside other jobs it is what takes the target time of a
// step. A lone prompt takes all there is room for; over several windows it is cut so that they overlap.
func (s *Scheduler) chunk(j *job) int {
	most := s.shape.BatchRows
	if !s.alone() {
		if s.rowTime == 0 {
			return min(firstChunk, most)
		}
		return min(max(int(s.cfg.StepTarget/s.rowTime), minChunk), most)
	}
	later := s.chain.Len() - 1
	if later == 0 {
		return most
	}
	fresh := j.prompt - j.cached
	size := max(fresh/(pipelineParts*later), pipelineChunk)
	if s.rowTime > 0 {
		size = max(size, int(pipelineStep/s.rowTime))
	}
	size = min(size, most)
	chunks := (fresh + size - 1) / size
	return (fresh + chunks - 1) / chunks
}

// watchStall starts the time that a blocked job may stay so.
func (s *Scheduler) watchStall(j *job) {
	if j.stall == nil {
		j.stall = time.AfterFunc(s.cfg.StallLimit, func() { s.cutStalled(j) })
	}
}

// cutStalled ends a job whose caller still does not take its tokens.
func (s *Scheduler) cutStalled(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.ended || j.stall == nil || len(j.out) < cap(j.out) {
		return
	}
	j.cut.Store(true)
	s.stats.Stalled++
	s.end(j, "", core.Errorf(core.CodeTimeout, "the reply was not read for %s", s.cfg.StallLimit))
	s.wake.Ring()
}

var _ engine.Runner = (*Scheduler)(nil)
