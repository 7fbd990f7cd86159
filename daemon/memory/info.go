package memory

import (
	"context"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/library"
)

// Elsewhere is what other nodes and the downloads say of a model.
type Elsewhere struct {
	ByShard  []int          // nodes besides this one that can be reached and have the shard; nil is none
	Nodes    int            // those that have any
	Download admin.Download // how far the model is that is being fetched; its State is "" if it is not
}

// Info describes a model: what is on the disk, in memory and, as the caller says, elsewhere.
func (l *Memory) Info(ctx context.Context, model *library.Model, e Elsewhere) admin.ModelInfo {
	set := l.cfg.Settings()
	m := l.of(model)
	need := m.estimate(set)
	ram, vram := l.cfg.Hardware.Free(ctx)
	encrypted, _, err := l.library.EncryptedPipeline(ctx, m.ID)
	if err != nil {
		l.cfg.Log.Warn("read encrypted pipeline", "model", m.ID.String(), "err", err)
	}
	local := m.Local()
	m.mu.Lock()
	defer m.mu.Unlock()
	alone := m.residents[aloneKey]
	in := admin.ModelInfo{
		ID: m.ID.String(), Name: m.Name(), Architecture: m.Manifest.Architecture, Quantization: m.Manifest.Quantization,
		ContextLength: m.Traits.Context, Layers: m.Manifest.Layers, TotalSizeBytes: m.Manifest.Size,
		ShardCount: len(m.Manifest.Shards), LoadedShards: []int{}, Windows: min(m.WindowCount(set), len(m.Manifest.Shards)),
		Status: m.status(local), Mode: "full", Source: "local", Shards: m.shards(e), TrustLevel: admin.TrustPinned,
		PeersHosting: e.Nodes, EncryptedPipeline: encrypted, HFSource: m.Source(), HasManifest: true, HasHeader: true,
		HasFirstShard: local[0], HasLastShard: local[len(local)-1],
		EstimatedVRAMMB: need / hardware.MiB, Fits: alone != nil || need <= ram+vram,
		Splittable: m.Traits.Refusal == "", SplitRefusal: m.Traits.Refusal, LastError: m.lastErr,
	}
	m.tellPlace(&in, e)
	if alone != nil {
		in.LoadedShards = alone.span.Indices()
		in.CPUPlacementReason = alone.placement()
	}
	return in
}

// tellPlace says where the shards of a model are. The mutex is held.
func (m *residence) tellPlace(in *admin.ModelInfo, e Elsewhere) {
	for _, s := range in.Shards {
		if s.Local {
			in.HostedShards++
		}
	}
	in.Local = in.HostedShards > 0
	in.GlobalAvailable = !slices.ContainsFunc(in.Shards, func(s admin.ShardInfo) bool { return s.Holders == 0 })
	switch {
	case in.HostedShards == in.ShardCount:
	case in.HostedShards == 0:
		in.Mode, in.Source, in.TrustLevel = "distributed", "network", admin.TrustDiscovered
	case e.Nodes > 0:
		in.Mode, in.Source = "distributed", "hybrid"
	default:
		in.Mode = "distributed"
	}
	if e.Download.State != "" {
		in.Acquisition = acquisition(e.Download.State)
		if e.Download.State == core.DownloadRunning && m.residents[aloneKey] == nil {
			in.Status = admin.StatusDownloading
		}
	}
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

// status is the status word of a ModelInfo; local tells which shards are on the disk. The mutex is held.
func (m *residence) status(local []bool) string {
	missing, alone := 0, m.residents[aloneKey]
	for _, here := range local {
		if !here {
			missing++
		}
	}
	switch {
	case m.load != nil:
		return admin.StatusLoading
	case alone != nil && alone.span != m.Whole():
		return admin.StatusPartial
	case alone != nil && alone.workers == nil:
		return admin.StatusLoading
	case alone != nil:
		return admin.StatusLoaded
	case missing == 0:
		return admin.StatusReady
	case missing < len(local):
		return admin.StatusPartial
	default:
		return admin.StatusAvailable
	}
}

// shards lists the shards. The mutex is held.
func (m *residence) shards(e Elsewhere) []admin.ShardInfo {
	list := m.Shards()
	for i := range list {
		list[i].Loaded = m.resident(i)
		if e.ByShard != nil {
			list[i].Holders = e.ByShard[i]
		}
		if list[i].Local {
			list[i].Holders++
		}
	}
	return list
}

// placement says why layers are on the CPU; "" when none is or no worker is up. The model's mutex is held.
func (r *resident) placement() string {
	if r.workers == nil {
		return ""
	}
	for _, w := range r.workers.windows {
		if why := w.Shape().Placement; why != "" {
			return why
		}
	}
	return ""
}

// estimate is the memory in bytes that the whole model takes with a usual context.
func (m *residence) estimate(set config.Settings) int64 {
	tokens := set.ContextSize
	if tokens == 0 {
		tokens = 4096
		if m.Traits.Context > 0 {
			tokens = min(tokens, m.Traits.Context*set.MaxBatchSize)
		}
	}
	return m.need(engine.Spec{Context: tokens, Sequences: set.MaxBatchSize, BatchRows: batchRows}, 0, 1).Total()
}

// Storage tells what a model takes of the disk.
func (l *Memory) Storage(model *library.Model, e Elsewhere) admin.ModelStorage {
	m := l.of(model)
	need := m.estimate(l.cfg.Settings())
	m.mu.Lock()
	defer m.mu.Unlock()
	s := admin.ModelStorage{
		ID: m.ID.String(), Name: m.Name(), TotalSizeBytes: m.Manifest.Size, ShardCount: len(m.Manifest.Shards),
		EstimatedVRAMMB: need / hardware.MiB, Shards: m.shards(e), Ready: "available",
	}
	for _, sh := range s.Shards {
		if sh.Local {
			s.LocalShards++
			s.LocalBytes += sh.SizeBytes
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

// Progress tells how far the import or load of a model is. A model nobody has heard of is in state "unknown".
func (l *Memory) Progress(id core.ModelID) admin.ModelProgress {
	if p, ok := l.library.Importing(id); ok {
		return p
	}
	m, err := l.find(id)
	if core.CodeOf(err) == core.CodeCorrupt {
		return admin.ModelProgress{ModelID: id.String(), State: admin.StatusDamaged, Message: err.Error()}
	}
	if err != nil {
		return admin.ModelProgress{ModelID: id.String(), State: "unknown", Message: "This model is not on this PC."}
	}
	local := m.Local()
	m.mu.Lock()
	defer m.mu.Unlock()
	p := admin.ModelProgress{ModelID: id.String(), State: m.status(local), TotalBytes: m.Bytes(m.Whole()), TotalShards: len(local)}
	for i, here := range local {
		if here {
			p.DownloadedShards++
			p.DownloadedBytes += m.Manifest.Shards[i].Size
		}
	}
	if p.TotalBytes > 0 {
		p.Progress = float64(p.DownloadedBytes) / float64(p.TotalBytes)
	}
	if m.lastErr != "" && m.residents[aloneKey] == nil && m.load == nil {
		p.State, p.Message = "failed", m.lastErr
	}
	return p
}

// Recut ends a model in memory that has another number of windows than it is to have from now on; 0 is no change.
func (l *Memory) Recut(ctx context.Context, id core.ModelID, windows int) error {
	m, err := l.find(id)
	if err != nil {
		return err
	}
	if in := m.alone(); in != nil && windows > 0 && len(in.place.spans) != min(windows, in.span.Len()) {
		_, err = l.Unload(ctx, id)
	}
	return err
}
