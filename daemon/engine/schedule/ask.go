package schedule

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Guesser is a source of guesses besides the text itself, such as a small model with the same vocabulary. It is safe
// for concurrent use.
type Guesser interface {
	// Name names, at once, what guesses now; "" while it may not be asked. What was measured of one counts for no other.
	Name() string
	// Guess returns at most n tokens that may follow the given ones, fewer when ctx ends before it has so many. Calls
	// with the same key are of one reply, or of replies of one requester: what was read for one may help the next.
	// An error of code core.CodeContextTooLong or core.CodeInvalidRequest says that it cannot follow these tokens, nor
	// any that begin with them.
	Guess(ctx context.Context, key string, tokens []int32, n int) ([]int32, error)
}

const (
	maxAsked    = 16   // guessed tokens of one step that a Guesser is asked for
	near        = 48   // tokens that a Guesser has not read, up to which a job waits for it
	longestWait = 4    // steps that a job waits for a guess at most
	rarest      = 1024 // steps between questions to a Guesser that is not thought worth it

	// readLimit is how long a Guesser may read, its loading included, before the job goes on without it.
	readLimit = 30 * time.Second
)

// ask is a question to the Guesser: what follows the tokens that a job had then.
type ask struct {
	job    *job
	at     int // tokens of the job
	n      int // guesses that are wanted
	wait   bool
	cancel context.CancelFunc
	done   bool
	tokens []int32
}

// consult returns at most n guesses of the Guesser, if it has been asked. Otherwise it asks, where that promises more
// tokens in a second than the guesses that were found already, of which there are so many; wait tells that the job
// should wait for the answer. A Guesser that has much to read first does so while the job goes on.
func (s *Scheduler) consult(j *job, n, found int) (said []int32, wait bool) {
	if s.cfg.Guesser == nil {
		return nil, false
	}
	a, name := s.ask, s.cfg.Guesser.Name()
	switch {
	case a != nil && !a.done && !a.wait && name == "": // it may read for long, and somebody else needs the PC now
		a.cancel()
	case a != nil && !a.done:
		return nil, a.wait
	case a != nil && a.wait && a.at == len(j.tokens):
		s.ask = nil
		return a.tokens[:min(len(a.tokens), max(0, n))], false
	}
	s.ask = nil
	if n < 1 || name == "" || name == j.unguessable {
		return nil, false
	}
	if name != s.guessing.name {
		s.guessing.meet(name)
		a, j.read = nil, 0
	}
	wanted := s.guessing.wanted(n, found, j.odds)
	if a != nil && len(j.tokens)-j.read <= near { // it has caught up
		wanted = max(wanted, min(a.n, n))
	}
	if wanted == 0 {
		return nil, false
	}
	s.put(j, wanted)
	return nil, s.ask.wait
}

// meet forgets what was measured of another Guesser.
func (p *speculation) meet(name string) {
	p.name, p.each, p.trust, p.unasked, p.patience, p.rest = name, 0, firstOdds, 0, probeEvery, 0
}

// wanted is how many of at most n guesses to ask the Guesser for, where some others were found already.
func (p *speculation) wanted(n, found int, odds float64) int {
	if p.step == 0 {
		return 0
	}
	if p.rest > 0 {
		p.rest--
		return 0
	}
	if p.each == 0 {
		return min(n, 2)
	}
	if p.row == 0 { // what a row adds is not known yet: find out at little cost
		n = min(n, 2)
	}
	_, rival := p.best(found, odds, 0)
	if k, rate := p.best(n, p.trust, p.each); k > 0 && rate > rival*margin {
		p.unasked, p.patience = 0, probeEvery
		return k
	}
	if p.unasked++; p.unasked < p.patience {
		return 0
	}
	p.unasked, p.patience = 0, min(2*p.patience, rarest)
	return min(n, 2)
}

// put asks the Guesser for n tokens. A job waits for the answer no longer than a step takes, or, where that is longer,
// twice as long as it is expected to take, up to a few steps.
func (s *Scheduler) put(j *job, n int) {
	a := &ask{job: j, at: len(j.tokens), n: n, wait: len(j.tokens)-j.read <= near}
	limit := max(s.guessing.step, min(2*time.Duration(n)*s.guessing.each, longestWait*s.guessing.step))
	if !a.wait {
		n, limit = 1, readLimit
	}
	ctx, cancel := context.WithTimeout(j.ctx, limit)
	a.cancel = cancel
	if j.key == "" {
		if j.key = j.requester; j.key == "" { // then nobody shares what is read for it
			j.key = rand.Text()
		}
	}
	key, tokens := j.key, j.tokens[:a.at:a.at] // what is there never changes
	s.ask = a
	s.asks.Go(func() {
		began := time.Now()
		said, err := s.cfg.Guesser.Guess(ctx, key, tokens, n)
		late := ctx.Err() != nil
		cancel()
		s.answered(a, said, err, time.Since(began), late)
	})
}

// answered takes in what the Guesser said, perhaps because its time was over.
func (s *Scheduler) answered(a *ask, said []int32, err error, took time.Duration, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ask != a { // nobody waits for it any more
		return
	}
	a.done = true
	switch code := core.CodeOf(err); {
	case err != nil:
		a.job.read = 0
		if code == core.CodeContextTooLong || code == core.CodeInvalidRequest {
			a.job.unguessable = s.guessing.name
		}
	case a.wait && len(said) > 0:
		a.job.read = a.at
		a.tokens = s.known(said)
		s.guessing.learnAsk(took, len(said))
	case a.wait && late: // it hangs, or is being loaded again
		s.guessing.rest = probeEvery
	case late:
		a.job.unguessable = s.guessing.name
	default:
		a.job.read = a.at
	}
	s.wake.Ring()
}

// known cuts a guess before a token that is not in the vocabulary: a Guesser may have some more.
func (s *Scheduler) known(tokens []int32) []int32 {
	for i, t := range tokens {
		if t < 0 || int(t) >= s.shape.Vocabulary {
			return tokens[:i]
		}
	}
	return tokens
}

// learnAsk takes in how long the Guesser took for so many tokens.
func (p *speculation) learnAsk(took time.Duration, tokens int) {
	each := max(1, took/time.Duration(tokens))
	if p.each == 0 {
		p.each = each
		return
	}
	p.each += (each - p.each) / 8
}

// dropAsk forgets a question whose answer nobody can use: its job has ended, or is not alone any more and has to go
// on with the others.
func (s *Scheduler) dropAsk() {
	if s.ask != nil && (s.ask.job.ended || !s.alone()) {
		s.ask.cancel()
		s.ask = nil
	}
}
