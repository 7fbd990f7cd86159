// Package control is what a user may ask of a node, through the API or the screen: each question a few lines over
// several parts. It keeps no state of its own.
package control

import (
	"context"
	"log/slog"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/catalog"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/runtime"
	"github.com/shoal-p2p/shoal/daemon/event"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/memory"
	"github.com/shoal-p2p/shoal/daemon/presence"
	"github.com/shoal-p2p/shoal/daemon/router"
	"github.com/shoal-p2p/shoal/daemon/secret"
	"github.com/shoal-p2p/shoal/daemon/store"
	"github.com/shoal-p2p/shoal/daemon/swarm"
	"github.com/shoal-p2p/shoal/daemon/transfer"
)

// Parts are what a Control asks. All fields are required.
type Parts struct {
	Version, Commit string // of the program
	NodeID          string
	NoAPI           bool // nobody reaches this node, so that it is no member of a swarm either
	Started         time.Time
	Key             secret.Text
	Quit            func() // stops the node
	Log             *slog.Logger

	Settings  *config.Manager
	Store     *store.Store
	Events    *event.Bus
	Hardware  *hardware.Monitor
	Runtime   *runtime.Watch
	Library   *library.Library
	Memory    *memory.Memory
	Router    *router.Router
	Catalog   *catalog.Catalog
	Presence  *presence.Presence
	Swarm     *swarm.Swarm
	Downloads *transfer.Manager
}

var _ admin.Node = (*Control)(nil)

// Control is all that can be asked. It implements admin.Node, and is safe for concurrent use.
type Control struct {
	*Library
	*Swarm
	*Node
}

// Library answers what concerns the models that this PC has or knows of.
type Library struct{ p Parts }

// Swarm answers what concerns other nodes.
type Swarm struct{ p Parts }

// Node answers what concerns the node itself.
type Node struct {
	p       Parts
	library *Library
}

// New makes a Control.
func New(p Parts) *Control {
	l := &Library{p}
	return &Control{l, &Swarm{p}, &Node{p, l}}
}

// Generate implements admin.Generator.
func (c *Control) Generate(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
	return c.Node.p.Router.Generate(ctx, req, emit)
}

// Embed implements admin.Generator.
func (c *Control) Embed(ctx context.Context, req *core.EmbedRequest) ([][]float32, core.Usage, error) {
	return c.Node.p.Router.Embed(ctx, req)
}

// errAlone is the answer where there is nobody who could run a swarm.
func (p Parts) errAlone() error {
	if p.NoAPI {
		return core.Errorf(core.CodeNotReady, "this needs a running node").WithHint("Start it with shoald serve.")
	}
	return nil
}
