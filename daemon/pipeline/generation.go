package pipeline

import (
	"context"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// generation is a job on its way over one or more chains.
type generation struct {
	job      engine.Job
	emit     func(engine.Sample) error
	tokens   []int32 // emitted so far
	limit    int     // tokens in all, as the first chain had room for
	failed   error   // of emit
	attempts int
	finish   engine.Finish
}

// run goes on with the job over a chain.
func (g *generation) run(ctx context.Context, l *line) (progress bool, err error) {
	before := len(g.tokens)
	if g.attempts == 1 {
		g.limit = min(g.job.MaxTokens, l.MaxContext()-len(g.job.Prompt))
	}
	var ended bool
	finish, err := l.Generate(ctx, g.rest(), func(s engine.Sample) error {
		g.tokens, ended = append(g.tokens, s.Token), s.End
		g.failed = g.emit(s)
		return g.failed
	})
	if g.attempts == 1 {
		g.finish.Cached = finish.Cached
	}
	g.finish.Reason = finish.Reason
	switch {
	case err == nil, g.failed != nil:
		return false, err
	case ended: // the chain was lost after its last word
		g.finish.Reason = core.FinishStop
		return false, nil
	case len(g.tokens) > 0 && len(g.tokens) >= g.limit:
		g.finish.Reason = core.FinishLength
		return false, nil
	}
	return len(g.tokens) > before, err
}

// rest is the job without what has been emitted.
func (g *generation) rest() engine.Job {
	n := len(g.tokens)
	if n == 0 {
		return g.job
	}
	j := g.job
	j.Prompt = slices.Concat(g.job.Prompt, g.tokens)
	j.MaxTokens = max(1, g.limit-n)
	if j.Sampler.History == nil {
		j.Sampler.History = g.job.Prompt[max(0, len(g.job.Prompt)-engine.PenaltyWindow):]
	}
	j.Sampler.Accepted = slices.Concat(j.Sampler.Accepted, g.tokens)
	if seed := j.Sampler.Seed; seed != nil {
		next := (*seed^uint32(n))*0x9e3779b1 ^ *seed>>15
		j.Sampler.Seed = &next
	}
	return j
}
