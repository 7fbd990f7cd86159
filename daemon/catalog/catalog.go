// Package catalog knows which models there are besides those on this PC, who has them, and which of them the user does
// not want to see.
package catalog

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/bell"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/store"
)

// Swarm is what the catalog asks of the other nodes.
type Swarm interface {
	Peers() []admin.PeerInfo
	Announcements() []core.Announcement
	PeerRTT(id core.PeerID) (time.Duration, bool)
}

// Models is what the catalog asks of the models on this PC.
type Models interface {
	// Blueprint describes a model. The error has code CodeNotFound.
	Blueprint(id core.ModelID) (library.Blueprint, error)
	// Refresh takes a model into the list whose manifest has come.
	Refresh(ctx context.Context, id core.ModelID) error
}

// Config is what a Catalog works with. All fields are required.
type Config struct {
	Swarm  Swarm
	Models Models
	Store  *store.Store
	// Introduce fetches the manifest and the header of a model.
	Introduce func(ctx context.Context, id core.ModelID, manifest core.Digest) error
	Foreign   func() int  // how many models are known of which nothing is on this disk
	Anchor    func() bool // this node holds no models
	Changed   func()      // others hold something else than before
	Log       *slog.Logger
}

// Catalog is safe for concurrent use. Models of others are introduced while Run runs.
type Catalog struct {
	cfg Config
	met bell.Bell // others announce something else

	mu    sync.Mutex // guards index
	index holderIndex
}

// New makes a Catalog.
func New(cfg Config) *Catalog { return &Catalog{cfg: cfg, met: bell.New()} }

// Met says that peers came, went or announced something.
func (c *Catalog) Met() { c.met.Ring() }

// Hide keeps a model that the user deleted, and others may hold, out of the list until Show.
func (c *Catalog) Hide(ctx context.Context, id core.ModelID) error {
	return c.cfg.Store.SetValue(ctx, hiddenKey(id), "1")
}

// Show lists a model again.
func (c *Catalog) Show(ctx context.Context, id core.ModelID) error {
	return c.cfg.Store.DeleteValue(ctx, hiddenKey(id))
}

func hiddenKey(id core.ModelID) string { return "hidden/" + id.String() }
