package daemon

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

// cut names one way a file was cut: models of one name can differ.
type cut struct {
	model    core.ModelID
	manifest core.Digest
}

// holding is what one peer has of a cut.
type holding struct {
	peer   admin.PeerInfo
	shards core.Bitmap
}

// holderIndex is who has what, as the peers announce it that are connected or would answer a call.
type holderIndex struct {
	made time.Time
	by   map[cut][]holding
}

// indexLife is how long an index is good for: it is asked for once per model.
const indexLife = 250 * time.Millisecond

// holders returns the index.
func (n *Node) holders() holderIndex {
	n.network.mu.Lock()
	index := n.network.index
	n.network.mu.Unlock()
	if time.Since(index.made) < indexLife {
		return index
	}
	return n.refreshIndex()
}

// refreshIndex makes the index again.
func (n *Node) refreshIndex() holderIndex {
	index := holderIndex{made: time.Now(), by: map[cut][]holding{}}
	peers := map[core.PeerID]admin.PeerInfo{}
	for _, p := range n.network.swarm.Peers() {
		if p.Connection != "none" || p.Healthy {
			peers[p.NodeID] = p
		}
	}
	for _, a := range n.network.swarm.Announcements() {
		peer, connected := peers[a.Peer]
		if !connected || a.Paused {
			continue
		}
		for _, h := range a.Holdings {
			c := cut{h.Model, h.Manifest}
			index.by[c] = append(index.by[c], holding{peer, h.Shards})
		}
	}
	n.network.mu.Lock()
	n.network.index = index
	n.network.mu.Unlock()
	return index
}

// cuts lists the cuts, of each model the one that most peers have first.
func (i holderIndex) cuts() []cut {
	var list []cut
	for c := range i.by {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b cut) int {
		return cmp.Or(strings.Compare(a.model.String(), b.model.String()), cmp.Compare(len(i.by[b]), len(i.by[a])),
			strings.Compare(a.manifest.String(), b.manifest.String()))
	})
	return list
}

// print differs when others hold something else.
func (i holderIndex) print() string {
	var text strings.Builder
	for _, c := range i.cuts() {
		fmt.Fprint(&text, c.model, c.manifest)
		for _, h := range i.by[c] {
			fmt.Fprint(&text, h.peer.NodeID, h.shards)
		}
	}
	return text.String()
}

// Holders counts, by shard, the nodes besides this one that can be reached and have it, and those that have any.
func (n *Node) Holders(id core.ModelID, manifest core.Digest, shards int) (byShard []int, nodes int) {
	byShard = make([]int, shards)
	list := n.holders().by[cut{id, manifest}]
	for _, h := range list {
		for i := range byShard {
			if h.shards.Has(i) {
				byShard[i]++
			}
		}
	}
	return byShard, len(list)
}

// Download tells how far a model is that is being fetched.
func (n *Node) Download(id core.ModelID) (admin.Download, bool) {
	for _, d := range n.network.downloads.List() {
		if d.ModelID == id.String() {
			return d, true
		}
	}
	return admin.Download{}, false
}

// holdersOf tells the downloads where a cut can be had.
func (n *Node) holdersOf(id core.ModelID, manifest core.Digest) []transfer.Holder {
	var list []transfer.Holder
	for _, h := range n.holders().by[cut{id, manifest}] {
		rtt, _ := n.network.swarm.PeerRTT(h.peer.NodeID)
		list = append(list, transfer.Holder{Peer: h.peer.NodeID, LAN: h.peer.IsLANPeer, RTT: rtt, Shards: h.shards})
	}
	return list
}

// nearest is the best peer that has a shard: on the local network first, then by latency, then by trust.
func (n *Node) nearest(c cut, index int) (core.PeerID, bool) {
	var able []admin.PeerInfo
	for _, h := range n.refreshIndex().by[c] {
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
