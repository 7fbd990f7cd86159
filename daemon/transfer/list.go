package transfer

import (
	"cmp"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/store"
)

// sourcePeers is how the admin API names peers as a source.
const sourcePeers = "p2p"

// List is the queue, oldest first.
func (m *Manager) List() []admin.Download {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []admin.Download{}
	for _, t := range m.ordered() {
		list = append(list, t.download(time.Now()))
	}
	return list
}

// download describes a task. The Manager's mutex is held.
func (t *task) download(now time.Time) admin.Download {
	d := admin.Download{ModelID: t.id.String(), Source: sourcePeers, Shards: []admin.ShardProgress{}}
	parts := map[int]*part{}
	if f := t.fetch; f != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, p := range f.parts {
			parts[p.index] = p
		}
	}
	states := map[string]bool{}
	for _, row := range t.rows {
		d.Error = cmp.Or(d.Error, row.Error)
		state := row.State
		if row.Shard == store.AllShards {
			states[state] = true
			continue
		}
		s := admin.ShardProgress{Index: row.Shard, State: state, DownloadedBytes: row.Bytes, TotalBytes: row.Size, Source: sourcePeers, Peers: []string{}}
		if p := parts[row.Shard]; p != nil && !p.finished {
			s.DownloadedBytes, s.SpeedBytesPerSec = p.bytes, int64(p.speed.perSecond(now))
			for peer := range p.peers {
				s.Peers = append(s.Peers, peer.String())
			}
			slices.Sort(s.Peers)
			if len(s.Peers) > 0 {
				s.State = core.DownloadRunning
			}
		}
		states[s.State] = true
		d.DownloadedBytes += s.DownloadedBytes
		d.TotalBytes += s.TotalBytes
		d.SpeedBytesPerSec += s.SpeedBytesPerSec
		d.Shards = append(d.Shards, s)
	}
	slices.SortFunc(d.Shards, func(a, b admin.ShardProgress) int { return a.Index - b.Index })
	for _, state := range []string{core.DownloadRunning, core.DownloadQueued, core.DownloadPaused, core.DownloadFailed, core.DownloadDone} {
		if states[state] {
			d.State = state
			break
		}
	}
	return d
}

// Progress sums up one model for GET /api/admin/models/{id}/status; ok is false if nothing of it is in the queue.
func (m *Manager) Progress(id core.ModelID) (p admin.ModelProgress, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tasks[id]
	if t == nil {
		return admin.ModelProgress{}, false
	}
	d := t.download(time.Now())
	p = admin.ModelProgress{
		ModelID: d.ModelID, State: admin.StatusDownloading, DownloadedBytes: d.DownloadedBytes, TotalBytes: d.TotalBytes,
		TotalShards: len(d.Shards), Message: d.Error,
	}
	for _, s := range d.Shards {
		if s.State == core.DownloadDone {
			p.DownloadedShards++
		}
	}
	switch d.State {
	case core.DownloadFailed:
		p.State = "failed"
	case core.DownloadDone:
		p.State = admin.StatusReady
	case core.DownloadQueued:
		p.Message = cmp.Or(p.Message, "Waiting for a source.")
	}
	if p.TotalBytes > 0 {
		p.Progress = float64(p.DownloadedBytes) / float64(p.TotalBytes)
	}
	return p, true
}
