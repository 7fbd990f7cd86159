package chainbench

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
)

// throughput compares a chain of two nodes with the whole model. All are loaded at the same time, and each round
// measures them one right after the other, because what else the machine does changes from minute to minute.
func (b *bench) throughput(ctx context.Context) (figures []Figure, err error) {
	b.plain = true
	err = b.whole(ctx, 1, func(one *schedule.Scheduler) error {
		return b.whole(ctx, 2, func(two *schedule.Scheduler) error {
			return b.chain(ctx, 1, true, func(chain *schedule.Scheduler) error {
				figures, err = b.rounds(ctx, one, two, chain)
				return err
			})
		})
	})
	return figures, err
}

// rounds measures the whole model on one thread and on two beside the chain.
func (b *bench) rounds(ctx context.Context, one, two, chain *schedule.Scheduler) ([]Figure, error) {
	decode := pair{name: "chain2.decode"}
	short, long := pair{name: "chain2.prefill512"}, pair{name: "chain2.prefill2048"}
	four := pair{name: "concurrent4.decode"}
	for round := range b.Rounds {
		var errs []error
		for range 3 { // replies are short, and their speed varies most
			errs = append(errs,
				decode.add(
					func() (float64, error) { return b.decode(ctx, chain, 32, tokens) },
					func() (float64, error) { return b.decode(ctx, one, 32, tokens) }),
				four.add(
					func() (float64, error) { return b.concurrent(ctx, chain, 4, tokens) },
					func() (float64, error) { return b.decode(ctx, chain, 32, tokens) }))
		}
		err := firstError(append(errs,
			short.add(
				func() (float64, error) { return b.prefill(ctx, chain, 512) },
				func() (float64, error) { return b.prefill(ctx, two, 512) }),
			long.add(
				func() (float64, error) { return b.prefill(ctx, chain, 2048) },
				func() (float64, error) { return b.prefill(ctx, two, 2048) }))...)
		if err != nil {
			return nil, err
		}
		b.Progress(fmt.Sprintf("chain: round %d of %d done", round+1, b.Rounds))
	}
	return []Figure{decode.median(), short.median(), long.median(), four.median()}, nil
}

// pair is a figure measured several times, each time beside its reference.
type pair struct {
	name   string
	rounds []Figure
}

func (p *pair) add(measure, reference func() (float64, error)) error {
	value, err := measure()
	if err != nil {
		return err
	}
	against, err := reference()
	p.rounds = append(p.rounds, Figure{p.name, value, against})
	return err
}

// median is the round whose ratio is the middle one.
func (p *pair) median() Figure {
	sorted := slices.SortedFunc(slices.Values(p.rounds), func(a, b Figure) int {
		return cmp.Compare(a.Value/a.Reference, b.Value/b.Reference)
	})
	return sorted[len(sorted)/2]
}
