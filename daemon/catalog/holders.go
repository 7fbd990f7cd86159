package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/transfer"
)

// Version names one way a file was cut: models of one name can differ.
type Version struct {
	Model    core.ModelID
	Manifest core.Digest
}

// holding is what one peer has of a version.
type holding struct {
	peer   admin.PeerInfo
	shards core.Bitmap
}

// holderIndex is who has what, as the peers announce it that are connected or would answer a call.
type holderIndex struct {
	made time.Time
	by   map[Version][]holding
}

// indexLife is how long an index is good for: it is asked for once per model.
const indexLife = 250 * time.Millisecond

// holders returns the index.
func (c *Catalog) holders() holderIndex {
	c.mu.Lock()
	index := c.index
	c.mu.Unlock()
	if time.Since(index.made) < indexLife {
		return index
	}
	return c.refresh()
}

// refreshIndex makes the index again.
func (c *Catalog) refresh() holderIndex {
	index := holderIndex{made: time.Now(), by: map[Version][]holding{}}
	peers := map[core.PeerID]admin.PeerInfo{}
	for _, p := range c.cfg.Swarm.Peers() {
		if p.Connection != "none" || p.Healthy {
			peers[p.NodeID] = p
		}
	}
	for _, a := range c.cfg.Swarm.Announcements() {
		peer, connected := peers[a.Peer]
		if !connected || a.Paused {
			continue
		}
		for _, h := range a.Holdings {
			v := Version{h.Model, h.Manifest}
			index.by[v] = append(index.by[v], holding{peer, h.Shards})
		}
	}
	c.mu.Lock()
	c.index = index
	c.mu.Unlock()
	return index
}

// versions lists the versions, of each model the one that most peers have first.
func (i holderIndex) versions() []Version {
	var list []Version
	for v := range i.by {
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b Version) int {
		return cmp.Or(strings.Compare(a.Model.String(), b.Model.String()), cmp.Compare(len(i.by[b]), len(i.by[a])),
			strings.Compare(a.Manifest.String(), b.Manifest.String()))
	})
	return list
}

// fingerprint differs when others hold something else.
func (i holderIndex) fingerprint() string {
	var text strings.Builder
	for _, v := range i.versions() {
		fmt.Fprint(&text, v.Model, v.Manifest)
		for _, h := range i.by[v] {
			fmt.Fprint(&text, h.peer.NodeID, h.shards)
		}
	}
	return text.String()
}

// Holders counts, by shard, the nodes besides this one that can be reached and have it, and those that have any.
func (c *Catalog) Holders(id core.ModelID, manifest core.Digest, shards int) (byShard []int, nodes int) {
	byShard = make([]int, shards)
	list := c.holders().by[Version{id, manifest}]
	for _, h := range list {
		for i := range byShard {
			if h.shards.Has(i) {
				byShard[i]++
			}
		}
	}
	return byShard, len(list)
}

// HasShard tells whether a node that can be reached has a shard.
func (c *Catalog) HasShard(v Version, index int) bool {
	return slices.ContainsFunc(c.refresh().by[v], func(h holding) bool { return h.shards.Has(index) })
}

// Sources tells the downloads where a version can be had.
func (c *Catalog) Sources(id core.ModelID, manifest core.Digest) []transfer.Holder {
	var list []transfer.Holder
	for _, h := range c.holders().by[Version{id, manifest}] {
		rtt, _ := c.cfg.Swarm.PeerRTT(h.peer.NodeID)
		list = append(list, transfer.Holder{Peer: h.peer.NodeID, LAN: h.peer.IsLANPeer, RTT: rtt, Shards: h.shards})
	}
	return list
}

// Nearest is the best peer that has a shard: on the local network first, then by latency, then by trust.
func (c *Catalog) Nearest(v Version, index int) (core.PeerID, bool) {
	var able []admin.PeerInfo
	for _, h := range c.refresh().by[v] {
		if h.shards.Has(index) {
			able = append(able, h.peer)
		}
	}
	if len(able) == 0 {
		return core.PeerID{}, false
	}
	best := slices.MinFunc(able, func(a, b admin.PeerInfo) int {
		if a.IsLANPeer != b.IsLANPeer {
			if a.IsLANPeer {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.LatencyMS, b.LatencyMS), cmp.Compare(b.TrustScore, a.TrustScore))
	})
	return best.NodeID, true
}
