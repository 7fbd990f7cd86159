package daemon

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/catalog"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Peers implements api.Swarm.
func (n *Node) Peers(context.Context) []admin.PeerInfo { return n.network.swarm.Peers() }

// NetworkMap implements api.Swarm.
func (n *Node) NetworkMap(ctx context.Context) admin.NetworkMap {
	return n.network.swarm.NetworkMap(n.hardware.Snapshot(ctx).Region)
}

// NetworkCode implements api.Swarm. The first code makes a swarm.
func (n *Node) NetworkCode(ctx context.Context, fresh bool) (admin.NetworkCode, error) {
	if err := n.errAlone(); err != nil {
		return admin.NetworkCode{}, err
	}
	return n.network.swarm.NetworkCode(ctx, fresh)
}

// JoinNetwork implements api.Swarm.
func (n *Node) JoinNetwork(ctx context.Context, code string) (admin.Joined, error) {
	if err := n.errAlone(); err != nil {
		return admin.Joined{}, err
	}
	done, err := n.network.swarm.Join(ctx, code)
	if err != nil {
		return admin.Joined{}, err
	}
	message := "Connected to " + done.Address + "."
	n.events.Publish(core.EventActivity, core.Activity{Kind: "network_joined", Message: message, Timestamp: time.Now().UTC(), ToastLevel: "success"})
	n.presence.Changed()
	return admin.Joined{Status: "ok", PeerID: done.Peer.String(), Address: done.Address, Message: message}, nil
}

// Invites implements api.Swarm.
func (n *Node) Invites(ctx context.Context) ([]admin.Invite, error) {
	return n.network.swarm.Invites(ctx)
}

// RevokeInvite implements api.Swarm.
func (n *Node) RevokeInvite(ctx context.Context, id string) error {
	return n.network.swarm.RevokeInvite(ctx, id)
}

// AddModel implements api.Swarm.
func (n *Node) AddModel(ctx context.Context, id core.ModelID) (admin.Acquiring, error) {
	out := admin.Acquiring{Status: "acquiring", ModelID: id.String()}
	if err := n.errAlone(); err != nil {
		return out, err
	}
	if err := n.catalog.Show(ctx, id); err != nil {
		return out, err
	}
	b, err := n.catalog.EnsureKnown(ctx, id)
	if err != nil {
		return out, err
	}
	if b.Complete {
		out.Status = "already_local"
		return out, nil
	}
	return out, n.network.downloads.Add(ctx, id, b.Manifest, nil, "user")
}

// DownloadShard implements api.Swarm.
func (n *Node) DownloadShard(ctx context.Context, id core.ModelID, index int) (admin.ShardDownload, error) {
	out := admin.ShardDownload{Status: "already_local", ModelID: id.String(), ShardIndex: index}
	if err := n.errAlone(); err != nil {
		return out, err
	}
	b, err := n.catalog.EnsureKnown(ctx, id)
	if err != nil {
		return out, err
	}
	if index >= len(b.Layers) {
		return out, core.Errorf(core.CodeNotFound, "model %s has shards 0 to %d, not %d", id, len(b.Layers)-1, index)
	}
	if n.HasShard(id, index) {
		return out, nil
	}
	peer, found := n.catalog.Nearest(catalog.Version{Model: id, Manifest: b.Manifest}, index)
	switch {
	case found:
		out.Status, out.Source, out.Peer = "downloading", "p2p", peer.String()
		return out, n.network.downloads.AddShard(ctx, id, b.Manifest, index, "user")
	case b.Source != nil:
		out.Status, out.Source, out.RepoID, out.Filename = "use_hf", "huggingface", b.Source.RepoID, b.Source.Filename
		return out, nil
	}
	return out, core.Errorf(core.CodeInvalidRequest, "no connected peer has shard %d of %s, and where the file is on HuggingFace is not known", index, id).
		WithHint("Connect to a node that has it, or import the file.")
}

// Downloads implements api.Swarm.
func (n *Node) Downloads(context.Context) []admin.Download { return n.network.downloads.List() }

// CancelDownload implements api.Swarm.
func (n *Node) CancelDownload(ctx context.Context, id core.ModelID) error {
	return n.network.downloads.Cancel(ctx, id)
}

// What is said about the encrypted pipeline.
const (
	overheadNote = "The first and the last shard run on this PC, so that text leaves it as hidden states only: one more hop, and this PC's " +
		"own share of the work. A peer in the middle that sets out to could still reconstruct text from what it sees."
	twoShards = "This model has two shards at most: with both on this PC it runs here alone, and nothing is shared with peers."
)

// EncryptedPipeline implements api.Swarm.
func (n *Node) EncryptedPipeline(ctx context.Context, id core.ModelID) (admin.EncryptedPipeline, error) {
	b, err := n.Blueprint(id)
	if err != nil {
		return admin.EncryptedPipeline{}, err
	}
	on, own, err := n.Library.EncryptedPipeline(ctx, id)
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

// SetEncryptedPipeline implements api.Swarm.
func (n *Node) SetEncryptedPipeline(ctx context.Context, id core.ModelID, enabled bool) (admin.EncryptedPipeline, error) {
	b, err := n.Blueprint(id)
	if err != nil {
		return admin.EncryptedPipeline{}, err
	}
	if enabled && !(b.First && b.Last) {
		return admin.EncryptedPipeline{}, core.Errorf(core.CodeConflict, "the encrypted pipeline needs the first and the last shard of %s on this PC", id).
			WithHint("Fetch shards 0 and the last one first.")
	}
	if err := n.Library.SetEncryptedPipeline(ctx, id, enabled); err != nil {
		return admin.EncryptedPipeline{}, err
	}
	n.router.CloseIdle(id) // the next request gets a chain that follows it
	return n.EncryptedPipeline(ctx, id)
}

// Unload implements api.Library.
func (n *Node) Unload(ctx context.Context, id core.ModelID) (admin.ModelUnloaded, error) {
	n.router.CloseIdle(id)
	return n.Memory.Unload(ctx, id)
}

// DeleteShard implements api.Library.
func (n *Node) DeleteShard(ctx context.Context, id core.ModelID, index int) error {
	n.router.CloseIdle(id)
	return n.Library.DeleteShard(ctx, id, index)
}

// DeleteModel implements api.Library. A model that others hold is not listed again until the user adds it.
func (n *Node) DeleteModel(ctx context.Context, id core.ModelID) error {
	n.router.Close(id)
	if err := n.network.downloads.Cancel(ctx, id); err != nil && core.CodeOf(err) != core.CodeNotFound {
		return err
	}
	if err := n.catalog.Hide(ctx, id); err != nil {
		return err
	}
	return n.Library.DeleteModel(ctx, id)
}

// Progress implements api.Library. While shards are fetched it is of them.
func (n *Node) Progress(ctx context.Context, id core.ModelID) (admin.ModelProgress, error) {
	if d, ok := n.download(id); ok && (d.State == core.DownloadRunning || d.State == core.DownloadQueued) {
		if p, ok := n.network.downloads.Progress(id); ok {
			return p, nil
		}
	}
	return n.Memory.Progress(id), nil
}

// Plan implements api.Swarm.
func (n *Node) Plan(ctx context.Context, id core.ModelID) (admin.PlanReport, error) {
	b, err := n.catalog.EnsureKnown(ctx, id)
	if err != nil {
		return admin.PlanReport{}, err
	}
	return n.router.Report(ctx, b)
}
