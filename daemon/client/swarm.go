package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Peers implements admin.Swarm.
func (c *Client) Peers(ctx context.Context) ([]admin.PeerInfo, error) {
	return get[[]admin.PeerInfo](ctx, c, "/api/admin/peers")
}

// NetworkMap implements admin.Swarm.
func (c *Client) NetworkMap(ctx context.Context) (admin.NetworkMap, error) {
	return get[admin.NetworkMap](ctx, c, "/api/admin/network-map")
}

// NetworkCode implements admin.Swarm.
func (c *Client) NetworkCode(ctx context.Context, fresh bool) (out admin.NetworkCode, err error) {
	path := "/api/admin/network-code"
	if fresh {
		path += "?new=true"
	}
	err = c.call(ctx, http.MethodGet, path, nil, &out)
	return out, err
}

// JoinNetwork implements admin.Swarm.
func (c *Client) JoinNetwork(ctx context.Context, code string) (out admin.Joined, err error) {
	err = c.call(ctx, http.MethodPost, "/api/admin/join-network", map[string]string{"code": code}, &out)
	return out, err
}

// Invites implements admin.Swarm.
func (c *Client) Invites(ctx context.Context) (out []admin.Invite, err error) {
	err = c.call(ctx, http.MethodGet, "/api/admin/invites", nil, &out)
	return out, err
}

// Members implements admin.Swarm.
func (c *Client) Members(ctx context.Context) ([]admin.Member, error) {
	return get[[]admin.Member](ctx, c, "/api/admin/members")
}

// PutOut implements admin.Swarm.
func (c *Client) PutOut(ctx context.Context, id core.PeerID) error {
	return c.call(ctx, http.MethodDelete, "/api/admin/members/"+url.PathEscape(id.String()), nil, nil)
}

// Delegate implements admin.Swarm.
func (c *Client) Delegate(ctx context.Context, id core.PeerID) error {
	return c.call(ctx, http.MethodPost, "/api/admin/members/"+url.PathEscape(id.String())+"/delegate", nil, nil)
}

// LeaveSwarm implements admin.Swarm.
func (c *Client) LeaveSwarm(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/api/admin/swarm/leave", nil, nil)
}

// RevokeInvite implements admin.Swarm.
func (c *Client) RevokeInvite(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/api/admin/invites/"+url.PathEscape(id), nil, nil)
}

// AddModel implements admin.Swarm.
func (c *Client) AddModel(ctx context.Context, id core.ModelID) (out admin.Acquiring, err error) {
	err = c.call(ctx, http.MethodPost, modelPath(id, "/add"), nil, &out)
	return out, err
}

// DownloadShard implements admin.Swarm.
func (c *Client) DownloadShard(ctx context.Context, id core.ModelID, index int) (out admin.ShardDownload, err error) {
	err = c.call(ctx, http.MethodPost, shardPath(id, index, "/download"), nil, &out)
	return out, err
}

// Downloads implements admin.Swarm.
func (c *Client) Downloads(ctx context.Context) ([]admin.Download, error) {
	return get[[]admin.Download](ctx, c, "/api/admin/downloads")
}

// CancelDownload implements admin.Swarm.
func (c *Client) CancelDownload(ctx context.Context, id core.ModelID) error {
	return c.call(ctx, http.MethodPost, "/api/admin/downloads/"+id.String()+"/cancel", nil, nil)
}

// EncryptedPipeline implements admin.Swarm.
func (c *Client) EncryptedPipeline(ctx context.Context, id core.ModelID) (out admin.EncryptedPipeline, err error) {
	err = c.call(ctx, http.MethodGet, modelPath(id, "/encrypted-pipeline"), nil, &out)
	return out, err
}

// SetEncryptedPipeline implements admin.Swarm.
func (c *Client) SetEncryptedPipeline(ctx context.Context, id core.ModelID, enabled bool) (out admin.EncryptedPipeline, err error) {
	err = c.call(ctx, http.MethodPut, modelPath(id, "/encrypted-pipeline"), map[string]bool{"enabled": enabled}, &out)
	return out, err
}

// Plan implements admin.Swarm.
func (c *Client) Plan(ctx context.Context, id core.ModelID) (out admin.PlanReport, err error) {
	err = c.call(ctx, http.MethodGet, "/api/admin/plan/"+id.String(), nil, &out)
	return out, err
}
