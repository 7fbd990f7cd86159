package daemon

import (
	"context"
	"net"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/catalog"
	"github.com/shoal-p2p/shoal/daemon/chat"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/memory"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
	"github.com/shoal-p2p/shoal/daemon/presence"
	"github.com/shoal-p2p/shoal/daemon/router"
	"github.com/shoal-p2p/shoal/daemon/swarm"
	"github.com/shoal-p2p/shoal/daemon/transfer"
)

// network is the node among others: who they are, what comes from and goes to them, and chains over them. Its parts
// are there from the start; nothing happens on the wire before the node makes or joins a swarm.
type network struct {
	swarm     *swarm.Swarm
	shards    *transfer.Server  // gives shards
	downloads *transfer.Manager // fetches them
	stages    *pipeline.Server  // runs windows for others
}

// swarmService is what the node does among others, in the order in which it starts.
func (n *Node) swarmServices() []service {
	return []service{
		{"swarm", n.network.swarm.Run},
		{"shards", n.network.shards.Run},
		{"downloads", n.network.downloads.Run},
		{"stages", n.network.stages.Run},
		{"chains", n.router.Run},
		{"announcements", n.presence.Run},
		{"acquaintance", n.catalog.Run},
	}
}

// openNetwork makes the parts that need others.
func (n opening) openNetwork() (err error) {
	set := n.settings.Get()
	w := &network{}
	n.network = w
	home := loopback(set.P2PListen)
	w.swarm, err = swarm.New(swarm.Config{
		Identity: n.identity, Vault: n.vault, Store: n.store, Listen: set.P2PListen, Version: n.cfg.Version,
		Nickname: func() string { return presence.Nickname(n.settings.Get().Nickname) }, Anchors: func() []string { return n.settings.Get().Anchors }, Anchor: set.Anchor,
		NoMDNS: home, NoPortMap: home, Publish: hooks{n.Node}.peersChanged, Log: n.log,
	})
	if err != nil {
		return err
	}
	n.presence = presence.New(presence.Config{
		Swarm: w.swarm, Models: n.memory, Hardware: n.hardware, Settings: n.settings.Get, Version: n.cfg.Version, Engine: n.runtime.Version,
		Demand: func() []core.Demand { return n.router.Demand() },
	})
	n.catalog = catalog.New(catalog.Config{
		Swarm: w.swarm, Models: n.library, Store: n.store, Log: n.log, Anchor: func() bool { return n.settings.Get().Anchor },
		Introduce: func(ctx context.Context, id core.ModelID, manifest core.Digest) error {
			return w.downloads.Introduce(ctx, id, manifest)
		},
		Changed: func() { n.events.Publish(core.EventModelsChanged, nil) },
		Foreign: hooks{n.Node}.foreign,
	})
	disk := n.library.Disk()
	w.shards = transfer.NewServer(transfer.ServerConfig{
		Network: w.swarm, Store: disk, LAN: hooks{n.Node}.onLAN, Report: w.swarm.Judge, Log: n.log,
		Sound:   func(ctx context.Context, id core.ModelID, index int) bool { return n.library.Sound(ctx, id, index) },
		Damaged: func(id core.ModelID, index int) { n.library.Suspect(id, index) },
		Upload:  func() int64 { return bytesPerSecond(n.settings.Get().MaxUploadMbps) },
	})
	w.downloads = transfer.New(transfer.Config{
		Network: w.swarm, Models: disk, Store: n.store, Holders: n.catalog.Sources, Done: hooks{n.Node}.shardArrived, Introduced: hooks{n.Node}.modelIntroduced,
		Report: w.swarm.Judge, Used: n.library.Usage,
		Download: func() int64 { return bytesPerSecond(n.settings.Get().MaxDownloadMbps) },
		Quota:    func() int64 { return n.settings.Get().MaxDiskMB * hardware.MiB }, Events: n.events, Log: n.log,
	})
	w.stages = pipeline.NewServer(pipeline.ServerConfig{Network: w.swarm, Windows: windows{n.Node}, Warmer: windows{n.Node}, Log: n.log, Allow: n.presence.AllowStage})
	n.router = router.New(router.Config{
		Models: models{n.library, n.memory}, Acquire: hooks{n.Node}.acquire, Holders: n.catalog.Holders, Swarm: w.swarm, Stages: w.stages, Settings: n.settings.Get,
		Self: n.presence.Announcement, Pausing: n.presence.Paused, Renderer: n.cfg.Renderer, Log: n.log,
	})
	return nil
}

// loopback tells whether an address is on this PC only: then nobody is looked for elsewhere.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

func bytesPerSecond(mbps int) int64 { return int64(mbps) * 1_000_000 / 8 }

// hooks are what the parts of a node tell and ask each other through it.
type hooks struct{ *Node }

// onLAN tells whether a peer was found on the local network.
func (n hooks) onLAN(id core.PeerID) bool {
	for _, p := range n.network.swarm.Peers() {
		if p.NodeID == id {
			return p.IsLANPeer
		}
	}
	return false
}

// peersChanged is told by the swarm that peers came, went or announced something.
func (n hooks) peersChanged(kind core.EventType, data any) {
	n.events.Publish(kind, data)
	n.catalog.Met()
}

// modelsChanged is told by the library.
func (n hooks) modelsChanged() {
	n.router.Changed()
	n.presence.Changed()
}

// modelIntroduced is told by the downloads: the manifest and the header of a model are here.
func (n hooks) modelIntroduced(id core.ModelID) {
	if err := n.library.Refresh(context.Background(), id); err != nil {
		n.log.Warn("take over a manifest that was fetched", "model", id.String(), "err", err)
	}
}

// shardArrived is told by the downloads.
func (n hooks) shardArrived(id core.ModelID, index int) {
	if err := n.library.Arrived(context.Background(), id, index); err != nil {
		n.log.Warn("take over what was fetched", "model", id.String(), "err", err)
	}
}

// shardDamaged is told by the library: the shard is fetched again if somebody has it.
func (n hooks) shardDamaged(id core.ModelID, manifest core.Digest, index int) {
	if !n.catalog.HasShard(catalog.Version{Model: id, Manifest: manifest}, index) {
		return
	}
	if err := n.network.downloads.AddShard(context.Background(), id, manifest, index, "repair"); err != nil {
		n.log.Warn("fetch a damaged shard again", "model", id.String(), "shard", index, "err", err)
	}
}

// foreign is how many models are known of which nothing is on this disk.
func (n hooks) foreign() (count int) {
	for _, m := range n.library.All() {
		if !slices.Contains(m.Local(), true) {
			count++
		}
	}
	return count
}

// windows gives the library's windows to chains.
type windows struct{ n *Node }

// Acquire implements pipeline.Windows.
func (w windows) Acquire(ctx context.Context, id core.ModelID, manifest core.Digest, first, end int, o pipeline.Options) (engine.Window, func(), error) {
	return w.n.memory.Window(ctx, id, manifest, first, end, windowOptions(o))
}

// Warm implements pipeline.Warmer.
func (w windows) Warm(ctx context.Context, id core.ModelID, manifest core.Digest, first, end int, o pipeline.Options) (<-chan struct{}, func(), error) {
	return w.n.memory.Warm(ctx, id, manifest, first, end, windowOptions(o))
}

func windowOptions(o pipeline.Options) memory.WindowOptions {
	return memory.WindowOptions{Context: o.Context, Sequences: o.Sequences, BatchRows: o.BatchRows}
}

// acquire leases a model, as the chat package wants it.
func (n hooks) acquire(ctx context.Context, id core.ModelID) (chat.Model, func(), error) {
	l, err := n.memory.Acquire(ctx, id)
	if err != nil {
		return chat.Model{}, nil, err
	}
	return chat.Model{
		Name: l.ID.String(), Runner: l.Runner, Template: l.Text.ChatTemplate, BOS: l.Text.BOS, EOS: l.Text.EOS, Arch: l.Text.Arch,
	}, l.Release, nil
}

// models are the models of this PC as the router asks of them, on the disk and in memory.
type models struct {
	*library.Library
	*memory.Memory
}
