package schedule

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule/speculate"
)

// job is one request. The scheduler's mutex guards it, but for ctx, out and cut.
type job struct {
	requester string
	sampler   engine.Sampler
	embed     bool
	limit     int // tokens to generate at most

	ctx    context.Context // ends when the caller has gone
	cancel context.CancelFunc
	out    chan engine.Sample // closed when the job has ended
	full   atomic.Bool        // the scheduler waits for room in out
	cut    atomic.Bool        // what is left in out is not to be emitted

	slot      *slot
	tokens    []int32 // the prompt, then every token generated
	prompt    int     // length of the prompt
	cached    int     // tokens of the prompt found in the KV cache
	sent      int     // tokens sent into the chain
	sure      int     // tokens known to be in the KV cache of every window
	abortable int     // batches under way that end when the caller goes
	prepared  bool    // the sampler is set, or on its way
	preparing bool    // rows wait until the sampler is known to be good
	suspect   bool    // a batch failed in a way that leaves the KV cache of the slot unknown
	hungry    bool    // it waits for room in the KV cache
	guessed   speculate.Reply
	turn      uint64 // when rows of the job last went into a batch
	stall     *time.Timer

	ended   bool
	reason  string // why it ended well
	err     error  // why it did not
	vectors [][]float32
}

// newJob makes a job whose caller reads at most buffer tokens late.
func newJob(ctx context.Context, request engine.Job, buffer int) *job {
	j := &job{
		requester: request.Requester,
		sampler:   request.Sampler,
		limit:     request.MaxTokens,
		out:       make(chan engine.Sample, buffer),
		prompt:    len(request.Prompt),
		guessed:   speculate.NewReply(request.Requester),
		tokens:    append(make([]int32, 0, len(request.Prompt)+min(request.MaxTokens, buffer)), request.Prompt...),
	}
	if j.sampler.History == nil {
		j.sampler.History = request.Prompt[max(0, len(request.Prompt)-engine.PenaltyWindow):]
	}
	j.ctx, j.cancel = context.WithCancel(ctx)
	return j
}

// pending is how many tokens of the job have not been sent into the chain.
func (j *job) pending() int { return len(j.tokens) - j.sent }

// prefilling tells whether part of the prompt has not been sent yet.
func (j *job) prefilling() bool { return j.sent < j.prompt }

// decoding tells whether the next row of the job is the last token it brought.
func (j *job) decoding() bool {
	return !j.embed && !j.prefilling() && j.pending() == 1 && !j.needsPreparing()
}

// generated is how many tokens the job has brought.
func (j *job) generated() int { return len(j.tokens) - j.prompt }

// needsPreparing tells whether the sampler may be refused, which must not take the rows of other jobs with it.
func (j *job) needsPreparing() bool {
	return !j.prepared && !j.embed && (j.sampler.Grammar != "" || len(j.sampler.LogitBias) > 0)
}

// blocked tells whether the caller has not taken the tokens it has. It asks to be woken when it has.
func (j *job) blocked() bool {
	if len(j.out) < cap(j.out) {
		return false
	}
	j.full.Store(true)
	return len(j.out) == cap(j.out)
}

// pump hands tokens to emit as they come. It returns when the job has ended, with how, or when emit or ctx did.
func (j *job) pump(ctx context.Context, emit func(engine.Sample) error, wake func()) error {
	for {
		select {
		case sample, more := <-j.out:
			if !more {
				return nil
			}
			if j.cut.Load() {
				continue
			}
			if ctx.Err() != nil {
				return errCancelled(ctx)
			}
			if j.full.CompareAndSwap(true, false) {
				wake()
			}
			if err := emit(sample); err != nil {
				return err
			}
		case <-ctx.Done():
			return errCancelled(ctx)
		}
	}
}

func errCancelled(ctx context.Context) error {
	return core.Errorf(core.CodeCancelled, "request: %w", context.Cause(ctx))
}
