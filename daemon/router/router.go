// Package router takes a request its way: it waits its turn in the one line, and is then answered on this PC alone or
// over a chain of others, whichever a plan says is better.
package router

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/chat"
	"github.com/shoal-p2p/shoal/daemon/chat/template"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
)

// Models is what the router asks of the models on this PC.
type Models interface {
	// Blueprint describes a model. The error has code CodeNotFound.
	Blueprint(id core.ModelID) (library.Blueprint, error)
	// Tokenizer opens the model's vocabulary, until the function that is returned is called.
	Tokenizer(ctx context.Context, id core.ModelID) (engine.Window, func(), error)
	// EncryptedPipeline tells whether a model is to begin and end on this PC.
	EncryptedPipeline(ctx context.Context, id core.ModelID) (on, own bool, err error)
	// SameVocabulary is an error of code CodeUnsupported when a token of one means another in the other.
	SameVocabulary(a, b core.ModelID) error
	// WindowCount is in how many windows a model runs on this PC alone.
	WindowCount(id core.ModelID) int
	// All lists the models in order of their ids; Find returns one. The error has code CodeNotFound.
	All() []*library.Model
	Find(id core.ModelID) (*library.Model, error)
	// Usable tells whether a model can answer on this PC alone, perhaps after it is loaded, and when it was last used.
	Usable(m *library.Model) (bool, time.Time)
	Paused() bool
}

// Swarm is what the router asks of the other nodes.
type Swarm interface {
	core.Network
	Peers() []admin.PeerInfo
	Announcements() []core.Announcement
	PeerRTT(id core.PeerID) (time.Duration, bool)
	// Check looks whether peers are still there.
	Check(peers ...core.PeerID)
}

// Config is what a Router works with. All fields but Renderer are required.
type Config struct {
	Models Models
	// Acquire brings a model into memory, and keeps it there until release is called.
	Acquire func(ctx context.Context, id core.ModelID) (m chat.Model, release func(), err error)
	// Holders counts, by shard, the other nodes that can be reached and have it, and those that have any.
	Holders  func(id core.ModelID, manifest core.Digest, shards int) (byShard []int, nodes int)
	Swarm    Swarm
	Stages   *pipeline.Server // runs windows for chains
	Settings func() config.Settings
	Self     func(context.Context) core.Announcement // what this node has, to plan with
	Pausing  func() bool                             // others were told that this node does not serve
	Renderer template.Renderer                       // makes prompts; nil does so in this process
	Log      *slog.Logger
}

// Router answers requests. It is safe for concurrent use. Chains need Run.
type Router struct {
	cfg      Config
	chat     *chat.Service
	line     *line
	counters *counters
	demand   *demand
	chains   *chains

	mu   sync.Mutex // guards both
	own  core.Announcement
	made time.Time // zero when own is out of date
}

// New makes a Router.
func New(cfg Config) *Router {
	set := cfg.Settings()
	r := &Router{
		cfg: cfg, chat: chat.New(cfg.Renderer), counters: newCounters(), demand: newDemand(),
		line: newLine(set.MaxConcurrentRequests, set.RequestQueue),
	}
	r.chains = newChains(r)
	return r
}

// Run keeps chains until ctx ends, and then closes all.
func (r *Router) Run(ctx context.Context) error { return r.chains.run(ctx) }

// Resize sets how many requests run at once and how many more wait.
func (r *Router) Resize(limit, queue int) { r.line.resize(limit, queue) }

// Requests is how many requests run, and how many wait for their turn.
func (r *Router) Requests() (running, waiting int) { return r.line.count() }

// Stats sums up the requests since the router was made.
func (r *Router) Stats() admin.InferenceStats { return r.counters.stats() }

// Measures sums up the requests since the router was made, for a monitor.
func (r *Router) Measures() admin.Measures {
	m := r.counters.measures()
	m.Running, _ = r.line.count()
	return m
}

// Demand tells how often each model was asked for lately.
func (r *Router) Demand() []core.Demand { return r.demand.list() }

// Close closes the chain of a model, whoever uses it.
func (r *Router) Close(id core.ModelID) {
	r.chains.end(func(other core.ModelID, _ *chain) bool { return other == id })
}

// CloseIdle closes the chain of a model if nobody uses it, so that its windows here are free.
func (r *Router) CloseIdle(id core.ModelID) { r.chains.closeIfIdle(id) }

// CloseAll closes every chain.
func (r *Router) CloseAll() { r.chains.end(func(core.ModelID, *chain) bool { return true }) }

// selfLife is for how long what this node says of itself is good enough to plan with: a chain is planned once per peer
// every few seconds, and a look at the hardware is not free.
const selfLife = time.Second

// Changed says that this node has, or does, something else than before.
func (r *Router) Changed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made = time.Time{}
}

// self is what this node says of itself, a second old at most.
func (r *Router) self(ctx context.Context) core.Announcement {
	r.mu.Lock()
	own, fresh, made := r.own, time.Since(r.made) < selfLife, r.made
	r.mu.Unlock()
	if fresh {
		return own
	}
	own = r.cfg.Self(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.made == made { // nothing changed since it was asked
		r.own, r.made = own, time.Now()
	}
	return own
}
