package schedule

import (
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule/speculate"
)

// Guesser is a source of guesses besides the text itself, such as a small model with the same vocabulary.
type Guesser = speculate.Guesser

// guessFor is what to guess for the jobs that are ready, nothing where that would not help. wait tells that the
// Guesser is being asked, and is worth waiting for.
func (s *Scheduler) guessFor(ready []*job) (g speculate.Guess, wait bool) {
	if !s.speculates || !s.alone() || s.flying > 0 || len(ready) != 1 || !ready[0].decoding() {
		return g, false
	}
	j := ready[0]
	room := min(j.limit-j.generated()-1, cap(j.out)-len(j.out)-1, s.shape.BatchRows-1)
	return s.guesses.Next(j.ctx, &j.guessed, j.tokens, room)
}

// dropGuesses forgets what is asked for a job that has ended, or is not alone any more and has to go on with the others.
func (s *Scheduler) dropGuesses() {
	if s.alone() {
		s.guesses.KeepOnly(&s.active[0].guessed)
	} else {
		s.guesses.KeepOnly(nil)
	}
}

// addDrafts puts a guess behind the row of a job that was added last, as far as there is room in the KV cache.
func (s *Scheduler) addDrafts(f *flight, j *job, g speculate.Guess) {
	p := &f.parts[len(f.parts)-1]
	for _, token := range g.Tokens {
		if j.sent >= j.slot.held && !s.cache.grow(j.slot) {
			break
		}
		f.batch.Rows = append(f.batch.Rows, engine.Row{Token: token, Pos: int32(j.sent), Seq: j.slot.seq, Sample: true, Draft: true})
		j.sent++
		p.rows++
		p.drafts++
	}
	p.guess = g
}

// landDrafts brings the book up to date about guesses, of which all but the last sample's were right: the others are
// trimmed.
func (s *Scheduler) landDrafts(j *job, p part, samples []engine.Sample) {
	right := len(samples) - 1
	s.stats.Drafts += int64(p.drafts)
	s.stats.DraftsRight += int64(right)
	if p.guess.Asked {
		s.stats.Asked += int64(p.drafts)
		s.stats.AskedRight += int64(right)
	}
	s.guesses.Landed(&j.guessed, p.guess, p.drafts, samples)
	wrong := p.drafts - right
	j.sure -= wrong
	if wrong > 0 {
		j.sent = j.sure
		s.cache.ops = append(s.cache.ops, engine.Op{Kind: engine.OpTrim, Seq: j.slot.seq, From: int32(j.sure)})
	}
}
