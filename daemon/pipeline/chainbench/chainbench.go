// Package chainbench measures a chain of nodes against the whole model on one: the same windows, the same scheduler,
// the same machine, in one run.
package chainbench

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
)

// Config says what is measured. The networks reach one another; the first is the host's. Only SetDelay may be nil.
type Config struct {
	Engine   engine.Engine
	Dir      string // the model's folder
	Shards   int
	Networks []core.Network
	SetDelay func(oneWay time.Duration) // makes every byte between the nodes take so long; nil measures no delays
	Rounds   int                        // the median of so many counts; 0 is 3
	Progress func(string)
}

// Figure is one measurement. Reference is what it is compared with: the whole model, or for the delays the bound of
// computing time and latency.
type Figure struct {
	Name      string
	Value     float64 // tokens/s
	Reference float64
}

const (
	tokens     = 32
	delayWords = 24
	threads    = 1 // of each stage
)

// bench is one run.
type bench struct {
	Config
	model  core.ModelID
	digest core.Digest
	prompt uint64 // seed of the next prompt
	plain  bool   // no guesses
}

// Run takes all measurements.
func Run(ctx context.Context, c Config) ([]Figure, error) {
	if c.Rounds <= 0 {
		c.Rounds = 3
	}
	b := &bench{Config: c}
	var err error
	if b.model, err = core.ParseModelID("bench"); err != nil {
		return nil, err
	}
	figures, err := b.throughput(ctx)
	if err != nil || c.SetDelay == nil {
		return figures, err
	}
	more, err := b.delays(ctx)
	return append(figures, more...), err
}

// delays measures one and two remote nodes over slow links, plain and with guesses, beside the bound: what a token takes
// without delay, and the time of its way.
func (b *bench) delays(ctx context.Context) (figures []Figure, err error) {
	defer b.SetDelay(0)
	for remotes := 1; remotes < len(b.Networks) && remotes <= 2; remotes++ {
		var compute float64
		for _, d := range []time.Duration{0, 5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond} {
			b.SetDelay(d)
			var speed []float64
			for _, plain := range []bool{true, false} {
				b.plain = plain
				err := b.chain(ctx, remotes, false, func(s *schedule.Scheduler) error {
					return b.record(&speed, func() (float64, error) { return b.decode(ctx, s, 32, delayWords) })
				})
				if err != nil {
					return nil, err
				}
			}
			if d == 0 {
				compute = 1 / speed[0]
			}
			// A token passes the link to each remote node and the one back.
			bound := 1 / (compute + float64(remotes+1)*d.Seconds())
			name := fmt.Sprintf("delay%d.remotes%d", d.Milliseconds(), remotes)
			figures = append(figures, Figure{name, speed[0], bound}, Figure{name + ".drafts", speed[1], bound})
			b.Progress(fmt.Sprintf("chain: %d remote nodes at %s done", remotes, d))
		}
	}
	return figures, nil
}

func (b *bench) record(to *[]float64, measure func() (float64, error)) error {
	v, err := measure()
	*to = append(*to, v)
	return err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) spec(n int) engine.Spec {
	return engine.Spec{ModelDir: b.Dir, EndShard: b.Shards, Context: 4096, Sequences: 8, BatchRows: 512, Threads: n}
}

// whole calls fn with the whole model in one window.
func (b *bench) whole(ctx context.Context, n int, fn func(*schedule.Scheduler) error) error {
	w, err := b.Engine.Load(ctx, b.spec(n))
	if err != nil {
		return err
	}
	defer w.Close()
	return b.schedule(ctx, []engine.Window{w}, w, fn)
}

// chain calls fn with a chain of the host's window, if home is set, and windows of so many other nodes.
func (b *bench) chain(ctx context.Context, remotes int, home bool, fn func(*schedule.Scheduler) error) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	n := remotes
	if home {
		n++
	}
	spec := pipeline.Spec{Model: b.model, Manifest: b.digest, Options: pipeline.Options{Context: 4096, Sequences: 8, BatchRows: 512}}
	for i := range n {
		node := i + 1
		if home {
			node = i
		}
		spec.Stages = append(spec.Stages, pipeline.Stage{Peer: b.Networks[node].Self(), FirstShard: i * b.Shards / n, EndShard: (i + 1) * b.Shards / n})
	}
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	for _, net := range b.Networks[1 : remotes+1] {
		l := &loader{bench: b}
		defer l.close()
		s := pipeline.NewServer(pipeline.ServerConfig{Network: net, Windows: l, Log: slog.New(slog.DiscardHandler)})
		group.Go(func() { _ = s.Run(running) })
	}
	vocabulary := b.spec(1)
	vocabulary.VocabOnly = true
	tokenizer, err := b.Engine.Load(ctx, vocabulary)
	if err != nil {
		return err
	}
	defer tokenizer.Close()
	var windows []engine.Window
	if home {
		at := b.spec(threads)
		at.EndShard, at.ShareCPU = spec.Stages[0].EndShard, true
		w, err := b.Engine.Load(ctx, at)
		if err != nil {
			return err
		}
		defer w.Close()
		windows = append(windows, w)
		spec.Stages = spec.Stages[1:]
	}
	pipe, err := b.dial(ctx, spec)
	if err != nil {
		return err
	}
	defer pipe.Close()
	return b.schedule(ctx, append(windows, pipe), tokenizer, fn)
}

// dial tries for as long as the servers of the other nodes are starting.
func (b *bench) dial(ctx context.Context, spec pipeline.Spec) (*pipeline.Pipe, error) {
	for attempt := 0; ; attempt++ {
		p, err := pipeline.Dial(ctx, b.Networks[0], spec)
		if err == nil || attempt == 20 {
			return p, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (b *bench) schedule(ctx context.Context, windows []engine.Window, t engine.Tokenizer, fn func(*schedule.Scheduler) error) error {
	s, err := schedule.New(schedule.Config{Windows: windows, Tokenizer: t, NoDrafts: b.plain})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if _, err = b.prefill(ctx, s, 32); err == nil { // warms up
		err = fn(s)
	}
	_ = s.Close()
	return firstError(err, <-ended)
}

// loader gives windows of one thread to one node.
type loader struct {
	*bench
	mu      sync.Mutex // guards windows
	windows []engine.Window
}

// Acquire implements pipeline.Windows.
func (l *loader) Acquire(ctx context.Context, _ core.ModelID, _ core.Digest, first, end int, o pipeline.Options) (engine.Window, func(), error) {
	spec := l.spec(threads)
	spec.FirstShard, spec.EndShard, spec.ShareCPU, spec.Sequences = first, end, true, 16
	spec.Context = 2 * o.Context
	w, err := l.Engine.Load(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.windows = append(l.windows, w)
	return w, func() {}, nil
}

func (l *loader) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.windows {
		_ = w.Close()
	}
}

// prompt draws ordinary tokens, other ones each time, so that no cache helps.
func (b *bench) draw(n int) []int32 {
	b.prompt++
	draw := rand.New(rand.NewPCG(2, b.prompt))
	list := make([]int32, n)
	for i := range list {
		list[i] = 1000 + draw.Int32N(30_000)
	}
	return list
}

func (b *bench) run(ctx context.Context, s *schedule.Scheduler, requester string, prompt []int32, n int) (time.Duration, error) {
	begin := time.Now()
	count := 0
	_, err := s.Generate(ctx, engine.Job{Requester: requester, Prompt: prompt, MaxTokens: n}, func(engine.Sample) error {
		count++
		return nil
	})
	if err == nil && count != n {
		err = core.Errorf(core.CodeInternal, "%d of %d tokens", count, n)
	}
	return time.Since(begin), err
}

// prefill is the speed of reading a prompt.
func (b *bench) prefill(ctx context.Context, s *schedule.Scheduler, n int) (float64, error) {
	took, err := b.run(ctx, s, "bench", b.draw(n), 1)
	return float64(n) / took.Seconds(), err
}

// decode is the speed of one request after its prompt, which is read before the clock starts.
func (b *bench) decode(ctx context.Context, s *schedule.Scheduler, prompt, n int) (float64, error) {
	p := b.draw(prompt)
	if _, err := b.run(ctx, s, "bench", p, 1); err != nil {
		return 0, err
	}
	took, err := b.run(ctx, s, "bench", p, n)
	return float64(n) / took.Seconds(), err
}

// concurrent is the speed of several requests together.
func (b *bench) concurrent(ctx context.Context, s *schedule.Scheduler, requests, n int) (float64, error) {
	prompts, errs := make([][]int32, requests), make([]error, requests)
	for i := range prompts {
		prompts[i] = b.draw(32)
		if _, err := b.run(ctx, s, fmt.Sprint(i), prompts[i], 1); err != nil {
			return 0, err
		}
	}
	begin := time.Now()
	var group sync.WaitGroup
	for i, p := range prompts {
		group.Go(func() { _, errs[i] = b.run(ctx, s, fmt.Sprint(i), p, n) })
	}
	group.Wait()
	return float64(requests*n) / time.Since(begin).Seconds(), firstError(errs...)
}
