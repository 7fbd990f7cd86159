package main

import (
	"context"
	"encoding/json"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui"
)

// backend is a node as the screen wants it.
type backend struct {
	node api.Node
	url  func(context.Context) (string, error) // of the API; waits until it listens
}

var _ ui.Backend = (*backend)(nil)

// Stats implements ui.Backend.
func (b *backend) Stats(ctx context.Context) (admin.Stats, error) { return b.node.Stats(ctx) }

// Version implements ui.Backend.
func (b *backend) Version(ctx context.Context) (admin.Version, error) {
	return b.node.Version(ctx)
}

// Models implements ui.Backend.
func (b *backend) Models(ctx context.Context) ([]admin.ModelInfo, error) {
	return b.node.Models(ctx)
}

// Import implements ui.Backend. The node's setting decides in how many windows the model runs.
func (b *backend) Import(ctx context.Context, path string, progress func(core.Progress)) (admin.ModelInfo, error) {
	return b.node.Import(ctx, path, 0, progress)
}

// Load implements ui.Backend.
func (b *backend) Load(ctx context.Context, id core.ModelID) error {
	_, err := b.node.Load(ctx, id)
	return err
}

// Unload implements ui.Backend.
func (b *backend) Unload(ctx context.Context, id core.ModelID) error {
	_, err := b.node.Unload(ctx, id)
	return err
}

// Delete implements ui.Backend.
func (b *backend) Delete(ctx context.Context, id core.ModelID) error {
	return b.node.DeleteModel(ctx, id)
}

// Generate implements ui.Backend.
func (b *backend) Generate(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
	return b.node.Generate(ctx, req, emit)
}

// Pause implements ui.Backend.
func (b *backend) Pause(ctx context.Context) error { return b.node.Pause(ctx) }

// Resume implements ui.Backend.
func (b *backend) Resume(ctx context.Context) error { return b.node.Resume(ctx) }

// Subscribe implements ui.Backend.
func (b *backend) Subscribe(ctx context.Context) <-chan core.Event { return b.node.Subscribe(ctx, 0) }

// Peers implements ui.Swarm.
func (b *backend) Peers(ctx context.Context) ([]admin.PeerInfo, error) { return b.node.Peers(ctx) }

// NewInvite implements ui.Swarm.
func (b *backend) NewInvite(ctx context.Context) (admin.NetworkCode, error) {
	return b.node.NetworkCode(ctx, true)
}

// Join implements ui.Swarm.
func (b *backend) Join(ctx context.Context, code string) (admin.Joined, error) {
	return b.node.JoinNetwork(ctx, code)
}

// Invites implements ui.Swarm.
func (b *backend) Invites(ctx context.Context) ([]admin.Invite, error) { return b.node.Invites(ctx) }

// RevokeInvite implements ui.Swarm.
func (b *backend) RevokeInvite(ctx context.Context, id string) error {
	return b.node.RevokeInvite(ctx, id)
}

// AddModel implements ui.Swarm.
func (b *backend) AddModel(ctx context.Context, id core.ModelID) error {
	_, err := b.node.AddModel(ctx, id)
	return err
}

// Downloads implements ui.Swarm.
func (b *backend) Downloads(ctx context.Context) ([]admin.Download, error) {
	return b.node.Downloads(ctx)
}

// CancelDownload implements ui.Swarm.
func (b *backend) CancelDownload(ctx context.Context, id core.ModelID) error {
	return b.node.CancelDownload(ctx, id)
}

// Plan implements ui.Swarm.
func (b *backend) Plan(ctx context.Context, id core.ModelID) (admin.PlanReport, error) {
	return b.node.Plan(ctx, id)
}

// configView are the settings of GET /api/admin/config that the screen shows.
type configView struct {
	Contribution      string `json:"contribution"`
	ContextSize       int    `json:"context_size"`
	IdleUnloadSeconds int    `json:"idle_unload_seconds"`
}

// Settings implements ui.Backend.
func (b *backend) Settings(ctx context.Context) (ui.Settings, error) {
	raw, err := b.node.Config(ctx)
	if err != nil {
		return ui.Settings{}, err
	}
	var v configView
	if err := json.Unmarshal(raw, &v); err != nil {
		return ui.Settings{}, core.Errorf(core.CodeInternal, "read the settings: %w", err)
	}
	return ui.Settings{Contribution: v.Contribution, ContextSize: v.ContextSize, IdleUnload: v.IdleUnloadSeconds}, nil
}

// SetSettings implements ui.Backend.
func (b *backend) SetSettings(ctx context.Context, s ui.Settings) error {
	patch, err := json.Marshal(configView{s.Contribution, s.ContextSize, s.IdleUnload})
	if err != nil {
		return core.Errorf(core.CodeInternal, "write the settings: %w", err)
	}
	return b.node.SetConfig(ctx, patch)
}

// Access implements ui.Backend.
func (b *backend) Access(ctx context.Context) (ui.Access, error) {
	url, err := b.url(ctx)
	if err != nil {
		return ui.Access{}, err
	}
	return ui.Access{Address: url + "/v1", Key: b.node.APIKey()}, nil
}
