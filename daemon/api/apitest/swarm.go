package apitest

import (
	"context"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Code is the invite code of a Node, and Peer the node of the swarm that it knows.
const (
	Code = "swarm://c2hvYWw"
	Peer = "12D3KooWPeer"
)

// Inviter is the id of the one invite of a Node.
const Inviter = "00112233445566778899aabbccddeeff"

var when = time.Unix(1_700_000_000, 0).UTC()

// Peers implements admin.Swarm.
func (n *Node) Peers(context.Context) ([]admin.PeerInfo, error) {
	n.calls.Add(1)
	id, _ := core.ParsePeerID(Peer)
	return []admin.PeerInfo{{
		NodeID: id, Nickname: "attic", LatencyMS: 1.5, TrustScore: 0.5, Healthy: true, HostedModels: []string{OnDisk}, HeldShards: map[string]int{OnDisk: 3},
		IsLANPeer: true, Connection: "direct", Addresses: []string{"/ip4/192.0.2.1/tcp/8810"}, LastSeen: when, Region: "DE",
	}}, nil
}

// NetworkMap implements admin.Swarm.
func (n *Node) NetworkMap(context.Context) (admin.NetworkMap, error) {
	n.calls.Add(1)
	return admin.NetworkMap{Regions: map[string]admin.Region{"DE": {
		Total: 2, Models: map[string]int{OnDisk: 2}, Demand: map[string]int{OnDisk: 5}, CoverageGaps: []string{},
		ReplicationTarget: map[string]int{OnDisk: 2},
	}}}, nil
}

// NetworkCode implements admin.Swarm; a fresh code is another one.
func (n *Node) NetworkCode(_ context.Context, fresh bool) (admin.NetworkCode, error) {
	n.calls.Add(1)
	out := admin.NetworkCode{Code: Code, NodeID: "node", Phase: "established", PeerCount: 1, InviteID: Inviter, ExpiresAt: when}
	if fresh {
		out.Code += "Mg"
	}
	return out, nil
}

// JoinNetwork implements admin.Swarm: a code that ends in one of these words has met that fate.
func (n *Node) JoinNetwork(_ context.Context, code string) (admin.Joined, error) {
	n.calls.Add(1)
	for word, kind := range map[string]core.Code{
		"expired": core.CodeInviteExpired, "used": core.CodeInviteUsed, "revoked": core.CodeInviteRevoked, "damaged": core.CodeCorrupt,
	} {
		if strings.HasSuffix(code, word) {
			return admin.Joined{}, core.Errorf(kind, "this invite is %s", word)
		}
	}
	if !strings.HasPrefix(code, "swarm://") && !strings.HasPrefix(code, "/") {
		return admin.Joined{}, core.Errorf(core.CodeInvalidRequest, "that is not an invite code").WithParam("code")
	}
	return admin.Joined{Status: "ok", PeerID: Peer, Address: "/ip4/192.0.2.1/tcp/8810", Message: "Joined."}, nil
}

// Invites implements admin.Swarm.
func (n *Node) Invites(context.Context) ([]admin.Invite, error) {
	n.calls.Add(1)
	return []admin.Invite{
		{ID: Inviter, State: "used", CreatedAt: when, ExpiresAt: when.Add(time.Hour), UsedBy: Peer, UsedAt: &when, Nickname: "attic"},
		{ID: strings.Repeat("0", 32), State: "open", CreatedAt: when, ExpiresAt: when.Add(time.Hour)},
	}, nil
}

// Members implements admin.Swarm.
func (n *Node) Members(context.Context) ([]admin.Member, error) {
	id, err := core.ParsePeerID(Peer)
	if err != nil {
		return nil, err
	}
	return []admin.Member{{NodeID: id, Nickname: "attic", Role: admin.RoleMember, AdmittedBy: id.String(), Connection: admin.ConnectionDirect}}, nil
}

// PutOut implements admin.Swarm; the only member is Peer.
func (n *Node) PutOut(_ context.Context, id core.PeerID) error {
	n.calls.Add(1)
	if id.String() != Peer {
		return core.Errorf(core.CodeNotFound, "%s is no member of this swarm", id)
	}
	return nil
}

// Delegate implements admin.Swarm; the only member is Peer.
func (n *Node) Delegate(ctx context.Context, id core.PeerID) error { return n.PutOut(ctx, id) }

// LeaveSwarm implements admin.Swarm.
func (n *Node) LeaveSwarm(context.Context) error {
	n.calls.Add(1)
	return nil
}

// RevokeInvite implements admin.Swarm; the invite Inviter is used.
func (n *Node) RevokeInvite(_ context.Context, id string) error {
	n.calls.Add(1)
	switch id {
	case strings.Repeat("0", 32):
		return nil
	case Inviter:
		return core.Errorf(core.CodeConflict, "this invite has been used")
	}
	return core.Errorf(core.CodeNotFound, "there is no invite of that id")
}

// AddModel implements admin.Swarm.
func (n *Node) AddModel(_ context.Context, id core.ModelID) (admin.Acquiring, error) {
	return admin.Acquiring{Status: "acquiring", ModelID: id.String()}, n.known(id, 0)
}

// DownloadShard implements admin.Swarm: shard 0 is here, shard 1 is fetched.
func (n *Node) DownloadShard(_ context.Context, id core.ModelID, index int) (admin.ShardDownload, error) {
	out := admin.ShardDownload{Status: "already_local", ModelID: id.String(), ShardIndex: index}
	if index == 1 {
		out.Status, out.Source, out.Peer = "downloading", "p2p", Peer
	}
	return out, n.known(id, index)
}

// Downloads implements admin.Swarm.
func (n *Node) Downloads(context.Context) ([]admin.Download, error) {
	n.calls.Add(1)
	return []admin.Download{{
		ModelID: OnDisk, State: core.DownloadRunning, Source: "p2p", DownloadedBytes: 500, TotalBytes: 2000, SpeedBytesPerSec: 100,
		Shards: []admin.ShardProgress{{
			Index: 1, State: core.DownloadRunning, DownloadedBytes: 500, TotalBytes: 2000, SpeedBytesPerSec: 100, Source: "p2p", Peers: []string{Peer},
		}},
	}}, nil
}

// CancelDownload implements admin.Swarm.
func (n *Node) CancelDownload(_ context.Context, id core.ModelID) error { return n.known(id, 0) }

// EncryptedPipeline implements admin.Swarm.
func (n *Node) EncryptedPipeline(_ context.Context, id core.ModelID) (admin.EncryptedPipeline, error) {
	if err := n.known(id, 0); err != nil {
		return admin.EncryptedPipeline{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	out := admin.EncryptedPipeline{
		Status: "disabled", ModelID: id.String(), Ready: true, HasFirstShard: true, HasLastShard: true, Setting: "global",
		OverheadNote: "A little slower.", Warning: "This model has two shards: it would run on this PC alone.",
	}
	if n.encrypted {
		out.Status, out.Enabled, out.Setting = "enabled", true, "model"
	}
	return out, nil
}

// SetEncryptedPipeline implements admin.Swarm.
func (n *Node) SetEncryptedPipeline(ctx context.Context, id core.ModelID, enabled bool) (admin.EncryptedPipeline, error) {
	if err := n.known(id, 0); err != nil {
		return admin.EncryptedPipeline{}, err
	}
	n.mu.Lock()
	n.encrypted = enabled
	n.mu.Unlock()
	return n.EncryptedPipeline(ctx, id)
}

// Plan implements admin.Swarm: the model OnDisk runs here and at a peer, others nowhere.
func (n *Node) Plan(_ context.Context, id core.ModelID) (admin.PlanReport, error) {
	n.calls.Add(1)
	out := admin.PlanReport{
		ModelID: id.String(), Route: core.RouteNone, Text: "no_holder: layers 2-3", Code: core.CodeNotReady,
		Reasons: []admin.PlanReason{{Code: "no_holder", LayerStart: 2, LayerEnd: 4, Text: "no_holder: layers 2-3"}},
	}
	if id.String() != OnDisk {
		return out, nil
	}
	here := admin.PlanSegment{NodeID: "node", Local: true, EndShard: 1, LayerEnd: 2, Loaded: true, Measured: true, ComputeMS: 3}
	there := admin.PlanSegment{NodeID: Peer, Nickname: "attic", FirstShard: 1, EndShard: 2, LayerStart: 2, LayerEnd: 4, LatencyMS: 1, Standbys: []string{"node"}}
	there.TakesOver = []admin.PlanStandby{{NodeID: "node", EndShard: 2, Warmth: "cold", Why: "no room"}}
	out = admin.PlanReport{
		ModelID: OnDisk, Possible: true, Route: core.RouteDistributed, Text: "layers 0-1 on this PC, layers 2-3 on attic",
		Segments: []admin.PlanSegment{here, there}, Forecast: admin.PlanForecast{DecodeTokensPerSecond: 20, PrefillTokensPerSecond: 200},
		Draft:        &admin.PlanDraft{ModelID: Loaded, Text: "the vocabularies differ"},
		Alternatives: []admin.PlanAlternative{{Name: "local", Segments: []admin.PlanSegment{here}, Forecast: admin.PlanForecast{DecodeTokensPerSecond: 10}}},
	}
	return out, nil
}
