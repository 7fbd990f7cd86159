package schedule

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/mean"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule/speculate"
)

// flight is a batch under way. Flights are used again, so that a step allocates next to nothing.
type flight struct {
	batch     engine.Batch
	parts     []part
	abortable bool // it ends when the caller of its only job goes
	sent      time.Time
	passage   Passage
	land      func(Passage) // brings the flight back to the loop
}

// part is a run of rows of one job in a flight, or no rows when the flight only prepares the job.
type part struct {
	job    *job
	first  int // index of the first row
	rows   int
	sample bool // the last row brings a token, and so may the drafts
	drafts int  // rows at the end that are guesses
	guess  speculate.Guess
}

// newFlight takes an unused flight.
func (s *Scheduler) newFlight() *flight {
	if n := len(s.idle); n > 0 {
		f := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return f
	}
	f := &flight{}
	f.land = func(p Passage) {
		f.passage = p
		s.landed <- f
	}
	return f
}

// recycle forgets what a flight carried.
func (s *Scheduler) recycle(f *flight) {
	clear(f.batch.Ops)
	clear(f.parts)
	f.batch = engine.Batch{Ops: f.batch.Ops[:0], Rows: f.batch.Rows[:0]}
	f.parts, f.passage = f.parts[:0], Passage{}
	s.idle = append(s.idle, f)
}

// add puts the next n tokens of a job into a flight.
func (f *flight) add(j *job, n int) {
	if !j.prepared && !j.embed {
		f.batch.Ops = append(f.batch.Ops, engine.Op{Kind: engine.OpSampler, Seq: j.slot.seq, Sampler: &j.sampler})
		j.prepared = true
	}
	p := part{job: j, first: len(f.batch.Rows), rows: n, sample: n == j.pending() && !j.embed}
	for i := range n {
		f.batch.Rows = append(f.batch.Rows, engine.Row{
			Token:  j.tokens[j.sent+i],
			Pos:    int32(j.sent + i),
			Seq:    j.slot.seq,
			Sample: j.embed || p.sample && i == n-1,
		})
	}
	j.sent += n
	f.parts = append(f.parts, p)
}

// prepare puts only the sampler of a job into a flight.
func (f *flight) prepare(j *job) {
	f.batch.Ops = append(f.batch.Ops, engine.Op{Kind: engine.OpSampler, Seq: j.slot.seq, Sampler: &j.sampler})
	j.prepared, j.preparing = true, true
	f.parts = append(f.parts, part{job: j})
}

// send gives a flight to the chain. A flight of a job without company ends with that job's caller; others run to
// their end.
func (s *Scheduler) send(ctx context.Context, f *flight) {
	if f.abortable = s.alone() && len(f.batch.Rows) > 0; f.abortable {
		ctx = f.parts[0].job.ctx
		f.parts[0].job.abortable++
	}
	s.turn++
	for _, p := range f.parts {
		p.job.turn = s.turn
	}
	s.stats.Batches++
	s.stats.Rows += int64(len(f.batch.Rows))
	s.flying++
	f.sent = time.Now()
	if err := s.chain.Submit(ctx, &f.batch, f.land); err != nil {
		s.landed <- f.failed(err)
	}
}

func (f *flight) failed(err error) *flight {
	f.passage = Passage{Err: err}
	return f
}

// land takes in what came of a flight: tokens go to the callers, jobs end, the cache's book is brought up to date.
func (s *Scheduler) land(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying--
	s.measure(f)
	if s.refuse == nil && core.CodeOf(f.passage.Err) == core.CodeEngineCrashed {
		s.refuse = f.passage.Err // the chain ends with it: whoever hears of it may ask again at once, but not here
	}
	if f.abortable {
		f.parts[0].job.abortable--
	}
	results := 0
	for _, p := range f.parts {
		n := p.results(f.passage.Output, results)
		if !p.job.ended {
			s.landPart(p, f.passage, results, n)
		}
		results += n
	}
	s.recycle(f)
}

// landPart takes in the part of a flight whose n results begin at the given index.
func (s *Scheduler) landPart(p part, passage Passage, at, n int) {
	j := p.job
	if passage.Err != nil {
		j.suspect = core.CodeOf(passage.Err) != core.CodeCancelled
		s.end(j, "", passage.Err)
		return
	}
	j.sure += p.rows
	j.preparing = false
	switch {
	case j.embed:
		j.vectors = append(j.vectors, passage.Output.Embeddings[at:at+n]...)
		if len(j.vectors) == j.prompt {
			s.end(j, core.FinishStop, nil)
		}
	case p.sample:
		s.landDrafts(j, p, passage.Output.Samples[at:at+n])
		for _, sample := range passage.Output.Samples[at : at+n] {
			s.sampled(j, sample)
		}
	}
}

// results is how many samples or vectors a part brings, the first of which is at the given index.
func (p part) results(out *engine.Output, at int) (n int) {
	switch {
	case out == nil:
		return 0
	case p.job.embed:
		return p.rows
	}
	for at+n < len(out.Samples) && out.Samples[at+n].Row < p.first+p.rows {
		n++
	}
	return n
}

// measure learns how long a prefill row takes, for which steps of a few rows say too little, and how long a token of a
// lone job.
func (s *Scheduler) measure(f *flight) {
	rows := len(f.batch.Rows)
	if f.passage.Err == nil && s.speculates && len(f.parts) == 1 && f.parts[0].sample && rows == 1+f.parts[0].drafts {
		s.guesses.Stepped(time.Since(f.sent), f.parts[0].drafts)
	}
	if f.passage.Err != nil || rows < minChunk {
		return
	}
	s.rowTime = mean.Time(s.rowTime, f.passage.Slowest/time.Duration(rows), 4)
}

// sampled hands a token to the job's caller. There is room for it: a blocked job sends no rows.
func (s *Scheduler) sampled(j *job, sample engine.Sample) {
	if sample.Failed {
		s.end(j, "", core.Errorf(core.CodeTimeout, "the grammar takes too long to choose a token").WithParam("grammar"))
		return
	}
	j.tokens = append(j.tokens, sample.Token)
	s.stats.TokensOut++
	j.out <- sample
	switch {
	case sample.End:
		s.end(j, core.FinishStop, nil)
	case j.generated() >= j.limit:
		s.end(j, core.FinishLength, nil)
	}
}

// end closes a job in whatever state it is and gives its slot back.
func (s *Scheduler) end(j *job, reason string, err error) {
	j.ended, j.reason, j.err = true, reason, err
	if j.stall != nil {
		j.stall.Stop()
	}
	if j.slot == nil {
		s.queue.remove(j)
	} else {
		s.leave(j)
	}
	j.cancel()
	close(j.out)
}

// leave takes an active job out of the schedule. Rows of it still under way are trimmed by the operation that
// release adds, which reaches every window after them.
func (s *Scheduler) leave(j *job) {
	kept := j.tokens[:j.sure]
	if j.embed || j.suspect {
		kept = nil
	}
	s.cache.release(j.slot, j.requester, kept, j.suspect || j.sent != len(kept))
	s.queue.retire(j.requester)
	s.active = without(s.active, j)
}

func without(jobs []*job, gone *job) []*job {
	for i, j := range jobs {
		if j == gone {
			return append(jobs[:i], jobs[i+1:]...)
		}
	}
	return jobs
}
