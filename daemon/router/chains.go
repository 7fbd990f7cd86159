package router

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/draft"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
	"github.com/shoal-p2p/shoal/daemon/plan"
)

// Times of chains.
const (
	chainSweep = 5 * time.Second
	chainIdle  = 2 * time.Minute  // a chain that nobody used for so long is closed: others have their windows for it
	chainStart = 70 * time.Second // for the windows of a first chain to be loaded

	// rebuildLimit and the 2 s in which a lost peer is noticed together are under 5 s, also on a busy PC: so long a reply
	// may pause.
	rebuildLimit = 2500 * time.Millisecond
)

// chains are the runners over other nodes, one per model that was asked for lately.
type chains struct {
	r *Router

	mu   sync.Mutex // guards the rest
	ctx  context.Context
	by   map[core.ModelID]*chain
	work sync.WaitGroup
}

// chain is the runner of one model.
type chain struct {
	*pipeline.Runner
	draft  *draft.Model
	cancel context.CancelFunc
	ended  chan struct{}

	planner *planner
	whole   bool // the model was wholly on this PC when the chain was chosen

	uses int // guarded by chains.mu, as is used
	used time.Time
}

func newChains(r *Router) *chains { return &chains{r: r, by: map[core.ModelID]*chain{}} }

// run closes chains that nobody uses, until ctx ends, and then all.
func (c *chains) run(ctx context.Context) error {
	c.mu.Lock()
	c.ctx = ctx
	c.mu.Unlock()
	tick := time.NewTicker(chainSweep)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.end(func(_ core.ModelID, ch *chain) bool { return ch.uses == 0 && time.Since(ch.used) > chainIdle })
		case <-ctx.Done():
			c.end(func(core.ModelID, *chain) bool { return true })
			c.work.Wait()
			return nil
		}
	}
}

// end closes the chains that which accepts, and waits for them.
func (c *chains) end(which func(core.ModelID, *chain) bool) {
	c.mu.Lock()
	var list []*chain
	for id, ch := range c.by {
		if which(id, ch) {
			list = append(list, ch)
			delete(c.by, id)
		}
	}
	c.mu.Unlock()
	for _, ch := range list {
		ch.cancel()
		<-ch.ended
	}
}

// closeIfIdle closes the chain of a model if nobody uses it, so that its windows here are free.
func (c *chains) closeIfIdle(id core.ModelID) {
	c.end(func(other core.ModelID, ch *chain) bool { return other == id && ch.uses == 0 })
}

// takesOver describes what is kept ready for the loss of a node, if it is a stage of the model's chain.
func (c *chains) takesOver(id core.ModelID, peer core.PeerID) (list []admin.PlanStandby) {
	c.mu.Lock()
	ch := c.by[id]
	c.mu.Unlock()
	if ch == nil {
		return nil
	}
	for _, s := range ch.Standbys(peer) {
		list = append(list, admin.PlanStandby{
			NodeID: s.Peer.String(), FirstShard: s.FirstShard, EndShard: s.EndShard, Warmth: string(s.Warmth), Why: s.Why,
		})
	}
	return list
}

// acquire returns the chain of a model, ready to run. release is called once.
func (c *chains) acquire(ctx context.Context, b library.Blueprint, chosen *plan.Plan) (ch *chain, release func(), err error) {
	// A chain that was lost while nobody used it has grudges that may be out of date: the plan says that there is one.
	c.end(func(id core.ModelID, ch *chain) bool {
		_, up := ch.Chain()
		return id == b.ID && ch.uses == 0 && !up
	})
	if ch, err = c.use(b, chosen); err != nil {
		return nil, nil, err
	}
	release = func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		ch.uses--
		ch.used = time.Now()
	}
	limit, cancel := context.WithTimeout(ctx, chainStart)
	defer cancel()
	if err := ch.Ready(limit); err != nil {
		release()
		if ctx.Err() == nil && limit.Err() != nil {
			err = core.Errorf(core.CodeTimeout, "no chain for %s came up within %s", b.ID, chainStart)
		}
		return nil, nil, err
	}
	return ch, release, nil
}

// up tells whether a chain of the model serves, chosen when as much of the model was here as now: then no plan is
// needed.
func (c *chains) up(b library.Blueprint) bool {
	c.mu.Lock()
	ch, ok := c.by[b.ID]
	c.mu.Unlock()
	if !ok || ch.whole != b.Complete {
		return false
	}
	_, up := ch.Chain()
	return up
}

// use counts a use of a model's chain, which it starts, by the plan that chose it, if it is not there.
func (c *chains) use(b library.Blueprint, chosen *plan.Plan) (*chain, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch, ok := c.by[b.ID]; ok {
		ch.uses++
		return ch, nil
	}
	if c.ctx == nil || c.ctx.Err() != nil {
		return nil, core.Errorf(core.CodeNotReady, "the node is not running")
	}
	ctx, cancel := context.WithCancel(c.ctx)
	tokenizer := &lateTokenizer{open: func() (*tokenizerUse, error) { return c.r.openTokenizer(ctx, b.ID) }}
	set := c.r.cfg.Settings()
	ch := &chain{cancel: cancel, ended: make(chan struct{}), uses: 1, whole: b.Complete, draft: c.r.newDrafter(b.ID)}
	ch.planner = &planner{r: c.r, id: b.ID, chosen: chosen, made: time.Now()}
	ch.Runner = pipeline.NewRunner(pipeline.RunnerConfig{
		Network: c.r.cfg.Swarm, Server: c.r.cfg.Stages, Planner: ch.planner, Tokenizer: tokenizer, Log: c.r.cfg.Log,
		RebuildLimit: rebuildLimit,
		Schedule: schedule.Config{
			MaxContext: b.Context, BatchSequences: set.MaxBatchSize, Guesser: ch.draft,
			Queue: config.MostRequests, // they have waited in the line
		},
	})
	c.by[b.ID] = ch
	c.work.Go(func() {
		defer close(ch.ended)
		defer tokenizer.close()
		defer cancel()
		_ = ch.Run(ctx) // ends with ctx, and returns nothing else
	})
	return ch, nil
}

// guesses tells how many tokens the draft model of a model has guessed over its chain, how many were right, and why it
// does not guess now; "" if it does.
func (c *chains) guesses(id core.ModelID) (n, right int64, failed string) {
	c.mu.Lock()
	ch, ok := c.by[id]
	c.mu.Unlock()
	if !ok {
		return 0, 0, ""
	}
	stats := ch.Stats()
	return stats.Asked, stats.AskedRight, ch.draft.Failure()
}

// route is which way the chain goes now.
func (ch *chain) route(self core.PeerID) core.Route {
	r := core.Route{Kind: core.RouteSplit}
	spec, _ := ch.Chain()
	for _, st := range spec.Stages {
		if st.Peer == self {
			continue
		}
		if r.Kind = core.RouteDistributed; !slices.Contains(r.Peers, st.Peer) {
			r.Peers = append(r.Peers, st.Peer)
		}
	}
	if len(spec.Stages) == 1 && r.Kind == core.RouteSplit {
		r.Kind = core.RouteLocal
	}
	return r
}
