package schedule

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// depth is how many batches a chain holds at most, all stages together.
const depth = 64

// Pipe is a window that works on several batches at once, such as a run of windows on other PCs. In a Chain, Submit
// takes the place of Step.
type Pipe interface {
	engine.Window
	// Len is how many windows it stands for.
	Len() int
	// Submit sends a batch on its way and returns when it has read the batch's hidden states; it may wait until there
	// is room for the batch. done is called once, in the order of the Submits, from a goroutine that it must not
	// block; until then the rest of the batch belongs to the pipe. When ctx ends, the rows are skipped if that can
	// still be done, and the operations reach every window all the same.
	Submit(ctx context.Context, b *engine.Batch, done func(Passage))
	// Err tells why Done is closed. Its code is core.CodeEngineCrashed.
	Err() error
}

// Chain runs batches through windows in a row, in the order of Submit. Each window works on a batch of its own, so
// as many batches are under way as there are windows.
type Chain struct {
	windows []engine.Window
	shape   engine.Shape
	in      []chan *transit // in[i] feeds window i
	spare   chan []float32  // buffers of hidden states to use again

	mu     sync.Mutex // guards the two below, and keeps Submit in order
	closed error      // why no batch is taken any more
	held   int        // batches submitted and not yet done
}

// Passage is what came of a batch at the end of a chain.
type Passage struct {
	Output  *engine.Output // of the last window; nil with Err
	Slowest time.Duration  // the longest Step of the batch
	Err     error
}

// transit is a batch on its way.
type transit struct {
	ctx    context.Context
	batch  *engine.Batch
	hidden []float32
	result Passage
	done   func(Passage)
}

// NewChain makes a chain of windows that follow one another from the first layer to the last. They stay the
// caller's to close. The error has code core.CodeInvalidRequest.
func NewChain(windows []engine.Window) (*Chain, error) {
	shape, err := joinShapes(windows)
	if err != nil {
		return nil, err
	}
	c := &Chain{windows: windows, shape: shape, spare: make(chan []float32, len(windows)+2)}
	for range windows {
		c.in = append(c.in, make(chan *transit, depth))
	}
	return c, nil
}

// Shape is the shape of the whole chain: all layers, the tightest limit of any window.
func (c *Chain) Shape() engine.Shape { return c.shape }

// Len is the number of windows, those behind a pipe included.
func (c *Chain) Len() (n int) {
	for _, w := range c.windows {
		if p, ok := w.(Pipe); ok {
			n += p.Len() - 1
		}
	}
	return n + len(c.windows)
}

// remote tells whether part of the chain is a Pipe.
func (c *Chain) remote() bool {
	return slices.ContainsFunc(c.windows, func(w engine.Window) bool {
		_, ok := w.(Pipe)
		return ok
	})
}

// Submit sends a batch of tokens into the chain. done is called once, in the order of the Submits, from a goroutine
// of the chain that it must not block; until then the batch belongs to the chain. When ctx ends, rows that have not
// run are skipped and the passage fails with core.CodeCancelled; the batch's operations reach every window all the
// same. The passage after a window died fails with core.CodeEngineCrashed. Submit fails, without calling done, when
// the chain has ended or holds too many batches.
func (c *Chain) Submit(ctx context.Context, b *engine.Batch, done func(Passage)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed != nil {
		return c.closed
	}
	if c.held == depth {
		return core.Errorf(core.CodeOverloaded, "chain holds %d batches", depth)
	}
	c.held++
	c.in[0] <- &transit{ctx: ctx, batch: b, done: done}
	return nil
}

// Run moves batches until ctx ends or a window dies. It returns when every batch is done and its goroutines have
// ended: nil after ctx, or an error of code core.CodeEngineCrashed. A chain runs once.
func (c *Chain) Run(ctx context.Context) error {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var group sync.WaitGroup
	for i, w := range c.windows {
		group.Go(func() { watch(running, w, stop) })
		if p, ok := w.(Pipe); ok {
			group.Go(func() { c.pipe(running, i, p, stop) })
			continue
		}
		group.Go(func() { c.stage(running, i, stop) })
	}
	<-running.Done()
	c.close(reason(running))
	group.Wait()
	if err := reason(running); core.CodeOf(err) == core.CodeEngineCrashed {
		return err
	}
	return nil
}

// close refuses further batches and lets those under way drain.
func (c *Chain) close(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = why
	close(c.in[0])
}

// reason is why a chain ended, as its batches report it.
func reason(running context.Context) error {
	if err, ok := errors.AsType[*core.Error](context.Cause(running)); ok && err.Code == core.CodeEngineCrashed {
		return err
	}
	return core.Errorf(core.CodeNotReady, "the model is being unloaded")
}

func watch(ctx context.Context, w engine.Window, stop context.CancelCauseFunc) {
	select {
	case <-w.Done():
		if p, ok := w.(Pipe); ok {
			stop(p.Err())
			return
		}
		stop(core.Errorf(core.CodeEngineCrashed, "the worker of layers %d to %d ended", w.Shape().Layers.First, w.Shape().Layers.End))
	case <-ctx.Done():
	}
}

// stage is the goroutine of one window. It ends when the stage before it has.
func (c *Chain) stage(running context.Context, i int, stop context.CancelCauseFunc) {
	for t := range c.in[i] {
		c.step(running, i, t, stop)
		c.pass(i, t)
	}
	c.end(i)
}

// pass hands a batch to the window after i, or back to who submitted it.
func (c *Chain) pass(i int, t *transit) {
	if i < len(c.windows)-1 {
		c.in[i+1] <- t
		return
	}
	c.mu.Lock()
	c.held--
	c.mu.Unlock()
	t.done(t.result)
}

// end tells the window after i that no more batches come.
func (c *Chain) end(i int) {
	if i < len(c.windows)-1 {
		close(c.in[i+1])
	}
}

// step runs a batch on one window, or only its operations when the batch has failed already.
func (c *Chain) step(running context.Context, i int, t *transit, stop context.CancelCauseFunc) {
	hidden := t.hidden
	t.hidden = nil
	defer c.keep(hidden)
	if running.Err() != nil {
		t.fail(reason(running))
		return
	}
	if t.result.Err == nil && t.ctx.Err() != nil {
		t.fail(core.Errorf(core.CodeCancelled, "batch: %w", context.Cause(t.ctx)))
	}
	if t.result.Err != nil {
		c.applyOps(running, i, t.batch.Ops, stop)
		return
	}
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	defer context.AfterFunc(running, cancel)()
	b := engine.Batch{Ops: t.batch.Ops, Rows: t.batch.Rows, Embed: t.batch.Embed, Hidden: hidden}
	if i < len(c.windows)-1 {
		b.Spare = c.reuse()
	}
	begin := time.Now()
	out, err := c.windows[i].Step(ctx, &b)
	c.arrive(running, i, t, Passage{out, time.Since(begin), err}, stop)
}

// arrive takes in what window i made of a batch.
func (c *Chain) arrive(running context.Context, i int, t *transit, p Passage, stop context.CancelCauseFunc) {
	t.result.Slowest = max(t.result.Slowest, p.Slowest)
	err := p.Err
	if err == nil {
		err = c.checkOutput(i, t.batch, p.Output)
	}
	if err != nil {
		c.failed(running, t, err, stop)
		return
	}
	if i == len(c.windows)-1 {
		t.result.Output = p.Output
	}
	t.hidden = p.Output.Hidden
}

func (c *Chain) failed(running context.Context, t *transit, err error, stop context.CancelCauseFunc) {
	if core.CodeOf(err) == core.CodeEngineCrashed {
		stop(err)
	}
	if running.Err() != nil {
		err = reason(running)
	}
	t.fail(err)
}

// applyOps keeps the sequences of a window in step with the others after a batch failed before it.
func (c *Chain) applyOps(running context.Context, i int, ops []engine.Op, stop context.CancelCauseFunc) {
	if len(ops) == 0 {
		return
	}
	_, err := c.windows[i].Step(running, &engine.Batch{Ops: ops})
	if core.CodeOf(err) == core.CodeEngineCrashed {
		stop(err)
	}
}

// checkOutput refuses what a faulty window returns, before anyone indexes into it.
func (c *Chain) checkOutput(i int, b *engine.Batch, out *engine.Output) error {
	if i < len(c.windows)-1 {
		if len(out.Hidden) != len(b.Rows)*c.shape.Embedding {
			return core.Errorf(core.CodeInternal, "window %d gave %d floats for %d rows", i, len(out.Hidden), len(b.Rows))
		}
		return nil
	}
	if b.Embed {
		return checkCount(len(out.Embeddings), b)
	}
	return checkSamples(b, out.Samples)
}

func checkCount(got int, b *engine.Batch) error {
	marked := 0
	for _, row := range b.Rows {
		if row.Sample {
			marked++
		}
	}
	if got != marked {
		return core.Errorf(core.CodeInternal, "last window gave %d results for %d rows", got, marked)
	}
	return nil
}

// checkSamples refuses samples that do not belong to the rows that must have one, in their order. A draft has one
// exactly if the sample before it is what it guessed.
func checkSamples(b *engine.Batch, samples []engine.Sample) error {
	var before *engine.Sample // of the row before
	for i, row := range b.Rows {
		if !row.Sample || row.Draft && (before == nil || before.End || before.Token != row.Token) {
			before = nil
			continue
		}
		if len(samples) == 0 || samples[0].Row != i {
			return core.Errorf(core.CodeInternal, "last window gave no sample for row %d", i)
		}
		before, samples = &samples[0], samples[1:]
	}
	if len(samples) > 0 {
		return core.Errorf(core.CodeInternal, "last window gave %d samples too many", len(samples))
	}
	return nil
}

func (t *transit) fail(err error) { t.result.Output, t.result.Err = nil, err }

// reuse takes a buffer for hidden states, or nil when none is free.
func (c *Chain) reuse() []float32 {
	select {
	case buffer := <-c.spare:
		return buffer
	default:
		return nil
	}
}

// keep gives a buffer back once the window it was for has read it.
func (c *Chain) keep(buffer []float32) {
	if buffer == nil {
		return
	}
	select {
	case c.spare <- buffer:
	default:
	}
}
