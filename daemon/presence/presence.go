// Package presence is what this node tells the others of itself: what it has, how fast it is, and that it is paused.
package presence

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/shoal-p2p/shoal/daemon/bell"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/hardware"
)

// announceEvery is the rhythm of announcements when nothing changes, which free memory does all the time.
const announceEvery = 30 * time.Second

// Swarm takes announcements to the others.
type Swarm interface {
	Self() core.PeerID
	Announce(a core.Announcement)
}

// Models is what is told of the models on this PC.
type Models interface {
	Holdings() []core.Holding
	Speeds() []core.Speed
}

// Config is what a Presence works with. All fields are required.
type Config struct {
	Swarm    Swarm
	Models   Models
	Hardware *hardware.Monitor
	Settings func() config.Settings
	Version  string        // of the program
	Engine   func() string // version of the runtime; windows of different ones are not chained
	Demand   func() []core.Demand
}

// Presence tells the others of this node while Run runs. It is safe for concurrent use.
type Presence struct {
	cfg    Config
	paused atomic.Bool
	news   bell.Bell // something to announce
}

// New makes a Presence.
func New(cfg Config) *Presence { return &Presence{cfg: cfg, news: bell.New()} }

// Run tells the others when something changed, and now and then, until ctx ends.
func (p *Presence) Run(ctx context.Context) error {
	for {
		p.cfg.Swarm.Announce(p.Announcement(ctx))
		select {
		case <-p.news:
		case <-time.After(announceEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

// Changed says that there is something to tell.
func (p *Presence) Changed() { p.news.Ring() }

// Pause tells the others before it returns that this node does not serve: they plan without it.
func (p *Presence) Pause(ctx context.Context) {
	p.paused.Store(true)
	p.cfg.Swarm.Announce(p.Announcement(ctx))
}

// Resume ends a pause.
func (p *Presence) Resume() {
	p.paused.Store(false)
	p.Changed()
}

// Paused tells whether the others were told that this node does not serve.
func (p *Presence) Paused() bool { return p.paused.Load() }

// AllowStage refuses chains of others while this node does not serve. The error has code CodeNotReady.
func (p *Presence) AllowStage(_, _ core.PeerID, _ core.ModelID) error {
	switch {
	case p.cfg.Settings().Anchor:
		return core.Errorf(core.CodeNotReady, "this node is an anchor and runs no models")
	case p.Paused():
		return core.Errorf(core.CodeNotReady, "the node is paused")
	}
	return nil
}

// Announcement is what this node tells of itself, and plans with.
func (p *Presence) Announcement(ctx context.Context) core.Announcement {
	set := p.cfg.Settings()
	h := p.cfg.Hardware.Snapshot(ctx)
	a := core.Announcement{
		Peer: p.cfg.Swarm.Self(), Time: time.Now(), Nickname: Nickname(set.Nickname), Version: p.cfg.Version, Engine: p.cfg.Engine(),
		Region: h.Region, GPU: h.GPUName, Anchor: set.Anchor, Paused: p.Paused() || set.Anchor, Demand: p.cfg.Demand(),
	}
	if set.Anchor {
		return a
	}
	ram, vram := p.cfg.Hardware.Free(ctx)
	a.RAMMB, a.VRAMMB = ram/hardware.MiB, int64(float64(vram)*set.Contribution.Share())/hardware.MiB
	a.Holdings, a.Speeds = p.cfg.Models.Holdings(), p.cfg.Models.Speeds()
	return a
}

// Nickname is what others call this PC: the name that is set, or that of the PC without its domain.
func Nickname(set string) string {
	if set != "" {
		return set
	}
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	name, _, _ = strings.Cut(name, ".")
	return name
}
