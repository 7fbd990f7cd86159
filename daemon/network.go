package daemon

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/memory"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
	"github.com/shoal-p2p/shoal/daemon/router"
	"github.com/shoal-p2p/shoal/daemon/shard"
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

	news chan struct{} // something to announce; holds one
	met  chan struct{} // others announce something else; holds one

	mu    sync.Mutex // guards index
	index holderIndex
}

// swarmService is what the node does among others, in the order in which it starts.
func (n *Node) swarmServices() []service {
	return []service{
		{"swarm", n.network.swarm.Run},
		{"shards", n.network.shards.Run},
		{"downloads", n.network.downloads.Run},
		{"stages", n.network.stages.Run},
		{"chains", n.router.Run},
		{"announcements", n.announceHoldings},
		{"acquaintance", n.meetModels},
	}
}

// openNetwork makes the parts that need others.
func (n *Node) openNetwork() (err error) {
	set := n.settings.Get()
	w := &network{news: make(chan struct{}, 1), met: make(chan struct{}, 1)}
	n.network = w
	home := loopback(set.P2PListen)
	w.swarm, err = swarm.New(swarm.Config{
		Identity: n.identity, Vault: n.vault, Store: n.store, Listen: set.P2PListen, Version: n.cfg.Version,
		Nickname: n.nickname, Anchors: func() []string { return n.settings.Get().Anchors }, Anchor: set.Anchor,
		NoMDNS: home, NoPortMap: home, Publish: n.peersChanged, Log: n.log,
	})
	if err != nil {
		return err
	}
	disk := shard.NewStore(shard.Config{Dir: n.path("models"), Key: n.identity})
	w.shards = transfer.NewServer(transfer.ServerConfig{
		Network: w.swarm, Store: disk, LAN: n.onLAN, Report: w.swarm.Judge, Log: n.log,
		Sound:   func(ctx context.Context, id core.ModelID, index int) bool { return n.Sound(ctx, id, index) },
		Damaged: func(id core.ModelID, index int) { n.Suspect(id, index) },
		Upload:  func() int64 { return bytesPerSecond(n.settings.Get().MaxUploadMbps) },
	})
	w.downloads = transfer.New(transfer.Config{
		Network: w.swarm, Models: disk, Store: n.store, Holders: n.holdersOf, Done: n.shardArrived, Report: w.swarm.Judge,
		Download: func() int64 { return bytesPerSecond(n.settings.Get().MaxDownloadMbps) },
		Quota:    func() int64 { return n.settings.Get().MaxDiskMB * hardware.MiB }, Events: n.events, Log: n.log,
	})
	w.stages = pipeline.NewServer(pipeline.ServerConfig{Network: w.swarm, Windows: windows{n}, Warmer: windows{n}, Log: n.log, Allow: n.allowStage})
	n.router = router.New(router.Config{
		Models: models{n.Library, n.Memory}, Acquire: n.acquire, Resolve: n.Resolve, Swarm: w.swarm, Stages: w.stages, Settings: n.settings.Get,
		Self: n.announcement, Pausing: n.pausing.Load, Log: n.log,
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

// nickname is what others call this PC.
func (n *Node) nickname() string {
	if name := n.settings.Get().Nickname; name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	name, _, _ = strings.Cut(name, ".")
	return name
}

// onLAN tells whether a peer was found on the local network.
func (n *Node) onLAN(id core.PeerID) bool {
	for _, p := range n.network.swarm.Peers() {
		if p.NodeID == id {
			return p.IsLANPeer
		}
	}
	return false
}

// peersChanged is told by the swarm that peers came, went or announced something.
func (n *Node) peersChanged(kind core.EventType, data any) {
	n.events.Publish(kind, data)
	poke(n.network.met)
}

// modelsChanged is told by the library.
func (n *Node) modelsChanged() {
	if n.router != nil { // the first scan comes before it
		n.router.Changed()
	}
	poke(n.network.news)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// shardArrived is told by the downloads; index -1 is a manifest.
func (n *Node) shardArrived(id core.ModelID, index int) {
	if err := n.Refresh(context.Background(), id, index); err != nil {
		n.log.Warn("take over what was fetched", "model", id.String(), "err", err)
	}
}

// shardDamaged is told by the library: the shard is fetched again if somebody has it.
func (n *Node) shardDamaged(id core.ModelID, manifest core.Digest, index int) {
	if !slices.ContainsFunc(n.refreshIndex().by[cut{id, manifest}], func(h holding) bool { return h.shards.Has(index) }) {
		return
	}
	if err := n.network.downloads.AddShard(context.Background(), id, manifest, index, "repair"); err != nil {
		n.log.Warn("fetch a damaged shard again", "model", id.String(), "shard", index, "err", err)
	}
}

// allowStage refuses chains of others while this node does not serve.
func (n *Node) allowStage(_, _ core.PeerID, _ core.ModelID) error {
	switch {
	case n.settings.Get().Anchor:
		return core.Errorf(core.CodeNotReady, "this node is an anchor and runs no models")
	case n.pausing.Load():
		return core.Errorf(core.CodeNotReady, "the node is paused")
	}
	return nil
}

// windows gives the library's windows to chains.
type windows struct{ n *Node }

// Acquire implements pipeline.Windows.
func (w windows) Acquire(ctx context.Context, id core.ModelID, manifest core.Digest, first, end int, o pipeline.Options) (engine.Window, func(), error) {
	return w.n.Window(ctx, id, manifest, first, end, windowOptions(o))
}

// Warm implements pipeline.Warmer.
func (w windows) Warm(ctx context.Context, id core.ModelID, manifest core.Digest, first, end int, o pipeline.Options) (<-chan struct{}, func(), error) {
	return w.n.Memory.Warm(ctx, id, manifest, first, end, windowOptions(o))
}

func windowOptions(o pipeline.Options) memory.WindowOptions {
	return memory.WindowOptions{Context: o.Context, Sequences: o.Sequences, BatchRows: o.BatchRows}
}

// The rhythm of announcements when nothing changes, which free memory does all the time.
const announceEvery = 30 * time.Second

// announceHoldings tells the others what this node has and how fast it is.
func (n *Node) announceHoldings(ctx context.Context) error {
	for {
		n.network.swarm.Announce(n.announcement(ctx))
		select {
		case <-n.network.news:
		case <-time.After(announceEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

// announcement is what this node tells about itself, and plans with.
func (n *Node) announcement(ctx context.Context) core.Announcement {
	set := n.settings.Get()
	h := n.hardware.Snapshot(ctx)
	a := core.Announcement{
		Peer: n.network.swarm.Self(), Time: time.Now(), Nickname: n.nickname(), Version: n.cfg.Version, Engine: n.engineVersion(),
		Region: h.Region, GPU: h.GPUName, Anchor: set.Anchor, Paused: n.pausing.Load() || set.Anchor, Demand: n.router.Demand(),
	}
	if set.Anchor {
		return a
	}
	ram, vram := n.hardware.Free(ctx)
	a.RAMMB, a.VRAMMB = ram/hardware.MiB, int64(float64(vram)*set.Contribution.Share())/hardware.MiB
	a.Holdings, a.Speeds = n.Holdings(), n.Speeds()
	return a
}

// engineVersion names the runtime; windows of different ones are not chained.
func (n *Node) engineVersion() string {
	return n.runtime.Version()
}

// Limits of what is kept of models that are known from others only.
const (
	maxStrange   = 64
	introduction = 20 * time.Second // for a manifest and a header to come
)

// meetModels fetches the manifests of models that others hold, so that they are listed and can be planned.
func (n *Node) meetModels(ctx context.Context) error {
	before := ""
	failed := map[core.ModelID]time.Time{}
	for {
		select {
		case <-n.network.met:
		case <-time.After(announceEvery):
		case <-ctx.Done():
			return nil
		}
		index := n.refreshIndex()
		if now := index.print(); now != before {
			before = now
			n.events.Publish(core.EventModelsChanged, nil)
		}
		for _, cut := range index.cuts() {
			if time.Since(failed[cut.model]) < time.Minute || !n.strange(ctx, cut.model) {
				continue
			}
			if err := n.introduce(ctx, cut); err != nil && ctx.Err() == nil {
				failed[cut.model] = time.Now()
				n.log.Info("manifest of a model of the swarm was not taken", "model", cut.model.String(), "err", err)
			}
		}
	}
}

// strange tells whether a model should be introduced: it is not here, was not deleted by the user, and there are not
// too many of its kind.
func (n *Node) strange(ctx context.Context, id core.ModelID) bool {
	if n.settings.Get().Anchor || n.known(id) {
		return false
	}
	if _, hidden, err := n.store.Value(ctx, hiddenKey(id)); hidden || err != nil {
		return false
	}
	count := 0
	for _, m := range n.Models(ctx) {
		if !m.Local {
			count++
		}
	}
	return count < maxStrange
}

func (n *Node) known(id core.ModelID) bool {
	_, err := n.Blueprint(id)
	return err == nil
}

// hiddenKey is the key of the store that says that the user deleted a model which others may hold.
func hiddenKey(id core.ModelID) string { return "hidden/" + id.String() }

// introduce brings the manifest and the header of a cut here.
func (n *Node) introduce(ctx context.Context, c cut) error {
	ctx, cancel := context.WithTimeout(ctx, introduction)
	defer cancel()
	if err := n.network.downloads.Introduce(ctx, c.model, c.manifest); err != nil {
		return err
	}
	return n.Refresh(ctx, c.model, -1)
}

// need makes a model known that only others hold. The error has code CodeNotFound when nobody does.
func (n *Node) need(ctx context.Context, id core.ModelID) (library.Blueprint, error) {
	b, err := n.Blueprint(id)
	if core.CodeOf(err) != core.CodeNotFound {
		return b, err
	}
	for _, c := range n.refreshIndex().cuts() {
		if c.model != id {
			continue
		}
		if err := n.introduce(ctx, c); err != nil {
			return b, core.Errorf(core.CodeNotReady, "model %s is known, but its manifest did not come: %w", id, err)
		}
		return n.Blueprint(id)
	}
	return b, core.Errorf(core.CodeNotFound, "model %s is neither here nor at a node of the swarm", id).WithParam("id")
}

// errAlone is the answer where there is nobody who could run a swarm.
func (n *Node) errAlone() error {
	if n.cfg.NoAPI {
		return core.Errorf(core.CodeNotReady, "this needs a running node").WithHint("Start it with shoald serve.")
	}
	return nil
}
