package control

import (
	"context"
	"encoding/json"
	stdruntime "runtime"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/access"
	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/runtime"
)

// Version implements admin.Node.
func (n *Node) Version(context.Context) (admin.Version, error) {
	v := admin.Version{Version: n.p.Version, Commit: n.p.Commit, GoVersion: stdruntime.Version(), OS: stdruntime.GOOS, Arch: stdruntime.GOARCH}
	v.EngineState = n.p.Runtime.Status().State
	if version := n.p.Runtime.Version(); version != "" {
		v.Engine = "llama.cpp " + version
	}
	return v, nil
}

// APIKey implements admin.Node.
func (n *Node) APIKey() string { return n.p.Key.Reveal() }

// Ready implements admin.Node. A node is ready when it can answer a prompt, if need be after loading a model.
func (n *Node) Ready(ctx context.Context) (bool, map[string]string) {
	parts := map[string]string{"api": "ok", "store": "ok", "runtime": "ok", "models": "ok"}
	if err := n.p.Store.Ping(ctx); err != nil {
		parts["store"] = "the database does not answer"
	}
	switch engine := n.p.Runtime.Status(); engine.State {
	case runtime.Searching:
		parts["runtime"] = "being looked for"
	case runtime.Missing:
		parts["runtime"] = engine.Err.Error()
	}
	if _, err := n.p.Router.Resolve("auto"); err != nil {
		parts["models"] = err.Error()
	}
	if n.p.Memory.Paused() {
		parts["models"] = "the node is paused"
	}
	for _, state := range parts {
		if state != "ok" {
			return false, parts
		}
	}
	return true, parts
}

// Config implements admin.Node.
func (n *Node) Config(context.Context) (json.RawMessage, error) {
	text, err := json.Marshal(n.p.Settings.View())
	if err != nil {
		return nil, core.Errorf(core.CodeInternal, "write the settings: %w", err)
	}
	return text, nil
}

// SetConfig implements admin.Node.
func (n *Node) SetConfig(_ context.Context, patch json.RawMessage) error {
	change, err := n.p.Settings.Patch(patch)
	if err != nil {
		return err
	}
	n.p.Log.Info("settings changed", "applied", change.Applied, "restart", change.Restart)
	if listen := n.p.Settings.Get().Listen; access.Open(listen) && (slices.Contains(change.Applied, "listen") || slices.Contains(change.Restart, "listen")) {
		n.p.Log.Warn("the API will be reachable from other machines, without encryption", "listen", listen)
	}
	return nil
}

// ReloadConfig implements admin.Node.
func (n *Node) ReloadConfig(context.Context) (admin.ConfigReloaded, error) {
	change, err := n.p.Settings.Reload()
	return admin.ConfigReloaded{
		Status: "ok", Changed: len(change.Applied) + len(change.Restart), Applied: change.Applied, RestartRequired: change.Restart,
	}, err
}

// Pause implements admin.Node.
func (n *Node) Pause(ctx context.Context) error {
	n.p.Presence.Pause(ctx) // first, so that others plan without this node
	n.p.Router.Changed()
	n.p.Router.CloseAll()
	err := n.p.Memory.Pause(ctx)
	n.p.Events.Publish(core.EventStats, n.stats(ctx))
	return err
}

// Resume implements admin.Node.
func (n *Node) Resume(ctx context.Context) error {
	n.p.Memory.Resume()
	n.p.Presence.Resume()
	n.p.Router.Changed()
	n.p.Events.Publish(core.EventStats, n.stats(ctx))
	return nil
}

// Shutdown implements admin.Node.
func (n *Node) Shutdown(context.Context) error {
	n.p.Quit()
	return nil
}

// Subscribe implements admin.Node.
func (n *Node) Subscribe(ctx context.Context, since uint64) <-chan core.Event {
	return n.p.Events.Subscribe(ctx, since)
}
