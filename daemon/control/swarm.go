package control

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/catalog"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Peers implements admin.Swarm.
func (n *Swarm) Peers(context.Context) ([]admin.PeerInfo, error) { return n.p.Swarm.Peers(), nil }

// NetworkMap implements admin.Swarm.
func (n *Swarm) NetworkMap(ctx context.Context) (admin.NetworkMap, error) {
	return n.p.Swarm.NetworkMap(n.p.Hardware.Snapshot(ctx).Region), nil
}

// NetworkCode implements admin.Swarm. The first code makes a swarm.
func (n *Swarm) NetworkCode(ctx context.Context, fresh bool) (admin.NetworkCode, error) {
	if err := n.p.errAlone(); err != nil {
		return admin.NetworkCode{}, err
	}
	return n.p.Swarm.NetworkCode(ctx, fresh)
}

// JoinNetwork implements admin.Swarm.
func (n *Swarm) JoinNetwork(ctx context.Context, code string) (admin.Joined, error) {
	if err := n.p.errAlone(); err != nil {
		return admin.Joined{}, err
	}
	done, err := n.p.Swarm.Join(ctx, code)
	if err != nil {
		return admin.Joined{}, err
	}
	message := "Connected to " + done.Address + "."
	n.p.Events.Publish(core.EventActivity, core.Activity{Kind: "network_joined", Message: message, Timestamp: time.Now().UTC(), ToastLevel: "success"})
	n.p.Presence.Changed()
	return admin.Joined{Status: "ok", PeerID: done.Peer.String(), Address: done.Address, Message: message}, nil
}

// Invites implements admin.Swarm.
func (n *Swarm) Invites(ctx context.Context) ([]admin.Invite, error) {
	return n.p.Swarm.Invites(ctx)
}

// Members implements admin.Swarm.
func (n *Swarm) Members(context.Context) ([]admin.Member, error) { return n.p.Swarm.Members(), nil }

// PutOut implements admin.Swarm.
func (n *Swarm) PutOut(ctx context.Context, id core.PeerID) error { return n.p.Swarm.PutOut(ctx, id) }

// Delegate implements admin.Swarm.
func (n *Swarm) Delegate(ctx context.Context, id core.PeerID) error {
	return n.p.Swarm.Delegate(ctx, id)
}

// LeaveSwarm implements admin.Swarm.
func (n *Swarm) LeaveSwarm(ctx context.Context) error { return n.p.Swarm.Leave(ctx) }

// RevokeInvite implements admin.Swarm.
func (n *Swarm) RevokeInvite(ctx context.Context, id string) error {
	return n.p.Swarm.RevokeInvite(ctx, id)
}

// AddModel implements admin.Swarm.
func (n *Swarm) AddModel(ctx context.Context, id core.ModelID) (admin.Acquiring, error) {
	out := admin.Acquiring{Status: "acquiring", ModelID: id.String()}
	if err := n.p.errAlone(); err != nil {
		return out, err
	}
	if err := n.p.Catalog.Show(ctx, id); err != nil {
		return out, err
	}
	b, err := n.p.Catalog.EnsureKnown(ctx, id)
	if err != nil {
		return out, err
	}
	if b.Complete {
		out.Status = "already_local"
		return out, nil
	}
	return out, n.p.Downloads.Add(ctx, id, b.Manifest, nil, "user")
}

// DownloadShard implements admin.Swarm.
func (n *Swarm) DownloadShard(ctx context.Context, id core.ModelID, index int) (admin.ShardDownload, error) {
	out := admin.ShardDownload{Status: "already_local", ModelID: id.String(), ShardIndex: index}
	if err := n.p.errAlone(); err != nil {
		return out, err
	}
	b, err := n.p.Catalog.EnsureKnown(ctx, id)
	if err != nil {
		return out, err
	}
	if index >= len(b.Layers) {
		return out, core.Errorf(core.CodeNotFound, "model %s has shards 0 to %d, not %d", id, len(b.Layers)-1, index)
	}
	if n.p.Library.HasShard(id, index) {
		return out, nil
	}
	peer, found := n.p.Catalog.Nearest(catalog.Version{Model: id, Manifest: b.Manifest}, index)
	switch {
	case found:
		out.Status, out.Source, out.Peer = "downloading", "p2p", peer.String()
		return out, n.p.Downloads.AddShard(ctx, id, b.Manifest, index, "user")
	case b.Source != nil:
		out.Status, out.Source, out.RepoID, out.Filename = "use_hf", "huggingface", b.Source.RepoID, b.Source.Filename
		return out, nil
	}
	return out, core.Errorf(core.CodeInvalidRequest, "no connected peer has shard %d of %s, and where the file is on HuggingFace is not known", index, id).
		WithHint("Connect to a node that has it, or import the file.")
}

// Downloads implements admin.Swarm.
func (n *Swarm) Downloads(context.Context) ([]admin.Download, error) {
	return n.p.Downloads.List(), nil
}

// CancelDownload implements admin.Swarm.
func (n *Swarm) CancelDownload(ctx context.Context, id core.ModelID) error {
	return n.p.Downloads.Cancel(ctx, id)
}

// What is said about the encrypted pipeline.
const (
	overheadNote = "The first and the last shard run on this PC, so that text leaves it as hidden states only: one more hop, and this PC's " +
		"own share of the work. A peer in the middle that sets out to could still reconstruct text from what it sees."
	twoShards = "This model has two shards at most: with both on this PC it runs here alone, and nothing is shared with peers."
)

// EncryptedPipeline implements admin.Swarm.
func (n *Swarm) EncryptedPipeline(ctx context.Context, id core.ModelID) (admin.EncryptedPipeline, error) {
	b, err := n.p.Library.Blueprint(id)
	if err != nil {
		return admin.EncryptedPipeline{}, err
	}
	on, own, err := n.p.Library.EncryptedPipeline(ctx, id)
	if err != nil {
		return admin.EncryptedPipeline{}, err
	}
	out := admin.EncryptedPipeline{
		Status: "disabled", ModelID: id.String(), Enabled: on, Ready: b.First && b.Last, HasFirstShard: b.First, HasLastShard: b.Last,
		Setting: "global", OverheadNote: overheadNote,
	}
	if on {
		out.Status = "enabled"
	}
	if own {
		out.Setting = "model"
	}
	if len(b.Layers) <= 2 {
		out.Warning = twoShards
	}
	return out, nil
}

// SetEncryptedPipeline implements admin.Swarm.
func (n *Swarm) SetEncryptedPipeline(ctx context.Context, id core.ModelID, enabled bool) (admin.EncryptedPipeline, error) {
	b, err := n.p.Library.Blueprint(id)
	if err != nil {
		return admin.EncryptedPipeline{}, err
	}
	if enabled && !(b.First && b.Last) {
		return admin.EncryptedPipeline{}, core.Errorf(core.CodeConflict, "the encrypted pipeline needs the first and the last shard of %s on this PC", id).
			WithHint("Fetch shards 0 and the last one first.")
	}
	if err := n.p.Library.SetEncryptedPipeline(ctx, id, enabled); err != nil {
		return admin.EncryptedPipeline{}, err
	}
	n.p.Router.CloseIdle(id) // the next request gets a chain that follows it
	return n.EncryptedPipeline(ctx, id)
}

// Plan implements admin.Swarm.
func (n *Swarm) Plan(ctx context.Context, id core.ModelID) (admin.PlanReport, error) {
	b, err := n.p.Catalog.EnsureKnown(ctx, id)
	if err != nil {
		return admin.PlanReport{}, err
	}
	return n.p.Router.Report(ctx, b)
}
