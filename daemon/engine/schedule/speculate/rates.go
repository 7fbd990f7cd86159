package speculate

import (
	"time"

	"github.com/shoal-p2p/shoal/daemon/engine/mean"
)

const (
	probeEvery = 32 // steps between guesses that are not thought worth it, to see whether they are now
	margin     = 1.02
)

// rates are what was measured of steps and of the Guesser.
type rates struct {
	alone time.Duration // a step of one row, from sending to landing
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

// step takes in how long a step with so many guesses took.
func (p *rates) step(took time.Duration, guesses int) {
	switch {
	case p.alone == 0:
		if guesses == 0 {
			p.alone = took
		}
	case guesses == 0, took < p.alone: // guesses make no step faster
		p.alone += (took - p.alone) / 8
	}
	if guesses == 0 {
		return
	}
	p.row = mean.Time(p.row, max(1, (took-p.alone)/time.Duration(guesses)), 4)
}

// answer takes in how long the Guesser took for so many tokens.
func (p *rates) answer(took time.Duration, tokens int) {
	p.each = mean.Time(p.each, took/time.Duration(tokens), 8)
}

// best is how many of at most n guesses bring the most tokens in a nanosecond, and how many that are. each is the time
// it takes to come by a guess.
func (p *rates) best(n int, odds float64, each time.Duration) (best int, rate float64) {
	rate = 1 / float64(p.alone)
	tokens, chance := 1.0, 1.0
	for k := 1; k <= n; k++ {
		chance *= odds
		tokens += chance
		if r := tokens / float64(p.alone+time.Duration(k)*(p.row+each)); r > rate*margin {
			best, rate = k, r
		}
	}
	return best, rate
}

// worth is how many of at most n guesses that are there already to make.
func (p *rates) worth(n int, odds float64) int {
	if p.alone == 0 || n < 1 {
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

// meet forgets what was measured of another Guesser.
func (p *rates) meet(name string) {
	p.name, p.each, p.trust, p.unasked, p.patience, p.rest = name, 0, firstOdds, 0, probeEvery, 0
}

// wanted is how many of at most n guesses to ask the Guesser for, where some others were found already.
func (p *rates) wanted(n, found int, odds float64) int {
	if p.alone == 0 {
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
