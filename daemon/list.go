package daemon

import (
	"context"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/memory"
)

// Models implements api.Library.
func (n *Node) Models(ctx context.Context) []admin.ModelInfo {
	list := []admin.ModelInfo{}
	for _, m := range n.Library.All() {
		list = append(list, n.Memory.Info(ctx, m, n.elsewhere(m)))
	}
	for _, d := range n.Library.Damaged() {
		list = append(list, admin.ModelInfo{
			ID: d.ID.String(), Name: d.ID.String(), Status: admin.StatusDamaged, Mode: "full", Source: "local", Local: true,
			LoadedShards: []int{}, Shards: []admin.ShardInfo{}, TrustLevel: admin.TrustPinned, LastError: d.Reason,
		})
	}
	return list
}

// info describes one model.
func (n *Node) info(ctx context.Context, id core.ModelID) (admin.ModelInfo, error) {
	m, err := n.Library.Find(id)
	if err != nil {
		return admin.ModelInfo{}, err
	}
	return n.Memory.Info(ctx, m, n.elsewhere(m)), nil
}

// elsewhere is what others and the downloads say of a model.
func (n *Node) elsewhere(m *library.Model) memory.Elsewhere {
	e := memory.Elsewhere{}
	e.ByShard, e.Nodes = n.catalog.Holders(m.ID, m.Digest, len(m.Manifest.Shards))
	e.Download, _ = n.download(m.ID)
	return e
}

// Import implements api.Library.
func (n *Node) Import(ctx context.Context, path string, windows int, progress func(core.Progress)) (admin.ModelInfo, error) {
	id, err := n.Library.Import(ctx, path, windows, progress)
	if err != nil {
		return admin.ModelInfo{}, err
	}
	if err := n.Memory.Recut(ctx, id, windows); err != nil {
		return admin.ModelInfo{}, err
	}
	return n.info(ctx, id)
}

// Load implements api.Library.
func (n *Node) Load(ctx context.Context, id core.ModelID) (admin.ModelInfo, error) {
	if err := n.Memory.Load(ctx, id); err != nil {
		return admin.ModelInfo{}, err
	}
	return n.info(ctx, id)
}

// Storage implements api.Library.
func (n *Node) Storage(ctx context.Context) admin.ShardStorage {
	out := admin.ShardStorage{
		Models: []admin.ModelStorage{}, MaxDiskMB: n.settings.Get().MaxDiskMB,
		LocalVRAMMB: n.hardware.Snapshot(ctx).GPUVRAMMB, DiskUsageBytes: n.Library.Usage(),
	}
	for _, m := range n.Library.All() {
		e := n.elsewhere(m)
		s := n.Memory.Storage(m, e)
		out.PeerCount = max(out.PeerCount, e.Nodes)
		out.Models = append(out.Models, s)
		out.TotalLocalBytes += s.LocalBytes
	}
	return out
}
