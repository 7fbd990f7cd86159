package schedule

import (
	"context"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// pipe is the goroutine that feeds a Pipe, which hands its batches on by itself. It ends when the stage before it has
// and every batch has come out.
func (c *Chain) pipe(running context.Context, i int, p Pipe, stop context.CancelCauseFunc) {
	var under sync.WaitGroup
	for t := range c.in[i] {
		under.Add(1)
		c.feed(running, i, p, t, stop, under.Done)
	}
	under.Wait()
	c.end(i)
}

// feed sends a batch into a pipe, or only its operations when the batch has failed already. It calls left once the
// batch has been handed on.
func (c *Chain) feed(running context.Context, i int, p Pipe, t *transit, stop context.CancelCauseFunc, left func()) {
	hidden := t.hidden
	t.hidden = nil
	defer c.keep(hidden)
	if running.Err() != nil {
		t.fail(reason(running))
	}
	if t.result.Err == nil && t.ctx.Err() != nil {
		t.fail(core.Errorf(core.CodeCancelled, "batch: %w", context.Cause(t.ctx)))
	}
	failed := t.result.Err != nil
	b := engine.Batch{Ops: t.batch.Ops, Rows: t.batch.Rows, Embed: t.batch.Embed, Hidden: hidden}
	if failed {
		b = engine.Batch{Ops: t.batch.Ops}
	} else if i < len(c.windows)-1 {
		b.Spare = c.reuse()
	}
	ctx, cancel := context.WithCancel(t.ctx)
	unhook := context.AfterFunc(running, cancel)
	if failed { // for the operations nobody's leaving counts
		ctx = context.WithoutCancel(ctx)
	}
	p.Submit(ctx, &b, func(r Passage) {
		unhook()
		cancel()
		switch {
		case !failed:
			c.arrive(running, i, t, r, stop)
		case core.CodeOf(r.Err) == core.CodeEngineCrashed:
			stop(r.Err)
		}
		c.pass(i, t)
		left()
	})
}
