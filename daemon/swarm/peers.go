package swarm

import (
	"cmp"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Peers lists the members this node has met, the connected ones first.
func (s *Swarm) Peers() []admin.PeerInfo {
	t, err := s.session()
	if err != nil {
		return nil
	}
	return t.peers()
}

func (t *session) peers() []admin.PeerInfo {
	out := []admin.PeerInfo{}
	for _, e := range t.book.all() {
		if e.ID != t.self && (t.members.belongs(e.ID) || e.Anchor) {
			out = append(out, t.describe(e))
		}
	}
	slices.SortFunc(out, func(a, b admin.PeerInfo) int {
		if d := cmp.Compare(connectionRank(a), connectionRank(b)); d != 0 {
			return d
		}
		return cmp.Compare(a.NodeID.String(), b.NodeID.String())
	})
	return out
}

func connectionRank(p admin.PeerInfo) int {
	return slices.Index([]string{connectionDirect, connectionRelayed, connectionNone}, p.Connection)
}

// healthy tells whether a peer was heard of lately: from itself while it is connected, else by what it announces,
// unless it was lost since then.
func (t *session) healthy(e entry) bool {
	heard := e.heard
	if e.connection == connectionNone {
		if heard = t.notices.came(e.ID); !heard.After(e.lost) {
			return false
		}
	}
	return time.Since(heard) < healthyFor
}

func (t *session) describe(e entry) admin.PeerInfo {
	p := admin.PeerInfo{
		NodeID: e.ID, Nickname: e.Nickname, LatencyMS: float64(e.rtt) / float64(time.Millisecond), TrustScore: e.Trust,
		Healthy: t.healthy(e), IsLANPeer: e.lan,
		Connection: e.connection, Addresses: append([]string{}, e.Addresses...), LastSeen: e.LastSeen, Anchor: e.Anchor,
		ClockOffsetS: t.notices.offset(e.ID).Round(time.Second).Seconds(),
		HostedModels: []string{}, HeldShards: map[string]int{},
	}
	if a, ok := t.notices.of(e.ID); ok {
		p.GPU, p.VRAMMB, p.RAMMB, p.Paused = a.GPU, a.VRAMMB, a.RAMMB, a.Paused
		p.Version, p.Engine, p.Region = a.Version, a.Engine, a.Region
		for _, h := range a.Holdings {
			p.HostedModels = append(p.HostedModels, h.Model.String())
			p.HeldShards[h.Model.String()] = h.Shards.Count()
		}
	}
	return p
}

// PeerRTT is the round trip to a peer; it is false when the peer is not connected or not measured yet.
func (s *Swarm) PeerRTT(id core.PeerID) (time.Duration, bool) {
	t, err := s.session()
	if err != nil {
		return 0, false
	}
	e, ok := t.book.get(id)
	return e.rtt, ok && e.rtt > 0
}

// Judge changes how much this node trusts a peer for what it did. A peer that sinks too low is refused for an hour.
func (s *Swarm) Judge(id core.PeerID, act core.Conduct) {
	if t, err := s.session(); err == nil {
		t.judge(id, act)
	}
}

// Phase is "established" while a peer is connected, else "seedling".
func (s *Swarm) Phase() string {
	if t, err := s.session(); err == nil && t.connected() > 0 {
		return "established"
	}
	return "seedling"
}

// connected counts the members at the other end of a connection.
func (t *session) connected() (n int) {
	for _, e := range t.book.all() {
		if e.connection != connectionNone && t.members.belongs(e.ID) {
			n++
		}
	}
	return n
}
