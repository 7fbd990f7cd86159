package daemon

import (
	"context"
	stdruntime "runtime"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/runtime"
)

// Version implements api.Node.
func (n *Node) Version(context.Context) admin.Version {
	v := admin.Version{Version: n.cfg.Version, Commit: n.cfg.Commit, GoVersion: stdruntime.Version(), OS: stdruntime.GOOS, Arch: stdruntime.GOARCH}
	v.EngineState = n.runtime.Status().State
	if version := n.runtime.Version(); version != "" {
		v.Engine = "llama.cpp " + version
	}
	return v
}

// APIKey implements api.Node.
func (n *Node) APIKey() string { return n.key.Reveal() }

// Ready implements api.Node. A node is ready when it can answer a prompt, if need be after loading a model.
func (n *Node) Ready(ctx context.Context) (bool, map[string]string) {
	parts := map[string]string{"api": "ok", "store": "ok", "runtime": "ok", "models": "ok"}
	if err := n.store.Ping(ctx); err != nil {
		parts["store"] = "the database does not answer"
	}
	switch engine := n.runtime.Status(); engine.State {
	case runtime.Searching:
		parts["runtime"] = "being looked for"
	case runtime.Missing:
		parts["runtime"] = engine.Err.Error()
	}
	if _, err := n.Resolve("auto"); err != nil {
		parts["models"] = err.Error()
	}
	if n.Paused() {
		parts["models"] = "the node is paused"
	}
	for _, state := range parts {
		if state != "ok" {
			return false, parts
		}
	}
	return true, parts
}

// Config implements api.Node.
func (n *Node) Config(context.Context) any { return n.settings.View() }

// SetConfig implements api.Node.
func (n *Node) SetConfig(_ context.Context, patch []byte) error {
	change, err := n.settings.Patch(patch)
	if err != nil {
		return err
	}
	n.log.Info("settings changed", "applied", change.Applied, "restart", change.Restart)
	return nil
}

// ReloadConfig implements api.Node.
func (n *Node) ReloadConfig(context.Context) (applied, restart []string, err error) {
	change, err := n.settings.Reload()
	return change.Applied, change.Restart, err
}

// Pause implements api.Node.
func (n *Node) Pause(ctx context.Context) error {
	n.presence.Pause(ctx) // first, so that others plan without this node
	n.router.Changed()
	n.router.CloseAll()
	err := n.Memory.Pause(ctx)
	n.events.Publish(core.EventStats, n.Stats(ctx))
	return err
}

// Resume implements api.Node.
func (n *Node) Resume(ctx context.Context) error {
	n.Memory.Resume()
	n.presence.Resume()
	n.router.Changed()
	n.events.Publish(core.EventStats, n.Stats(ctx))
	return nil
}

// Shutdown implements api.Node.
func (n *Node) Shutdown() { n.quitOnce.Do(func() { close(n.quit) }) }

// Subscribe implements api.Node.
func (n *Node) Subscribe(ctx context.Context, since uint64) <-chan core.Event {
	return n.events.Subscribe(ctx, since)
}
