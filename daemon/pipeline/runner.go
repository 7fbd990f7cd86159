package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
)

const (
	rebuildLimit = 5 * time.Second
	dialLimit    = time.Minute      // for a chain whose windows have to be loaded
	excludeFor   = 20 * time.Second // how long a lost peer is not asked again
	// quickFailure is how soon a chain must fail to be built for another attempt before a peer is blamed. One that has
	// started again is called over the connection to its earlier life, which only then turns out to be dead.
	quickFailure = time.Second
	firstRetry   = 100 * time.Millisecond
	maxRetry     = 3 * time.Second
	maxFruitless = 5 // chains lost in a row without a token in between, after which a job gives up
)

// Planner chooses chains.
type Planner interface {
	// Chain gives the best chain that there is without the peers in exclude. Its error says why there is none.
	Chain(ctx context.Context, exclude []core.PeerID) (Spec, error)
}

// RunnerConfig is what a Runner works with. Schedule and RebuildLimit may be zero.
type RunnerConfig struct {
	Network   core.Network
	Server    *Server // runs the stages that are this node
	Planner   Planner
	Tokenizer engine.Tokenizer
	Schedule  schedule.Config // Windows and Tokenizer are not read
	Log       *slog.Logger
	// RebuildLimit is how long a job waits for a chain, at the beginning and after one was lost; 0 is 5 s.
	RebuildLimit time.Duration
}

// Runner is an engine.Runner over whichever chain there is. While it has one, it has the windows of the chain that would
// take over kept warm where there is room. When a peer is lost, it builds another chain without that
// peer and goes on with every job there: it runs the prompt and the tokens that the job has brought, and what is
// emitted then is new. At temperature 0 the reply is the one that the lost chain would have given. A job that samples
// with a seed gets a seed made of that one and of the number of tokens so far: the reply stays a function of its seed
// and of where the chain was lost. A job that no chain takes up in time ends with an error.
type Runner struct {
	engine.Tokenizer
	cfg      RunnerConfig
	standbys *standbys

	mu       sync.Mutex // guards all below
	line     *line      // nil while there is none
	changed  chan struct{}
	why      error // why there is none
	failures int   // attempts to build one that came to nothing
	ended    bool
	shape    engine.Shape
	excluded map[core.PeerID]time.Time // until when
	stats    RunnerStats
}

// RunnerStats counts what has happened to a Runner's chains.
type RunnerStats struct {
	Chains  int64         // built
	Lost    int64         // that ended by themselves
	Resumed int64         // jobs that went on over another chain
	LastGap time.Duration // from the loss of a chain to the next one

	Asked      int64 // tokens that the guesser gave, over all chains
	AskedRight int64 // of which so many were right
}

// line is a chain that is up.
type line struct {
	*schedule.Scheduler
	spec    Spec
	windows []engine.Window
}

// NewRunner makes a Runner. It builds no chain before Run.
func NewRunner(cfg RunnerConfig) *Runner {
	if cfg.RebuildLimit <= 0 {
		cfg.RebuildLimit = rebuildLimit
	}
	r := &Runner{
		Tokenizer: cfg.Tokenizer, cfg: cfg, changed: make(chan struct{}), excluded: map[core.PeerID]time.Time{},
		why: core.Errorf(core.CodeNotReady, "the chain is being built"),
	}
	r.standbys = newStandbys(&r.cfg)
	return r
}

// Run keeps a chain up until ctx ends. It returns nil when all jobs have ended.
func (r *Runner) Run(ctx context.Context) error {
	r.standbys.ctx = ctx
	defer r.standbys.work.Wait()
	k := keeper{Runner: r, retry: firstRetry}
	for ctx.Err() == nil {
		begun := time.Now()
		l, err := k.build(ctx, k.prepared)
		k.prepared = nil
		if err != nil {
			k.notBuilt(ctx, err, time.Since(begun))
			continue
		}
		k.built(l)
		k.ended(l, k.use(ctx, l))
	}
	r.mu.Lock()
	r.ended, r.why = true, errUnloaded()
	r.wake()
	r.mu.Unlock()
	return nil
}

func errUnloaded() error {
	return core.Errorf(core.CodeNotReady, "the model is being unloaded")
}

// keeper is the state of Run: what is remembered from one chain to the next.
type keeper struct {
	*Runner
	retry    time.Duration // until the next attempt, when nobody is to blame for a failure
	gone     time.Time     // when the last chain was lost
	prepared *Spec         // what was kept warm for the loss of a moment ago
	doubted  bool          // the failure before was not held against anybody
}

// notBuilt takes in that an attempt at a chain failed after some time. A peer that is blamed at once gets a second
// attempt; after that others are asked, and where nobody is to blame, everybody later.
func (k *keeper) notBuilt(ctx context.Context, err error, after time.Duration) {
	if _, blamed := errors.AsType[*Lost](err); blamed && !k.doubted && after < quickFailure {
		k.cfg.Log.Info("chain is tried again", "err", err)
		k.doubted = true
		pause(ctx, firstRetry)
		return
	}
	k.doubted = false
	if ctx.Err() == nil {
		k.cfg.Log.Warn("chain not built", "err", err)
	}
	k.set(nil, err)
	if !k.exclude(err) {
		k.giveUp()
		pause(ctx, k.retry)
		k.retry = min(2*k.retry, maxRetry)
	}
}

// built gives a new chain to the jobs.
func (k *keeper) built(l *line) {
	k.retry, k.doubted = firstRetry, false
	k.count(func(s *RunnerStats) {
		s.Chains++
		if !k.gone.IsZero() {
			s.LastGap = time.Since(k.gone)
		}
	})
	k.set(l, nil)
}

// ended takes a chain from the jobs; err tells why it was lost, nil that the runner ends.
func (k *keeper) ended(l *line, err error) {
	k.gone = time.Now()
	if err == nil {
		err = errUnloaded()
	} else {
		k.count(func(s *RunnerStats) { s.Lost++ })
		k.exclude(err)
		k.prepared = k.instead(err)
		k.cfg.Log.Warn("chain lost", "model", l.spec.Model.String(), "err", err)
	}
	k.set(nil, err)
	k.count(func(s *RunnerStats) { s.add(l.Stats()) })
	l.close()
}

// use runs a chain until it ends, and keeps its standbys warm meanwhile.
func (r *Runner) use(ctx context.Context, l *line) error {
	caring, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { r.standbys.keep(caring, l.spec, r.exclusions) })
	defer group.Wait()
	defer stop()
	return l.Run(ctx)
}

// instead is the chain that was kept warm for the loss of the peer that err names; nil if there is none, or if it has
// a peer that was lost too.
func (r *Runner) instead(err error) *Spec {
	l, ok := errors.AsType[*Lost](err)
	if !ok {
		return nil
	}
	sp, ok := r.standbys.instead(l.Peer)
	lost := r.exclusions()
	if !ok || slices.ContainsFunc(sp.Stages, func(st Stage) bool { return slices.Contains(lost, st.Peer) }) {
		return nil
	}
	return &sp
}

// Standbys lists the stages of the chain that would take over if a peer were lost. There are none where none is known,
// or while there is no chain.
func (r *Runner) Standbys(peer core.PeerID) []Standby {
	if _, up := r.Chain(); !up {
		return nil
	}
	return r.standbys.report(peer)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// exclude notes who is to blame for an error. It is false if nobody is.
func (r *Runner) exclude(err error) bool {
	l, ok := errors.AsType[*Lost](err)
	if !ok || l.Peer.IsZero() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, already := r.excluded[l.Peer]
	r.excluded[l.Peer] = time.Now().Add(excludeFor)
	return !already
}

// exclusions lists the peers that were lost lately, the latest last.
func (r *Runner) exclusions() (list []core.PeerID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for peer, until := range r.excluded {
		if time.Now().After(until) {
			delete(r.excluded, peer)
			continue
		}
		list = append(list, peer)
	}
	slices.SortFunc(list, func(a, b core.PeerID) int { return r.excluded[a].Compare(r.excluded[b]) })
	return list
}

// set makes l the chain, or tells why there is none.
func (r *Runner) set(l *line, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.line, r.why = l, why
	if l != nil {
		r.shape = l.Shape()
	}
	r.wake()
}

// wake lets everyone who waits look again. The mutex is held.
func (r *Runner) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *Runner) count(f func(*RunnerStats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.stats)
}

// Stats returns the counters.
func (r *Runner) Stats() RunnerStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	stats := r.stats
	if r.line != nil {
		stats.add(r.line.Stats())
	}
	return stats
}

func (s *RunnerStats) add(chain schedule.Stats) {
	s.Asked += chain.Asked
	s.AskedRight += chain.AskedRight
}

// Chain is the chain in use; it is false while there is none.
func (r *Runner) Chain() (Spec, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.line == nil {
		return Spec{}, false
	}
	return r.line.spec, true
}

// giveUp notes that no chain could be built, whomever it was asked of.
func (r *Runner) giveUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures++
	r.wake()
}

// Ready returns when there is a chain, or with the reason why one could not be built. It looks for one anew, whatever
// came of earlier attempts.
func (r *Runner) Ready(ctx context.Context) error {
	r.mu.Lock()
	before := r.failures
	r.mu.Unlock()
	for {
		r.mu.Lock()
		up, failed, why, changed := r.line != nil, r.ended || r.failures > before, r.why, r.changed
		r.mu.Unlock()
		switch {
		case up:
			return nil
		case failed:
			return why
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return core.Errorf(core.CodeCancelled, "wait for a chain: %w", context.Cause(ctx))
		}
	}
}

// wait returns a chain other than before. It gives up when the limit fires, ctx ends or the runner does.
func (r *Runner) wait(ctx context.Context, before *line, limit <-chan time.Time) (*line, error) {
	for {
		r.mu.Lock()
		l, changed, why, ended := r.line, r.changed, r.why, r.ended
		r.mu.Unlock()
		switch {
		case l != nil && l != before:
			return l, nil
		case ended:
			return nil, why
		}
		select {
		case <-changed:
		case <-limit:
			return nil, why
		case <-ctx.Done():
			return nil, core.Errorf(core.CodeCancelled, "request: %w", context.Cause(ctx))
		}
	}
}

// Shape implements engine.Runner. It is zero before the first chain.
func (r *Runner) Shape() engine.Shape {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shape
}

// Load implements engine.Runner.
func (r *Runner) Load() engine.Load {
	r.mu.Lock()
	l := r.line
	r.mu.Unlock()
	if l == nil {
		return engine.Load{}
	}
	return l.Load()
}

// Generate implements engine.Runner.
func (r *Runner) Generate(ctx context.Context, request engine.Job, emit func(engine.Sample) error) (engine.Finish, error) {
	g := &generation{job: request, emit: emit}
	err := r.attempts(ctx, &g.attempts, func(l *line) (bool, error) { return g.run(ctx, l) })
	if g.attempts > 1 {
		r.count(func(s *RunnerStats) { s.Resumed++ })
	}
	return g.finish, err
}

// Embed implements engine.Runner.
func (r *Runner) Embed(ctx context.Context, prompt []int32) (vectors [][]float32, err error) {
	var attempts int
	err = r.attempts(ctx, &attempts, func(l *line) (bool, error) {
		vectors, err = l.Embed(ctx, prompt)
		return false, err
	})
	return vectors, err
}

// attempts calls run with one chain after another until it does not fail for the chain's end. run tells whether it
// got any further.
func (r *Runner) attempts(ctx context.Context, n *int, run func(*line) (bool, error)) error {
	var l *line
	for fruitless := 0; ; {
		limit := time.NewTimer(r.cfg.RebuildLimit)
		next, err := r.wait(ctx, l, limit.C)
		limit.Stop()
		if err != nil {
			return err
		}
		l = next
		*n++
		progress, err := run(l)
		if err == nil || !r.chainEnded(ctx, l, err) {
			return err
		}
		if fruitless++; progress {
			fruitless = 0
		}
		if fruitless == maxFruitless {
			return err
		}
	}
}

// chainEnded tells whether an error of a job is that its chain ended, and not the runner or the job.
func (r *Runner) chainEnded(ctx context.Context, l *line, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	code := core.CodeOf(err)
	if code == core.CodeEngineCrashed {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return code == core.CodeNotReady && !r.ended && r.line != l
}

var _ engine.Runner = (*Runner)(nil)
