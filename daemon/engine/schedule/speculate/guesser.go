package speculate

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
	near        = 48   // tokens that a Guesser has not read, up to which a reply waits for it
	longestWait = 4    // steps that a reply waits for a guess at most
	rarest      = 1024 // steps between questions to a Guesser that is not thought worth it

	// readLimit is how long a Guesser may read, its loading included, before the reply goes on without it.
	readLimit = 30 * time.Second
)

// question is one to the Guesser: what follows the tokens that a reply had then.
type question struct {
	reply  *Reply
	at     int // tokens of the reply
	n      int // guesses that are wanted
	wait   bool
	cancel context.CancelFunc
	done   bool
	tokens []int32
}

// consult returns at most n guesses of the Guesser, if it has been asked. Otherwise it asks, where that promises more
// tokens in a second than the guesses that were found already, of which there are so many; wait tells that the reply
// should wait for the answer. A Guesser that has much to read first does so while the reply goes on. The mutex is held.
func (p *Speculator) consult(ctx context.Context, r *Reply, tokens []int32, n, found int) (said []int32, wait bool) {
	if p.guesser == nil {
		return nil, false
	}
	q, name := p.question, p.guesser.Name()
	switch {
	case q != nil && !q.done && !q.wait && name == "": // it may read for long, and somebody else needs the PC now
		q.cancel()
	case q != nil && !q.done:
		return nil, q.wait
	case q != nil && q.wait && q.at == len(tokens):
		p.question = nil
		return q.tokens[:min(len(q.tokens), max(0, n))], false
	}
	p.question = nil
	if n < 1 || name == "" || name == r.unguessable {
		return nil, false
	}
	if name != p.rates.name {
		p.rates.meet(name)
		q, r.read = nil, 0
	}
	wanted := p.rates.wanted(n, found, r.odds)
	if q != nil && len(tokens)-r.read <= near { // it has caught up
		wanted = max(wanted, min(q.n, n))
	}
	if wanted == 0 {
		return nil, false
	}
	p.put(ctx, r, tokens, wanted)
	return nil, p.question.wait
}

// put asks the Guesser for n tokens. A reply waits for the answer no longer than a step takes, or, where that is longer,
// twice as long as it is expected to take, up to a few steps. The mutex is held.
func (p *Speculator) put(ctx context.Context, r *Reply, tokens []int32, n int) {
	q := &question{reply: r, at: len(tokens), n: n, wait: len(tokens)-r.read <= near}
	limit := max(p.rates.alone, min(2*time.Duration(n)*p.rates.each, longestWait*p.rates.alone))
	if !q.wait {
		n, limit = 1, readLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	q.cancel = cancel
	if r.key == "" {
		if r.key = r.requester; r.key == "" { // then nobody shares what is read for it
			r.key = rand.Text()
		}
	}
	key, text := r.key, tokens[:q.at:q.at] // what is there never changes
	p.question = q
	p.asks.Go(func() {
		began := time.Now()
		said, err := p.guesser.Guess(ctx, key, text, n)
		late := ctx.Err() != nil
		cancel()
		p.answered(q, said, err, time.Since(began), late)
	})
}

// answered takes in what the Guesser said, perhaps because its time was over.
func (p *Speculator) answered(q *question, said []int32, err error, took time.Duration, late bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.question != q { // nobody waits for it any more
		return
	}
	q.done = true
	switch code := core.CodeOf(err); {
	case err != nil:
		q.reply.read = 0
		if code == core.CodeContextTooLong || code == core.CodeInvalidRequest {
			q.reply.unguessable = p.rates.name
		}
	case q.wait && len(said) > 0:
		q.reply.read = q.at
		q.tokens = p.known(said)
		p.rates.answer(took, len(said))
	case q.wait && late: // it hangs, or is being loaded again
		p.rates.rest = probeEvery
	case late:
		q.reply.unguessable = p.rates.name
	default:
		q.reply.read = q.at
	}
	p.wake()
}

// known cuts a guess before a token that is not in the vocabulary: a Guesser may have some more.
func (p *Speculator) known(tokens []int32) []int32 {
	for i, t := range tokens {
		if t < 0 || int(t) >= p.vocabulary {
			return tokens[:i]
		}
	}
	return tokens
}
