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
	margin     = 1.02
)

// speculation decides how many tokens to guess for a lone job on a chain over other nodes, where a step of several
// rows takes little longer than one: most of it is the way. The guesses are what followed the last tokens of the job
// where they stood before, or what a Guesser says; the last window says how many were right, so that the reply is the
// same with and without.
type speculation struct {
	step  time.Duration // a step of one row, from sending to landing
	row   time.Duration // what each more row adds
	skips int           // steps without guesses since the last with some

	// Of the Guesser:
	name     string
	each     time.Duration // what it takes for a token; 0 is not known yet
	trust    float64       // that a token of it is right
	unasked  int           // steps since it was asked
	patience int           // of which so many pass before it is asked although it is not thought worth it
	rest     int           // steps that it is left alone after it did not answer in time
}

// learn takes in how long a step with so many guesses took.
func (p *speculation) learn(took time.Duration, drafts int) {
	switch {
	case p.step == 0:
		if drafts == 0 {
			p.step = took
		}
	case drafts == 0, took < p.step: // guesses make no step faster
		p.step += (took - p.step) / 8
	}
	if drafts == 0 {
		return
	}
	row := max(1, (took-p.step)/time.Duration(drafts))
	if p.row == 0 {
		p.row = row
		return
	}
	p.row += (row - p.row) / 4
}

// best is how many of at most n guesses bring the most tokens in a nanosecond, and how many that are. each is the time
// it takes to come by a guess.
func (p *speculation) best(n int, odds float64, each time.Duration) (best int, rate float64) {
	rate = 1 / float64(p.step)
	tokens, chance := 1.0, 1.0
	for k := 1; k <= n; k++ {
		chance *= odds
		tokens += chance
		if r := tokens / float64(p.step+time.Duration(k)*(p.row+each)); r > rate*margin {
			best, rate = k, r
		}
	}
	return best, rate
}

// worth is how many of at most n guesses that are there already to make.
func (p *speculation) worth(n int, odds float64) int {
	if p.step == 0 || n < 1 {
		return 0
	}
	if p.row == 0 { // what a row adds is not known yet: find out at little cost
		return min(n, 2)
	}
	best, _ := p.best(n, odds, 0)
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

// guess is tokens that may come after the next token of a job.
type guess struct {
	tokens []int32
	asked  bool    // of the Guesser
	spare  []int32 // where asked, what the text itself says, to see which of the two is better
}

// guessFor is what to guess for the jobs that are ready, nothing where that would not help. wait tells that the
// Guesser is being asked, and is worth waiting for.
func (s *Scheduler) guessFor(ready []*job) (g guess, wait bool) {
	if !s.speculates || !s.alone() || s.flying > 0 || len(ready) != 1 || !ready[0].decoding() {
		return g, false
	}
	j := ready[0]
	room := min(j.limit-j.generated()-1, cap(j.out)-len(j.out)-1, s.shape.BatchRows-1)
	found := lookUp(j.tokens, min(maxDraft, room))
	said, wait := s.consult(j, min(maxAsked, room), len(found))
	switch {
	case wait:
		return g, true
	case len(said) > 0:
		return guess{tokens: said, asked: true, spare: found}, false
	}
	return guess{tokens: found[:s.guessing.worth(len(found), j.odds)]}, false
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

// addDrafts puts a guess behind the row of a job that was added last, as far as there is room in the KV cache.
func (s *Scheduler) addDrafts(f *flight, j *job, g guess) {
	p := &f.parts[len(f.parts)-1]
	for _, token := range g.tokens {
		if j.sent >= j.slot.held && !s.cache.grow(j.slot) {
			break
		}
		f.batch.Rows = append(f.batch.Rows, engine.Row{Token: token, Pos: int32(j.sent), Seq: j.slot.seq, Sample: true, Draft: true})
		j.sent++
		p.rows++
		p.drafts++
	}
	p.asked, p.spare = g.asked, g.spare
}

// landDrafts brings the book up to date about guesses, of which all but the last sample's were right: the others are
// trimmed.
func (s *Scheduler) landDrafts(j *job, p part, samples []engine.Sample) {
	right := len(samples) - 1
	s.stats.Drafts += int64(p.drafts)
	s.stats.DraftsRight += int64(right)
	if p.asked {
		s.stats.Asked += int64(p.drafts)
		s.stats.AskedRight += int64(right)
		s.guessing.trust = weigh(s.guessing.trust, right, p.drafts, 16)
		n := min(len(p.spare), len(samples))
		j.odds = weigh(j.odds, agree(p.spare, samples), n, 8)
	} else {
		j.odds = weigh(j.odds, right, p.drafts, 8)
	}
	wrong := p.drafts - right
	j.sure -= wrong
	if wrong > 0 {
		j.sent = j.sure
		s.cache.ops = append(s.cache.ops, engine.Op{Kind: engine.OpTrim, Seq: j.slot.seq, From: int32(j.sure)})
	}
}

// weigh takes in that so many of n guesses were right before one was wrong. Each counts for one part in so many.
func weigh(odds float64, right, n, parts int) float64 {
	for i := range min(right+1, n) {
		hit := 0.0
		if i < right {
			hit = 1
		}
		odds += (hit - odds) / float64(parts)
	}
	return odds
}

// agree is how many tokens of a guess are those that came.
func agree(tokens []int32, samples []engine.Sample) (n int) {
	for n < len(tokens) && n < len(samples) && tokens[n] == samples[n].Token {
		n++
	}
	return n
}
