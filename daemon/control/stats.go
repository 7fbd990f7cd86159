package control

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/access"
	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Stats implements admin.Control.
func (n *Node) Stats(ctx context.Context) (admin.Stats, error) { return n.stats(ctx), nil }

func (n *Node) stats(ctx context.Context) admin.Stats {
	inference := n.p.Router.Stats()
	running, waiting := n.p.Router.Requests()
	s := admin.Stats{
		NodeID: n.p.NodeID, Version: n.p.Version, UptimeSeconds: int64(time.Since(n.p.Started).Seconds()),
		RequestsServed: inference.TotalRequests, ActiveRequests: running, WaitingRequests: waiting, LoadedModels: []string{}, Warnings: []string{},
		Hardware: n.p.Hardware.Snapshot(ctx), Inference: inference, EngineState: n.p.Runtime.Status().State,
	}
	if warning := access.Exposed(n.p.Settings.Get().Listen); warning != "" && !n.p.NoAPI {
		s.Warnings = append(s.Warnings, warning)
	}
	for _, p := range n.p.Swarm.Peers() {
		if p.Connection != "none" {
			s.Peers++
		}
	}
	for _, m := range n.library.models(ctx) {
		s.HostedShards += m.HostedShards
		if m.Status == admin.StatusLoaded {
			s.LoadedModels = append(s.LoadedModels, m.ID)
		}
	}
	switch {
	case n.p.Memory.Paused():
		s.State = "paused"
	case s.ActiveRequests > 0:
		s.State = "serving"
	default:
		s.State = "idle"
	}
	return s
}

// statsEvery is how often the state is sent to those who watch.
const statsEvery = 2 * time.Second

// Run publishes the state while somebody watches, until ctx ends.
func (n *Node) Run(ctx context.Context) error {
	for {
		count, changed := n.p.Events.Watched()
		if count == 0 {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		n.p.Events.Publish(core.EventStats, n.stats(ctx))
		select {
		case <-time.After(statsEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

// Publish sends the state to those who watch.
func (n *Node) Publish(ctx context.Context) { n.p.Events.Publish(core.EventStats, n.stats(ctx)) }
