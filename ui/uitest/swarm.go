package uitest

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Peer makes a friend's PC on the local network. The id must be letters and digits.
func Peer(id, nickname, gpu string, vramGiB int64, held map[string]int) admin.PeerInfo {
	peer, err := core.ParsePeerID(id)
	if err != nil {
		panic(err)
	}
	return admin.PeerInfo{
		NodeID: peer, Nickname: nickname, GPU: gpu, VRAMMB: vramGiB * 1024, RAMMB: 16384, LatencyMS: 0.6, TrustScore: 0.5, Healthy: true,
		IsLANPeer: true, Connection: admin.ConnectionDirect, LastSeen: time.Now(), Version: "0.1.0", Engine: "v0.5.0",
		HeldShards: held, HostedModels: slices.Sorted(maps.Keys(held)),
	}
}

// EmitPeers changes the friends' PCs and tells the screen.
func (b *Backend) EmitPeers(peers ...admin.PeerInfo) {
	b.mu.Lock()
	b.PeersNow = peers
	b.mu.Unlock()
	b.Emit(core.Event{Type: core.EventPeers, Data: peers})
}

// Peers implements ui.Swarm.
func (b *Backend) Peers(context.Context) ([]admin.PeerInfo, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.PeersNow), b.Errors["Peers"]
}

// NewInvite implements ui.Swarm: it notes the code of CodeNow as an open invite.
func (b *Backend) NewInvite(ctx context.Context) (admin.NetworkCode, error) {
	if err := b.call(ctx, "NewInvite"); err != nil {
		return admin.NetworkCode{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.InvitesNow = slices.Insert(b.InvitesNow, 0, admin.Invite{
		ID: b.CodeNow.InviteID, State: admin.InviteOpen, CreatedAt: time.Now(), ExpiresAt: b.CodeNow.ExpiresAt,
	})
	return b.CodeNow, nil
}

// Join implements ui.Swarm.
func (b *Backend) Join(ctx context.Context, code string) (admin.Joined, error) {
	if err := b.call(ctx, "Join", code); err != nil {
		return admin.Joined{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.JoinedNow, nil
}

// Invites implements ui.Swarm.
func (b *Backend) Invites(context.Context) ([]admin.Invite, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.InvitesNow), b.Errors["Invites"]
}

// RevokeInvite implements ui.Swarm.
func (b *Backend) RevokeInvite(ctx context.Context, id string) error {
	if err := b.call(ctx, "RevokeInvite", id); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.InvitesNow {
		if b.InvitesNow[i].ID == id {
			b.InvitesNow[i].State = admin.InviteRevoked
		}
	}
	return nil
}

// AddModel implements ui.Swarm: a download of the model begins.
func (b *Backend) AddModel(ctx context.Context, id core.ModelID) error {
	if err := b.call(ctx, "AddModel", id.String()); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.DownloadsNow = append(b.DownloadsNow, admin.Download{ModelID: id.String(), State: core.DownloadQueued})
	return nil
}

// Downloads implements ui.Swarm.
func (b *Backend) Downloads(context.Context) ([]admin.Download, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.DownloadsNow), b.Errors["Downloads"]
}

// CancelDownload implements ui.Swarm.
func (b *Backend) CancelDownload(ctx context.Context, id core.ModelID) error {
	if err := b.call(ctx, "CancelDownload", id.String()); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.DownloadsNow = slices.DeleteFunc(b.DownloadsNow, func(d admin.Download) bool { return d.ModelID == id.String() })
	return nil
}

// Plan implements ui.Swarm.
func (b *Backend) Plan(_ context.Context, id core.ModelID) (admin.PlanReport, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p, ok := b.PlansNow[id.String()]; ok {
		return p, nil
	}
	return admin.PlanReport{}, core.Errorf(core.CodeNotFound, "no plan for %s", id)
}
