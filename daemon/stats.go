package daemon

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
)

// Stats implements api.Node.
func (n *Node) Stats(ctx context.Context) admin.Stats {
	inference := n.router.Stats()
	s := admin.Stats{
		NodeID: n.identity.NodeID(), Version: n.cfg.Version, UptimeSeconds: int64(time.Since(n.started).Seconds()),
		RequestsServed: inference.TotalRequests, ActiveRequests: n.router.Active(), LoadedModels: []string{},
		Hardware: n.hardware.Snapshot(ctx), Inference: inference, EngineState: n.runtime.Status().State,
	}
	for _, p := range n.network.swarm.Peers() {
		if p.Connection != "none" {
			s.Peers++
		}
	}
	for _, m := range n.Models(ctx) {
		s.HostedShards += m.HostedShards
		if m.Status == admin.StatusLoaded {
			s.LoadedModels = append(s.LoadedModels, m.ID)
		}
	}
	switch {
	case n.Paused():
		s.State = "paused"
	case s.ActiveRequests > 0:
		s.State = "serving"
	default:
		s.State = "idle"
	}
	return s
}
