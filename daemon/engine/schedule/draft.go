package schedule

import (
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/engine"
)

const (
	maxDraft   = 8   // guessed tokens of one step
	longMatch  = 3   // tokens at the end of a reply that must be found earlier for a guess
	shortMatch = 2   // where so many are not found
	probeEvery = 32  // steps between guesses that are not thought worth it, to see whether they are now
	firstOdds  = 0.5 // that a guess is right, before there were any
)

// speculation decides how many tokens to guess for a lone job on a chain over other nodes, where a step of several
// rows takes little longer than one: most of it is the way. The guesses are what followed the last tokens of the job
// where they stood before; the last window says how many were right, so that the reply is the same with and without.
type speculation struct {
	step  time.Duration // a step of one row, from sending to landing
	row   time.Duration // what each more row adds
	skips int           // steps without guesses since the last with some
}

// learn takes in how long a step with so many guesses took.
func (p *speculation) learn(took time.Duration, drafts int) {
	switch {
	case drafts == 0 && p.step == 0:
		p.step = took
	case drafts == 0:
		p.step += (took - p.step) / 8
	case p.row == 0:
		p.row = max(1, (took-p.step)/time.Duration(drafts))
	default:
		p.row += (max(1, (took-p.step)/time.Duration(drafts)) - p.row) / 4
	}
}

// worth is how many of at most n guesses bring the most tokens in a second.
func (p *speculation) worth(n int, odds float64) (best int) {
	if p.step == 0 || n < 1 {
		return 0
	}
	if p.row == 0 { // what a row adds is not known yet: find out at little cost
		return min(n, 2)
	}
	most, tokens, chance := 1/float64(p.step), 1.0, 1.0
	for k := 1; k <= n; k++ {
		chance *= odds
		tokens += chance
		if rate := tokens / float64(p.step+time.Duration(k)*p.row); rate > most*1.02 {
			best, most = k, rate
		}
	}
	if best > 0 {
		p.skips = 0
		return best
	}
	if p.skips++; p.skips < probeEvery {
		return 0
	}
	p.skips = 0
	return min(n, 2)
}

// drafts are guesses at what a job gives after its next token; none where they would not help.
func (s *Scheduler) drafts(j *job) []int32 {
	if !s.speculates || !s.alone() || s.flying > 0 {
		return nil
	}
	most := min(maxDraft, j.limit-j.generated()-1, cap(j.out)-len(j.out)-1, s.shape.BatchRows-1)
	guess := lookUp(j.tokens, most)
	guess = guess[:s.guessing.worth(len(guess), j.odds)]
	for n := range guess {
		if j.sent+n >= j.slot.held && !s.cache.grow(j.slot) {
			return guess[:n]
		}
	}
	return guess
}

// lookUp finds the latest place where the last tokens stood before, and returns at most n of those that followed.
func lookUp(tokens []int32, n int) []int32 {
	if n < 1 {
		return nil
	}
	for _, match := range []int{longMatch, shortMatch} {
		if len(tokens) <= match {
			continue
		}
		end := tokens[len(tokens)-match:]
		for at := len(tokens) - match - 1; at >= 0; at-- {
			if slices.Equal(tokens[at:at+match], end) {
				return tokens[at+match : min(at+match+n, len(tokens))]
			}
		}
	}
	return nil
}

// addDrafts puts guesses behind the row of a job that was added last.
func (f *flight) addDrafts(j *job, guess []int32) {
	p := &f.parts[len(f.parts)-1]
	for i, token := range guess {
		f.batch.Rows = append(f.batch.Rows, engine.Row{Token: token, Pos: int32(j.sent + i), Seq: j.slot.seq, Sample: true, Draft: true})
	}
	j.sent += len(guess)
	p.rows += len(guess)
	p.drafts = len(guess)
}

// landDrafts brings the book up to date about guesses, of which so many were right: the others are trimmed.
func (s *Scheduler) landDrafts(j *job, p part, right int) {
	s.stats.Drafts += int64(p.drafts)
	s.stats.DraftsRight += int64(right)
	for i := range min(right+1, p.drafts) {
		hit := 0.0
		if i < right {
			hit = 1
		}
		j.odds += (hit - j.odds) / 8
	}
	wrong := p.drafts - right
	j.sure -= wrong
	if wrong > 0 {
		j.sent = j.sure
		s.cache.ops = append(s.cache.ops, engine.Op{Kind: engine.OpTrim, Seq: j.slot.seq, From: int32(j.sure)})
	}
}
