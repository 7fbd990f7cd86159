package apitest

import (
	"context"
	"math"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Resolve implements admin.Library; every model but "far" can answer.
func (n *Node) Resolve(name string) (core.ModelID, error) {
	n.calls.Add(1)
	if name == "auto" {
		name = Loaded
	}
	for _, known := range []string{Loaded, OnDisk, Crashed, Busy} {
		if name == known {
			return core.ParseModelID(name)
		}
	}
	return core.ModelID{}, core.Errorf(core.CodeNotFound, "the model %q does not exist here", name)
}

// Models implements admin.Library.
func (n *Node) Models(context.Context) ([]admin.ModelInfo, error) {
	n.calls.Add(1)
	return []admin.ModelInfo{model(OnDisk, admin.StatusReady), model(Loaded, admin.StatusLoaded), model(Crashed, admin.StatusReady), model(Busy, admin.StatusReady), model("far", admin.StatusPartial)}, nil
}

func model(id, status string) admin.ModelInfo {
	m := admin.ModelInfo{
		ID: id, Name: "Model " + id, Architecture: "llama", Quantization: "Q8_0", ContextLength: 512, Layers: 4,
		TotalSizeBytes: 4000, ShardCount: 2, HostedShards: 2, Windows: 1, Status: status, Mode: "full", Source: "local",
		Local: true, TrustLevel: admin.TrustPinned, HasManifest: true, HasHeader: true, EstimatedVRAMMB: 8, Fits: true,
		Splittable: true, GlobalAvailable: status != admin.StatusPartial,
	}
	for i := range 2 {
		m.Shards = append(m.Shards, admin.ShardInfo{Index: i, LayerStart: 2 * i, LayerEnd: 2*i + 2, SizeBytes: 2000, Hash: "00", Local: true, Holders: 1})
	}
	if status == admin.StatusLoaded {
		m.LoadedShards = []int{0, 1}
	}
	return m
}

// known refuses ids that are no model of the node, and shards it does not have.
func (n *Node) known(id core.ModelID, shard int) error {
	n.calls.Add(1)
	if id.String() != Loaded && id.String() != OnDisk {
		return core.Errorf(core.CodeNotFound, "the model %q does not exist here", id)
	}
	if shard < 0 || shard > 1 {
		return core.Errorf(core.CodeNotFound, "the model %q has no shard %d", id, shard)
	}
	return nil
}

// Metadata implements admin.Library.
func (n *Node) Metadata(_ context.Context, id core.ModelID) (out admin.Metadata, err error) {
	if err := n.known(id, 0); err != nil {
		return out, err
	}
	out.ModelID = id.String()
	out.General.Architecture = "llama"
	out.General.Quantization = "Q8_0"
	out.Raw = []admin.MetadataKV{{Key: "general.architecture", Value: "llama"}}
	if n.NotANumber {
		out.Raw[0].Value = math.NaN()
	}
	return out, nil
}

// Progress implements admin.Library.
func (n *Node) Progress(_ context.Context, id core.ModelID) (admin.ModelProgress, error) {
	if err := n.known(id, 0); err != nil {
		return admin.ModelProgress{}, err
	}
	return admin.ModelProgress{ModelID: id.String(), State: admin.StatusReady, TotalShards: 2, DownloadedShards: 2, Progress: 1}, nil
}

// Import implements admin.Library.
func (n *Node) Import(_ context.Context, _ string, windows int, progress func(core.Progress)) (admin.ModelInfo, error) {
	n.calls.Add(1)
	if windows == 13 {
		return admin.ModelInfo{}, core.Errorf(core.CodeCorrupt, "the file ends inside its header")
	}
	for i := range 3 {
		if progress != nil {
			progress(core.Progress{Done: int64(i) * 50, Total: 100, Since: time.Now()})
		}
	}
	m := model(OnDisk, admin.StatusReady)
	m.Windows = windows
	return m, nil
}

// Load implements admin.Library.
func (n *Node) Load(_ context.Context, id core.ModelID) (admin.ModelInfo, error) {
	return model(id.String(), admin.StatusLoaded), n.known(id, 0)
}

// Unload implements admin.Library.
func (n *Node) Unload(_ context.Context, id core.ModelID) (admin.ModelUnloaded, error) {
	return admin.ModelUnloaded{Status: "unloaded", ModelID: id.String(), ModelName: "Model", SegmentsRemoved: 2, EstimatedFreedMB: 8}, n.known(id, 0)
}

// LoadShard implements admin.Library.
func (n *Node) LoadShard(_ context.Context, id core.ModelID, index int) (admin.ShardLoaded, error) {
	return admin.ShardLoaded{Status: "loaded", ModelID: id.String(), ShardIndex: index, LoadedShards: []int{0, 1}}, n.known(id, index)
}

// UnloadShard implements admin.Library.
func (n *Node) UnloadShard(_ context.Context, id core.ModelID, index int) (admin.ShardUnloaded, error) {
	return admin.ShardUnloaded{Status: "unloaded", ModelID: id.String(), ShardIndex: index}, n.known(id, index)
}

// LockShard implements admin.Library.
func (n *Node) LockShard(_ context.Context, id core.ModelID, index int, locked bool) error {
	if err := n.known(id, index); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.locked == nil {
		n.locked = map[int]bool{}
	}
	n.locked[index] = locked
	return nil
}

// DeleteModel implements admin.Library.
func (n *Node) DeleteModel(_ context.Context, id core.ModelID) error { return n.known(id, 0) }

// DeleteShard implements admin.Library; a locked shard stays.
func (n *Node) DeleteShard(_ context.Context, id core.ModelID, index int) error {
	if err := n.known(id, index); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.locked[index] {
		return core.Errorf(core.CodeConflict, "shard %d is locked", index)
	}
	return nil
}

// Rescan implements admin.Library.
func (n *Node) Rescan(context.Context) (admin.Rescanned, error) {
	n.calls.Add(1)
	return admin.Rescanned{Status: "ok", ModelsUpdated: []string{OnDisk}, Count: 1}, nil
}

// Storage implements admin.Library.
func (n *Node) Storage(context.Context) (admin.ShardStorage, error) {
	n.calls.Add(1)
	return admin.ShardStorage{Models: []admin.ModelStorage{{ID: OnDisk, Name: "Model", ShardCount: 2, LocalShards: 2, Ready: "ready"}}, TotalLocalBytes: 4000}, nil
}

// Export implements admin.Library.
func (n *Node) Export(_ context.Context, id core.ModelID, _ string, progress func(core.Progress)) error {
	if err := n.known(id, 0); err != nil {
		return err
	}
	if progress != nil {
		progress(core.Progress{Done: 100, Total: 100, Since: time.Now()})
	}
	return nil
}

// Stats implements admin.Control.
func (n *Node) Stats(context.Context) (admin.Stats, error) {
	n.calls.Add(1)
	return admin.Stats{EngineState: "ready", NodeID: "node", Version: "test", State: "serving", LoadedModels: []string{Loaded}, HostedShards: 4}, nil
}

// Version implements admin.Control.
func (n *Node) Version(context.Context) (admin.Version, error) {
	n.calls.Add(1)
	return admin.Version{Version: "test", GoVersion: "go", OS: "linux", Arch: "amd64", EngineState: "ready"}, nil
}
