package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// get reads path.
func get[T any](ctx context.Context, c *Client, path string) (out T, err error) {
	err = c.call(ctx, http.MethodGet, path, nil, &out)
	return out, err
}

func modelPath(id core.ModelID, rest string) string { return "/api/admin/models/" + id.String() + rest }

func shardPath(id core.ModelID, index int, rest string) string {
	return modelPath(id, fmt.Sprintf("/shards/%d%s", index, rest))
}

// Resolve implements admin.Library.
func (c *Client) Resolve(name string) (core.ModelID, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var out struct {
		ID core.ModelID `json:"id"`
	}
	err := c.call(ctx, http.MethodGet, "/v1/models/"+url.PathEscape(name), nil, &out)
	return out.ID, err
}

// Models implements admin.Library.
func (c *Client) Models(ctx context.Context) ([]admin.ModelInfo, error) {
	return get[[]admin.ModelInfo](ctx, c, "/api/admin/models")
}

// Metadata implements admin.Library.
func (c *Client) Metadata(ctx context.Context, id core.ModelID) (out admin.Metadata, err error) {
	err = c.call(ctx, http.MethodGet, modelPath(id, "/metadata"), nil, &out)
	return out, err
}

// Progress implements admin.Library.
func (c *Client) Progress(ctx context.Context, id core.ModelID) (out admin.ModelProgress, err error) {
	err = c.call(ctx, http.MethodGet, modelPath(id, "/status"), nil, &out)
	return out, err
}

// Load implements admin.Library.
func (c *Client) Load(ctx context.Context, id core.ModelID) (admin.ModelInfo, error) {
	if err := c.call(ctx, http.MethodPost, modelPath(id, "/load"), nil, nil); err != nil {
		return admin.ModelInfo{}, err
	}
	var all []admin.ModelInfo
	if err := c.call(ctx, http.MethodGet, "/api/admin/models", nil, &all); err != nil {
		return admin.ModelInfo{}, err
	}
	for _, m := range all {
		if m.ID == id.String() {
			return m, nil
		}
	}
	return admin.ModelInfo{}, core.Errorf(core.CodeNotFound, "the model %s was removed meanwhile", id)
}

// Unload implements admin.Library.
func (c *Client) Unload(ctx context.Context, id core.ModelID) (out admin.ModelUnloaded, err error) {
	err = c.call(ctx, http.MethodPost, modelPath(id, "/unload"), nil, &out)
	return out, err
}

// LoadShard implements admin.Library.
func (c *Client) LoadShard(ctx context.Context, id core.ModelID, index int) (out admin.ShardLoaded, err error) {
	err = c.call(ctx, http.MethodPost, shardPath(id, index, "/load"), nil, &out)
	return out, err
}

// UnloadShard implements admin.Library.
func (c *Client) UnloadShard(ctx context.Context, id core.ModelID, index int) (out admin.ShardUnloaded, err error) {
	err = c.call(ctx, http.MethodPost, shardPath(id, index, "/unload"), nil, &out)
	return out, err
}

// LockShard implements admin.Library.
func (c *Client) LockShard(ctx context.Context, id core.ModelID, index int, locked bool) error {
	return c.call(ctx, http.MethodPut, shardPath(id, index, "/lock"), map[string]bool{"locked": locked}, nil)
}

// DeleteModel implements admin.Library.
func (c *Client) DeleteModel(ctx context.Context, id core.ModelID) error {
	return c.call(ctx, http.MethodDelete, modelPath(id, ""), nil, nil)
}

// DeleteShard implements admin.Library.
func (c *Client) DeleteShard(ctx context.Context, id core.ModelID, index int) error {
	return c.call(ctx, http.MethodDelete, shardPath(id, index, ""), nil, nil)
}

// Rescan implements admin.Library.
func (c *Client) Rescan(ctx context.Context) (out admin.Rescanned, err error) {
	err = c.call(ctx, http.MethodPost, "/api/admin/rescan-shards", nil, &out)
	return out, err
}

// Storage implements admin.Library.
func (c *Client) Storage(ctx context.Context) (admin.ShardStorage, error) {
	return get[admin.ShardStorage](ctx, c, "/api/admin/shard-storage")
}

// Stats implements admin.Control.
func (c *Client) Stats(ctx context.Context) (admin.Stats, error) {
	return get[admin.Stats](ctx, c, "/api/admin/stats")
}

// Version implements admin.Control.
func (c *Client) Version(ctx context.Context) (admin.Version, error) {
	return get[admin.Version](ctx, c, "/api/admin/version")
}

// APIKey implements admin.Control: the key the client was made with.
func (c *Client) APIKey() string { return c.cfg.Key }

// Ready implements admin.Control. A node that cannot be reached is not ready.
func (c *Client) Ready(ctx context.Context) (bool, map[string]string) {
	response, err := c.send(ctx, http.MethodGet, "/health/ready", nil, "application/json")
	if err != nil {
		return false, map[string]string{"api": err.Error()}
	}
	defer response.Body.Close()
	var out struct {
		Ready      bool              `json:"ready"`
		Subsystems map[string]string `json:"subsystems"`
	}
	if err := decode(response.Body, &out); err != nil {
		return false, map[string]string{"api": err.Error()}
	}
	return out.Ready, out.Subsystems
}

// Config implements admin.Settings.
func (c *Client) Config(ctx context.Context) (json.RawMessage, error) {
	return get[json.RawMessage](ctx, c, "/api/admin/config")
}

// SetConfig implements admin.Control.
func (c *Client) SetConfig(ctx context.Context, patch json.RawMessage) error {
	return c.call(ctx, http.MethodPut, "/api/admin/config", patch, nil)
}

// ReloadConfig implements admin.Control.
func (c *Client) ReloadConfig(ctx context.Context) (out admin.ConfigReloaded, err error) {
	err = c.call(ctx, http.MethodPost, "/api/admin/config/reload", nil, &out)
	return out, err
}

// Pause implements admin.Control.
func (c *Client) Pause(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/api/admin/pause", nil, nil)
}

// Resume implements admin.Control.
func (c *Client) Resume(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/api/admin/resume", nil, nil)
}

// Shutdown implements admin.Control.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/api/admin/shutdown", nil, nil)
}
