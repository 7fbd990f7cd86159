// Package speculate decides how many tokens to guess for a lone request on a chain over other nodes, where a step of
// several rows takes little longer than one: most of it is the way. The last window says how many guesses were right, so
// that the reply is the same with and without.
//
// Guesses are what followed the last tokens where they stood before, or what a Guesser says, whichever brings more tokens
// in a second by what was measured of both. What becomes of the question to the Guesser:
//
//	none ──ask, little to read──▶ waited for ──answer──▶ answered ──Next at the same token──▶ none (guesses)
//	  │                              │  └─────time over──▶ answered, empty: the Guesser rests for a while
//	  └──ask, much to read──▶ reading ──answer──▶ answered: the next question need not read so much
//	                             └─────time over──▶ answered: no more questions about this reply
//
// Whatever its state, it is dropped when its reply has ended, or is not alone any more.
package speculate

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/engine"
)

const (
	maxDraft   = 8   // guessed tokens of one step
	longMatch  = 3   // tokens at the end of a reply that must be found earlier for a guess
	shortMatch = 2   // where so many are not found
	firstOdds  = 0.5 // that a guess is right, before there were any
)

// Speculator guesses for one reply at a time. It is safe for concurrent use; it holds no lock while a Guesser thinks.
type Speculator struct {
	guesser    Guesser // may be nil
	vocabulary int
	wake       func()
	asks       sync.WaitGroup // questions that have not been answered

	mu       sync.Mutex // guards all below, and every Reply
	rates    rates
	question *question // the one that counts; nil is none
}

// New makes a Speculator. wake is called when there may be something new to guess; guesser may be nil.
func New(guesser Guesser, vocabulary int, wake func()) *Speculator {
	return &Speculator{guesser: guesser, vocabulary: vocabulary, wake: wake}
}

// Reply is what is known of one reply.
type Reply struct {
	requester   string
	odds        float64 // that a token which is guessed by the text is right
	read        int     // tokens that the Guesser has read
	unguessable string  // name of the Guesser that cannot follow the reply
	key         string  // what the Guesser knows the reply by
}

// NewReply is that of a requester.
func NewReply(requester string) Reply { return Reply{requester: requester, odds: firstOdds} }

// Guess is tokens that may come after the next token of a reply.
type Guess struct {
	Tokens []int32
	Asked  bool    // of the Guesser
	spare  []int32 // where asked, what the text itself says, to see which of the two is better
}

// Next is what to guess after tokens, nothing where that would not help, and at most room of it. wait tells that the
// Guesser is being asked, and is worth waiting for: wake will be called. ctx is that of the reply.
func (p *Speculator) Next(ctx context.Context, r *Reply, tokens []int32, room int) (g Guess, wait bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := lookUp(tokens, min(maxDraft, room))
	said, wait := p.consult(ctx, r, tokens, min(maxAsked, room), len(found))
	switch {
	case wait:
		return g, true
	case len(said) > 0:
		return Guess{Tokens: said, Asked: true, spare: found}, false
	}
	return Guess{Tokens: found[:p.rates.worth(len(found), r.odds)]}, false
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

// Stepped takes in how long a step of a lone reply took, with so many guesses.
func (p *Speculator) Stepped(took time.Duration, guesses int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rates.step(took, guesses)
}

// Landed takes in the samples that came of a guess of which so many tokens were sent: all but the last were right.
func (p *Speculator) Landed(r *Reply, g Guess, sent int, samples []engine.Sample) {
	p.mu.Lock()
	defer p.mu.Unlock()
	right := len(samples) - 1
	if !g.Asked {
		r.odds = weigh(r.odds, right, sent, 8)
		return
	}
	p.rates.trust = weigh(p.rates.trust, right, sent, 16)
	r.odds = weigh(r.odds, agree(g.spare, samples), min(len(g.spare), len(samples)), 8)
}

// agree is how many tokens of a guess are those that came.
func agree(tokens []int32, samples []engine.Sample) (n int) {
	for n < len(tokens) && n < len(samples) && tokens[n] == samples[n].Token {
		n++
	}
	return n
}

// KeepOnly drops a question about another reply than this one; nil drops any.
func (p *Speculator) KeepOnly(r *Reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.question != nil && (r == nil || p.question.reply != r) {
		p.question.cancel()
		p.question = nil
	}
}

// Wait returns when every question has been answered. The contexts of all replies must have ended.
func (p *Speculator) Wait() { p.asks.Wait() }
