package schedule

import (
	"context"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/bell"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule/speculate"
)

// Config says what a Scheduler runs on and how. Only Windows has no default.
type Config struct {
	Windows        []engine.Window  // the model, first layer to last; they stay the caller's to close
	Tokenizer      engine.Tokenizer // nil is the last window
	MaxContext     int              // most tokens of one job, prompt and reply; 0 is the whole KV cache
	BatchSequences int              // most jobs in one batch; 0 is 8
	Queue          int              // most jobs that wait for a slot; 0 is 128
	Buffer         int              // tokens a caller may be behind before its job pauses; 0 is 64
	StallLimit     time.Duration    // how long a job may be paused before it is cut; 0 is 20 s
	StepTarget     time.Duration    // how long a step with rows of several jobs should take at most; 0 is 200 ms
	NoDrafts       bool             // never guess tokens, also where a chain over other nodes would gain by it
	Guesser        Guesser          // guesses besides what the text itself says; may be nil
}

func (c Config) withDefaults(shape engine.Shape) Config {
	if c.Tokenizer == nil {
		c.Tokenizer = c.Windows[len(c.Windows)-1]
	}
	if c.MaxContext <= 0 || c.MaxContext > shape.Context {
		c.MaxContext = shape.Context
	}
	c.BatchSequences = min(orDefault(c.BatchSequences, 8), shape.BatchRows)
	c.Queue = orDefault(c.Queue, 128)
	c.Buffer = orDefault(c.Buffer, 64)
	c.StallLimit = orDefault(c.StallLimit, 20*time.Second)
	c.StepTarget = orDefault(c.StepTarget, 200*time.Millisecond)
	return c
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// Scheduler is an engine.Runner: continuous batching of many jobs over one chain of windows.
type Scheduler struct {
	engine.Tokenizer
	cfg   Config
	chain *Chain
	shape engine.Shape
	// speculates tells that tokens may be guessed: over a Pipe, where a step is mostly a way, if wrong ones can be
	// trimmed.
	speculates bool
	guesses    *speculate.Speculator // called with the mutex held

	wake    bell.Bell     // something changed for the loop
	landed  chan *flight  // batches that came out of the chain
	closing chan struct{} // closed by Close

	mu        sync.Mutex // guards all below, and every job and slot
	cache     *cache
	queue     queue
	active    []*job    // those with a slot
	flying    int       // batches in the chain
	idle      []*flight // flights to use again
	list      []*job    // memory of ready
	turn      uint64
	rowTime   time.Duration // measured time of one prefill row in the slowest window; 0 is not known yet
	refuse    error         // why no job is taken any more
	running   bool
	finished  chan struct{} // closed when Run has ended
	closeOnce sync.Once
	stats     Stats
}

// New makes a Scheduler. The error has code core.CodeInvalidRequest when the windows do not make a whole model.
func New(cfg Config) (*Scheduler, error) {
	chain, err := NewChain(cfg.Windows)
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults(chain.Shape())
	s := &Scheduler{
		Tokenizer:  cfg.Tokenizer,
		cfg:        cfg,
		chain:      chain,
		shape:      chain.Shape(),
		speculates: !cfg.NoDrafts && chain.remote() && chain.Shape().CanTrim,
		cache:      newCache(chain.Shape()),
		wake:       bell.New(),
		landed:     make(chan *flight, depth),
		closing:    make(chan struct{}),
		finished:   make(chan struct{}),
	}
	s.guesses = speculate.New(cfg.Guesser, s.shape.Vocabulary, s.wake.Ring)
	return s, nil
}

// Shape implements engine.Runner.
func (s *Scheduler) Shape() engine.Shape { return s.shape }

// MaxContext is the most tokens of one job, prompt and reply.
func (s *Scheduler) MaxContext() int { return s.cfg.MaxContext }

// Load implements engine.Runner.
func (s *Scheduler) Load() engine.Load {
	s.mu.Lock()
	defer s.mu.Unlock()
	return engine.Load{Active: len(s.active), Waiting: s.queue.length}
}

// Generate implements engine.Runner. Jobs wait until Run is called.
func (s *Scheduler) Generate(ctx context.Context, request engine.Job, emit func(engine.Sample) error) (engine.Finish, error) {
	if err := s.check(request.Prompt, 1); err != nil {
		return engine.Finish{}, err
	}
	if request.MaxTokens < 1 {
		return engine.Finish{}, core.Errorf(core.CodeInvalidRequest, "max_tokens must be at least 1").WithParam("max_tokens")
	}
	request.MaxTokens = min(request.MaxTokens, s.cfg.MaxContext-len(request.Prompt))
	j := newJob(ctx, request, s.cfg.Buffer)
	return s.run(ctx, j, emit)
}

// Embed implements engine.Runner. The vectors are not normalised.
func (s *Scheduler) Embed(ctx context.Context, prompt []int32) ([][]float32, error) {
	if err := s.check(prompt, 0); err != nil {
		return nil, err
	}
	j := newJob(ctx, engine.Job{Prompt: prompt}, 0)
	j.embed = true
	if _, err := s.run(ctx, j, nil); err != nil {
		return nil, err
	}
	return j.vectors, nil
}

// check refuses a prompt that can never run. room is how many tokens of the context must be left.
func (s *Scheduler) check(prompt []int32, room int) error {
	if len(prompt) == 0 {
		return core.Errorf(core.CodeInvalidRequest, "the prompt is empty")
	}
	if most := s.cfg.MaxContext - room; len(prompt) > most {
		return core.Errorf(core.CodeContextTooLong, "the prompt has %d tokens, at most %d fit", len(prompt), most)
	}
	for _, token := range prompt {
		if token < 0 || int(token) >= s.shape.Vocabulary {
			return core.Errorf(core.CodeInvalidRequest, "token %d is not in the vocabulary", token)
		}
	}
	return nil
}

// run queues a job and stays with it until it has ended.
func (s *Scheduler) run(ctx context.Context, j *job, emit func(engine.Sample) error) (engine.Finish, error) {
	defer j.cancel()
	if err := s.enqueue(ctx, j); err != nil {
		return engine.Finish{}, err
	}
	if err := j.pump(ctx, emit, s.wake.Ring); err != nil {
		s.abandon(j, err)
		return engine.Finish{}, err
	}
	return engine.Finish{Reason: j.reason, Cached: j.cached}, j.err
}

// enqueue lets a job wait, or refuses it at once. One requester may hold three quarters of the queue.
func (s *Scheduler) enqueue(ctx context.Context, j *job) error {
	if ctx.Err() != nil {
		return errCancelled(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	free := max(0, len(s.cache.slots)-len(s.active))
	share := s.cfg.Queue - s.cfg.Queue/4
	if s.queue.length >= s.cfg.Queue+free || s.queue.waitingOf(j.requester) >= share+free {
		s.stats.Refused++
		return core.Errorf(core.CodeOverloaded, "%d requests are waiting already", s.queue.length)
	}
	s.queue.push(j)
	s.wake.Ring()
	return nil
}

// Ended is why no job is taken any more, or nil. It is set before the jobs that a window's end cut off are told.
func (s *Scheduler) Ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refuse
}

// abandon ends a job whose caller has gone.
func (s *Scheduler) abandon(j *job, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !j.ended {
		s.stats.Cancelled++
		s.end(j, "", err)
	}
	s.wake.Ring()
}

// Run schedules until ctx ends or Close is called (nil), or a window dies (core.CodeEngineCrashed). It returns when
// every job has got its error and all goroutines have ended. A scheduler runs once.
func (s *Scheduler) Run(ctx context.Context) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer close(s.finished)
	running, stop := context.WithCancel(ctx)
	defer stop()
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = s.chain.Run(running)
	}()
	s.loop(running, ended)
	stop()
	<-ended
	s.shut(err)
	s.guesses.Wait() // every job has ended, and its questions with it
	return err
}

func (s *Scheduler) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return core.Errorf(core.CodeConflict, "the scheduler runs already")
	}
	s.running = s.refuse == nil
	return s.refuse
}

// loop sends and receives batches until something ends it.
func (s *Scheduler) loop(ctx context.Context, ended <-chan struct{}) {
	for {
		s.fill(ctx)
		select {
		case f := <-s.landed:
			s.land(f)
			s.landAll()
		case <-s.wake:
		case <-ended:
			return
		case <-s.closing:
			return
		case <-ctx.Done():
			return
		}
	}
}

// landAll takes every other batch that has come out by now.
func (s *Scheduler) landAll() {
	for {
		select {
		case f := <-s.landed:
			s.land(f)
		default:
			return
		}
	}
}

// shut ends every job. Later ones are refused.
func (s *Scheduler) shut(err error) {
	s.landAll()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		err = core.Errorf(core.CodeNotReady, "the model is being unloaded")
	}
	if s.refuse == nil {
		s.refuse = err
	}
	for len(s.active) > 0 {
		s.end(s.active[0], "", err)
	}
	for j := s.queue.next(); j != nil; j = s.queue.next() {
		s.end(j, "", err)
	}
}

// Close ends every job with core.CodeNotReady and waits until Run has returned. The windows stay open.
func (s *Scheduler) Close() error {
	s.closeOnce.Do(func() { close(s.closing) })
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	if running {
		<-s.finished
		return nil
	}
	s.shut(nil)
	return nil
}
