package kill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Config says what is run. All fields but Each and Seed are required.
type Config struct {
	Program string // shoald, with shoal-worker beside it
	Runtime string // folder of the llama.cpp libraries
	Dir     string // empty folder for the nodes
	Standby bool   // every stage has a second peer that could run it
	HomeEnd bool   // the last stage is the host
	Rounds  int
	Kinds   []string // of harm; nil is a mixture
	Seed    uint64
	Each    func(Outcome) // is told of every round; may be nil
}

// Verdict says what a client got.
type Verdict string

// Verdicts. The first two are right; an error is right only where there is no standby.
const (
	Same   Verdict = "same text"
	Failed Verdict = "error"
	Late   Verdict = "late error" // it came after more than Limit
	Silent Verdict = "silent"     // it ended as if it were complete, or without a word
	Wrong  Verdict = "other text"
)

// Limit is how long after the loss of a peer a client may wait for an error.
const Limit = 5 * time.Second

// Outcome is what came of one round.
type Outcome struct {
	Round   int
	Kind    string
	Prompt  bool // the peer was lost while the prompt was read
	Verdict Verdict
	Pause   time.Duration // longest silence after the loss
	Told    time.Duration // from the loss to the end of the reply
	Back    time.Duration // from the peer's return until a chain over it is planned
	Next    error         // why the next request was not served; nil if it was
	Detail  string        // the error, or what was wrong
	Logs    string        // of all nodes, if the round did not go as it must
}

// OK tells whether the round went as it must.
func (o Outcome) OK(standby bool) bool {
	return o.Next == nil && (o.Verdict == Same || o.Verdict == Failed && !standby)
}

// mixture is how often each harm is done.
var mixture = []string{
	KillNode, KillNode, KillNode, KillNode, KillNode, KillNode, KillWorker, KillWorker, StopNode, StopNode, StopWorker,
}

// roundLimit bounds a round, with the return of the peer.
const roundLimit = 2 * time.Minute

// Run runs the rounds. The error is that the rounds could not be run; what a client got wrong is in the outcomes.
func Run(ctx context.Context, cfg Config) ([]Outcome, error) {
	if cfg.Kinds == nil {
		cfg.Kinds = mixture
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	starting, cancel := context.WithTimeout(ctx, roundLimit)
	f, err := launch(starting, cfg)
	cancel()
	if err != nil {
		return nil, err
	}
	defer func() { f.end() }()
	dice := rand.New(rand.NewPCG(cfg.Seed, cfg.Seed))
	var list []Outcome
	for i := range cfg.Rounds {
		limit, cancel := context.WithTimeout(ctx, roundLimit)
		o, err := f.round(limit, i, dice)
		cancel()
		if err != nil {
			return list, fmt.Errorf("round %d, %s: %w\n%s", i, o.Kind, err, f.logs())
		}
		if !o.OK(cfg.Standby) {
			o.Logs = f.logs()
		}
		if list = append(list, o); cfg.Each != nil {
			cfg.Each(o)
		}
	}
	return list, nil
}

// round takes a peer away once.
func (f *fleet) round(ctx context.Context, i int, dice *rand.Rand) (o Outcome, err error) {
	o = Outcome{Round: i, Kind: f.cfg.Kinds[dice.IntN(len(f.cfg.Kinds))], Prompt: dice.IntN(3) == 0}
	begun := time.Now()
	if err := f.whole(ctx); err != nil {
		return o, err
	}
	o.Back = time.Since(begun)
	for {
		// A request that is served shows which peers the chain has, and how long a prompt takes.
		calm, next, err := f.calm(ctx, dice)
		if err != nil || next != nil {
			o.Next = next
			return o, err
		}
		when := moment{piece: 1 + dice.IntN(tokens*3/4)}
		if o.Prompt {
			when = moment{after: time.Duration(dice.Int64N(int64(calm.first)))}
		}
		victim, err := f.node(calm.peers[dice.IntN(len(calm.peers))])
		if err != nil {
			return o, err
		}
		if struck, err := f.strike(ctx, &o, question(f.asks[dice.IntN(len(f.asks))]), when, victim); struck || err != nil {
			return o, err
		}
	}
}

// strike asks, and takes a peer away at a moment of the reply. It is false if the reply had ended before.
func (f *fleet) strike(ctx context.Context, o *Outcome, text string, when moment, victim int) (struck bool, err error) {
	var harmed error
	r, err := ask(ctx, f.nodes[0], f.model.String(), text, tokens, when, func([]string) {
		struck, harmed = true, hurt(f.nodes[victim], o.Kind)
	})
	if err = errors.Join(err, harmed); err != nil || !struck {
		return struck, err
	}
	o.Verdict, o.Detail = r.verdict(f.want[text])
	o.Pause, o.Told = r.pause, r.told
	if o.Verdict == Failed && o.Told > Limit {
		o.Verdict = Late
	}
	return true, f.bringBack(ctx, victim, o.Kind)
}

// settle is how long the next request may be refused with a reason once a plan says that there is a chain: the plan may
// go by what the peer told in its earlier life.
const settle = 5 * time.Second

// calm asks without harm, after the plan said that there is a chain. next is why it was not served as it must be.
func (f *fleet) calm(ctx context.Context, dice *rand.Rand) (r *reply, next, err error) {
	text := question(f.asks[dice.IntN(len(f.asks))]) + "And then? "
	for begun := time.Now(); ; {
		if r, err = ask(ctx, f.nodes[0], f.model.String(), text, 8, never, nil); err != nil {
			return nil, nil, err
		}
		if r.status != http.StatusServiceUnavailable || time.Since(begun) > settle {
			break
		}
	}
	if !r.done || r.finish != core.FinishLength || r.refusal != "" || r.route != core.RouteDistributed || len(r.peers) == 0 {
		return r, fmt.Errorf("%+v", r), nil
	}
	return r, nil, nil
}

// bringBack lets the victim run again.
func (f *fleet) bringBack(ctx context.Context, victim int, kind string) error {
	if kind != KillNode {
		return heal(f.nodes[victim], kind)
	}
	n, err := f.nodes[victim].Restart(ctx)
	if err != nil {
		return err
	}
	f.nodes[victim] = n
	return nil
}

// verdict judges a reply by what the whole model says.
func (r *reply) verdict(want string) (Verdict, string) {
	switch {
	case r.refusal != "" && !r.done && r.finish == "":
		return Failed, r.refusal
	case r.refusal != "":
		return Silent, fmt.Sprintf("after the error %q: finish reason %q, done %t", r.refusal, r.finish, r.done)
	case r.broken != nil || !r.done || r.finish == "":
		return Silent, fmt.Sprintf("%d pieces, finish reason %q, done %t, connection: %v", r.pieces, r.finish, r.done, r.broken)
	case r.text != want:
		return Wrong, fmt.Sprintf("got %q\nwant %q", r.text, want)
	}
	return Same, ""
}
