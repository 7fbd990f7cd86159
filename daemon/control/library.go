package control

import (
	"context"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/memory"
)

// Models implements admin.Library.
func (n *Library) Models(ctx context.Context) ([]admin.ModelInfo, error) {
	return n.models(ctx), nil
}

func (n *Library) models(ctx context.Context) []admin.ModelInfo {
	list := []admin.ModelInfo{}
	for _, m := range n.p.Library.All() {
		list = append(list, n.p.Memory.Info(ctx, m, n.elsewhere(m)))
	}
	for _, d := range n.p.Library.Damaged() {
		list = append(list, admin.ModelInfo{
			ID: d.ID.String(), Name: d.ID.String(), Status: admin.StatusDamaged, Mode: "full", Source: "local", Local: true,
			LoadedShards: []int{}, Shards: []admin.ShardInfo{}, TrustLevel: admin.TrustPinned, LastError: d.Reason,
		})
	}
	return list
}

// info describes one model.
func (n *Library) info(ctx context.Context, id core.ModelID) (admin.ModelInfo, error) {
	m, err := n.p.Library.Find(id)
	if err != nil {
		return admin.ModelInfo{}, err
	}
	return n.p.Memory.Info(ctx, m, n.elsewhere(m)), nil
}

// elsewhere is what others and the downloads say of a model.
func (n *Library) elsewhere(m *library.Model) memory.Elsewhere {
	e := memory.Elsewhere{}
	e.ByShard, e.Nodes = n.p.Catalog.Holders(m.ID, m.Digest, len(m.Manifest.Shards))
	e.Download, _ = n.download(m.ID)
	return e
}

// Import implements admin.Library.
func (n *Library) Import(ctx context.Context, path string, windows int, progress func(core.Progress)) (admin.ModelInfo, error) {
	id, err := n.p.Library.Import(ctx, path, windows, progress)
	if err != nil {
		return admin.ModelInfo{}, err
	}
	if err := n.p.Memory.Recut(ctx, id, windows); err != nil { // it is imported all the same
		n.p.Log.Warn("end a model that is to run in another number of windows", "model", id.String(), "err", err)
	}
	return n.info(ctx, id)
}

// Load implements admin.Library.
func (n *Library) Load(ctx context.Context, id core.ModelID) (admin.ModelInfo, error) {
	if err := n.p.Memory.Load(ctx, id); err != nil {
		return admin.ModelInfo{}, err
	}
	return n.info(ctx, id)
}

// Storage implements admin.Library.
func (n *Library) Storage(ctx context.Context) (admin.ShardStorage, error) {
	out := admin.ShardStorage{
		Models: []admin.ModelStorage{}, MaxDiskMB: n.p.Settings.Get().MaxDiskMB,
		LocalVRAMMB: n.p.Hardware.Snapshot(ctx).GPUVRAMMB, DiskUsageBytes: n.p.Library.Usage(),
	}
	for _, m := range n.p.Library.All() {
		e := n.elsewhere(m)
		s := n.p.Memory.Storage(m, e)
		out.PeerCount = max(out.PeerCount, e.Nodes)
		out.Models = append(out.Models, s)
		out.TotalLocalBytes += s.LocalBytes
	}
	return out, nil
}

// Unload implements admin.Library.
func (n *Library) Unload(ctx context.Context, id core.ModelID) (admin.ModelUnloaded, error) {
	n.p.Router.CloseIdle(id)
	return n.p.Memory.Unload(ctx, id)
}

// DeleteShard implements admin.Library.
func (n *Library) DeleteShard(ctx context.Context, id core.ModelID, index int) error {
	n.p.Router.CloseIdle(id)
	return n.p.Library.DeleteShard(ctx, id, index)
}

// DeleteModel implements admin.Library. A model that others hold is not listed again until the user adds it.
func (n *Library) DeleteModel(ctx context.Context, id core.ModelID) error {
	n.p.Router.Close(id)
	if err := n.p.Downloads.Cancel(ctx, id); err != nil && core.CodeOf(err) != core.CodeNotFound {
		return err
	}
	if err := n.p.Catalog.Hide(ctx, id); err != nil {
		return err
	}
	return n.p.Library.DeleteModel(ctx, id)
}

// Progress implements admin.Library. While shards are fetched it is of them.
func (n *Library) Progress(ctx context.Context, id core.ModelID) (admin.ModelProgress, error) {
	if d, ok := n.download(id); ok && (d.State == core.DownloadRunning || d.State == core.DownloadQueued) {
		if p, ok := n.p.Downloads.Progress(id); ok {
			return p, nil
		}
	}
	return n.p.Memory.Progress(id), nil
}

// Resolve implements admin.Library.
func (n *Library) Resolve(name string) (core.ModelID, error) { return n.p.Router.Resolve(name) }

// Metadata implements admin.Library.
func (n *Library) Metadata(ctx context.Context, id core.ModelID) (admin.Metadata, error) {
	return n.p.Library.Metadata(ctx, id)
}

// LoadShard implements admin.Library.
func (n *Library) LoadShard(ctx context.Context, id core.ModelID, index int) (admin.ShardLoaded, error) {
	return n.p.Memory.LoadShard(ctx, id, index)
}

// UnloadShard implements admin.Library.
func (n *Library) UnloadShard(ctx context.Context, id core.ModelID, index int) (admin.ShardUnloaded, error) {
	return n.p.Memory.UnloadShard(ctx, id, index)
}

// LockShard implements admin.Library.
func (n *Library) LockShard(ctx context.Context, id core.ModelID, index int, locked bool) error {
	return n.p.Library.LockShard(ctx, id, index, locked)
}

// Rescan implements admin.Library.
func (n *Library) Rescan(ctx context.Context) (admin.Rescanned, error) {
	return n.p.Library.Rescan(ctx)
}

// Export implements admin.Library.
func (n *Library) Export(ctx context.Context, id core.ModelID, path string, progress func(core.Progress)) error {
	return n.p.Library.Export(ctx, id, path, progress)
}

// download is how far a model is that is being fetched.
func (n *Library) download(id core.ModelID) (admin.Download, bool) {
	for _, d := range n.p.Downloads.List() {
		if d.ModelID == id.String() {
			return d, true
		}
	}
	return admin.Download{}, false
}
