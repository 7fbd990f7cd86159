package library

import (
	"context"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/hardware"
)

// Models lists the models in order of their ids.
func (l *Library) Models(ctx context.Context) []admin.ModelInfo {
	list := []admin.ModelInfo{}
	for _, m := range l.all() {
		list = append(list, l.info(ctx, m))
	}
	return list
}

// info describes a model.
func (l *Library) info(ctx context.Context, m *model) admin.ModelInfo {
	set := l.cfg.Settings()
	windows := m.windowCount(set)
	need := m.estimate(set)
	ram, vram := l.cfg.Hardware.Free(ctx)
	byShard, nodes := l.holders(m)
	download, fetching := l.download(m.id)
	encrypted, _, err := l.EncryptedPipeline(ctx, m.id)
	if err != nil {
		l.cfg.Log.Warn("read encrypted pipeline", "model", m.id.String(), "err", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	in := admin.ModelInfo{
		ID: m.id.String(), Name: m.name(), Architecture: m.manifest.Architecture, Quantization: m.manifest.Quantization,
		ContextLength: m.traits.context, Layers: m.manifest.Layers, TotalSizeBytes: m.manifest.Size,
		ShardCount: len(m.manifest.Shards), LoadedShards: []int{}, Windows: min(windows, len(m.manifest.Shards)),
		Status: m.status(), Mode: "full", Source: "local", Shards: m.shards(byShard), TrustLevel: admin.TrustPinned,
		PeersHosting: nodes, EncryptedPipeline: encrypted,
		HasFirstShard: m.local[0], HasLastShard: m.local[len(m.local)-1], HFSource: m.source, HasManifest: true, HasHeader: true,
		EstimatedVRAMMB: need / hardware.MiB, Fits: m.instance != nil || need <= ram+vram,
		Splittable: m.traits.refusal == "", SplitRefusal: m.traits.refusal, LastError: m.lastErr,
	}
	for _, local := range m.local {
		if local {
			in.HostedShards++
		}
	}
	in.Local = in.HostedShards > 0
	in.GlobalAvailable = !slices.ContainsFunc(in.Shards, func(s admin.ShardInfo) bool { return s.Holders == 0 })
	switch {
	case in.HostedShards == in.ShardCount:
	case in.HostedShards == 0:
		in.Mode, in.Source, in.TrustLevel = "distributed", "network", admin.TrustDiscovered
	case nodes > 0:
		in.Mode, in.Source = "distributed", "hybrid"
	default:
		in.Mode = "distributed"
	}
	if fetching {
		in.Acquisition = acquisition(download.State)
		if download.State == core.DownloadRunning && m.instance == nil {
			in.Status = admin.StatusDownloading
		}
	}
	if m.instance != nil {
		in.LoadedShards = m.instance.span.indices()
		in.CPUPlacementReason = m.instance.placement()
	}
	return in
}

// acquisition is the word of ModelInfo for a download that is not over well.
func acquisition(state string) *string {
	word := "downloading"
	switch state {
	case core.DownloadFailed:
		word = "failed"
	case core.DownloadDone:
		return nil
	}
	return &word
}

// name is what the model calls itself, or its id.
func (m *model) name() string {
	if m.manifest.Name != "" {
		return m.manifest.Name
	}
	return m.id.String()
}

// status is the status word of a ModelInfo. The mutex is held.
func (m *model) status() string {
	missing := len(m.missing(m.whole()))
	switch {
	case m.flight != nil:
		return admin.StatusLoading
	case m.instance != nil && m.instance.span != m.whole():
		return admin.StatusPartial
	case m.instance != nil && m.instance.crew == nil:
		return admin.StatusLoading
	case m.instance != nil:
		return admin.StatusLoaded
	case missing == 0:
		return admin.StatusReady
	case missing < len(m.local):
		return admin.StatusPartial
	default:
		return admin.StatusAvailable
	}
}

// shards lists the shards, with as many holders besides this node as byShard says. The mutex is held.
func (m *model) shards(byShard []int) []admin.ShardInfo {
	list := make([]admin.ShardInfo, len(m.manifest.Shards))
	for i, s := range m.manifest.Shards {
		list[i] = admin.ShardInfo{
			Index: i, LayerStart: s.Layers.First, LayerEnd: s.Layers.End, SizeBytes: s.Size, Hash: s.Hash.String(),
			Local: m.local[i], Locked: m.locked[i], Loaded: m.resident(i), Holders: byShard[i],
		}
		if m.local[i] {
			list[i].Holders++
		}
	}
	return list
}

// placement says why layers are on the CPU; "" when none is or no worker is up. The model's mutex is held.
func (in *instance) placement() string {
	if in.crew == nil {
		return ""
	}
	for _, w := range in.crew.windows {
		if why := w.Shape().Placement; why != "" {
			return why
		}
	}
	return ""
}

// estimate is the memory in bytes that the whole model takes with a usual context.
func (m *model) estimate(set config.Settings) int64 {
	tokens := set.ContextSize
	if tokens == 0 {
		tokens = 4096
		if m.traits.context > 0 {
			tokens = min(tokens, m.traits.context*set.MaxBatchSize)
		}
	}
	return m.need(engine.Spec{Context: tokens, Sequences: set.MaxBatchSize, BatchRows: batchRows}, 0, 1).Total()
}

// Storage tells what the models take of the disk.
func (l *Library) Storage(ctx context.Context) admin.ShardStorage {
	set := l.cfg.Settings()
	out := admin.ShardStorage{
		Models: []admin.ModelStorage{}, MaxDiskMB: set.MaxDiskMB,
		LocalVRAMMB: l.cfg.Hardware.Snapshot(ctx).GPUVRAMMB,
	}
	for _, m := range l.all() {
		byShard, nodes := l.holders(m)
		s := m.storage(set, byShard)
		out.PeerCount = max(out.PeerCount, nodes)
		out.Models = append(out.Models, s)
		out.TotalLocalBytes += s.LocalBytes
		out.DiskUsageBytes += s.LocalBytes + int64(s.LocalShards)*m.manifest.Reserved + m.manifest.HeaderSize
	}
	return out
}

func (m *model) storage(set config.Settings, byShard []int) admin.ModelStorage {
	need := m.estimate(set)
	m.mu.Lock()
	defer m.mu.Unlock()
	s := admin.ModelStorage{
		ID: m.id.String(), Name: m.name(), TotalSizeBytes: m.manifest.Size, ShardCount: len(m.local),
		EstimatedVRAMMB: need / hardware.MiB, Shards: m.shards(byShard), Ready: "available",
	}
	for i, local := range m.local {
		if local {
			s.LocalShards++
			s.LocalBytes += m.manifest.Shards[i].Size
		}
	}
	s.AllShardsAvailable = s.LocalShards == s.ShardCount
	switch {
	case s.AllShardsAvailable:
		s.Ready = "ready"
	case s.LocalShards > 0:
		s.Ready = "incomplete"
	}
	return s
}

// Progress tells how far an import or load of a model is. A model nobody has heard of is in state "unknown".
func (l *Library) Progress(_ context.Context, id core.ModelID) (admin.ModelProgress, error) {
	if p, ok := l.imports.progress(id); ok {
		return p, nil
	}
	m, err := l.find(id)
	if err != nil {
		return admin.ModelProgress{ModelID: id.String(), State: "unknown", Message: "This model is not on this PC."}, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p := admin.ModelProgress{ModelID: id.String(), State: m.status(), TotalBytes: m.bytes(m.whole()), TotalShards: len(m.local)}
	for i, local := range m.local {
		if local {
			p.DownloadedShards++
			p.DownloadedBytes += m.manifest.Shards[i].Size
		}
	}
	if p.TotalBytes > 0 {
		p.Progress = float64(p.DownloadedBytes) / float64(p.TotalBytes)
	}
	if m.lastErr != "" && m.instance == nil && m.flight == nil {
		p.State, p.Message = "failed", m.lastErr
	}
	return p, nil
}
