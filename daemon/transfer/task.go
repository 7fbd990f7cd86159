package transfer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/store"
)

// spare is disk space that a download leaves free.
const spare = 64 << 20

// work fetches what is queued of a task, and writes down how it ended.
func (m *Manager) work(ctx context.Context, t *task) {
	err := m.try(ctx, t)
	stopped := ctx.Err() != nil
	m.mu.Lock()
	t.stop()
	m.settle(t)
	if err != nil && !stopped {
		m.fail(t, err)
	}
	var list []store.Download
	for _, d := range t.rows {
		list = append(list, *d)
	}
	t.fetch, t.stop = nil, nil
	m.running--
	// The node may be stopping, but this is to be known at its next start.
	if err := m.cfg.Store.PutDownloads(context.WithoutCancel(ctx), list...); err != nil {
		m.cfg.Log.Warn("record downloads", "model", t.id.String(), "err", err)
	}
	close(t.ended)
	m.mu.Unlock()
	m.wake.Ring()
}

// settle notes how far the shards of a fetch came. The mutex is held.
func (m *Manager) settle(t *task) {
	if t.fetch == nil {
		return
	}
	for _, p := range t.fetch.parts {
		if d := t.rows[p.index]; d != nil {
			d.Bytes = p.bytes
		}
	}
}

// fail gives up what is queued. The mutex is held.
func (m *Manager) fail(t *task, err error) {
	m.cfg.Log.Warn("download failed", "model", t.id.String(), "err", err)
	for _, d := range t.rows {
		if d.State == core.DownloadQueued {
			d.State, d.Error = core.DownloadFailed, err.Error()
		}
	}
	m.activity(t.id, "download_failed", fmt.Sprintf("The download of %s stopped: %s.", t.id, core.ReportOf(core.CodeOf(err)).Text), "error")
}

func (m *Manager) activity(id core.ModelID, kind, message, toast string) {
	m.cfg.Events.Publish(core.EventActivity, core.Activity{Kind: kind, ModelID: id.String(), Message: message, Timestamp: time.Now().UTC(), ToastLevel: toast})
}

func (m *Manager) try(ctx context.Context, t *task) error {
	model, err := m.model(ctx, t.id, t.digest)
	if err != nil {
		return err
	}
	wanted, err := m.expand(ctx, t, model)
	if err != nil || len(wanted) == 0 {
		return err
	}
	if err := m.checkSpace(t, model, wanted); err != nil {
		return err
	}
	f, err := m.newFetch(model, t.id, t.digest, wanted)
	if err != nil {
		return err
	}
	f.advance = func(p *part) { m.arrived(ctx, t, p.index, p.size) }
	m.mu.Lock()
	t.fetch = f
	m.mu.Unlock()
	m.activity(t.id, "download_started", fmt.Sprintf("%d shards of %s are being fetched.", len(wanted), t.id), "")
	if err := f.run(ctx); err != nil {
		return err
	}
	m.activity(t.id, "download_completed", fmt.Sprintf("%d shards of %s are here.", len(wanted), t.id), "success")
	return nil
}

// arrived notes a shard that is here.
func (m *Manager) arrived(ctx context.Context, t *task, index int, size int64) {
	m.mu.Lock()
	d := t.rows[index]
	if d != nil {
		d.State, d.Error, d.Bytes, d.Size = core.DownloadDone, "", size, size
		if err := m.cfg.Store.PutDownloads(context.WithoutCancel(ctx), *d); err != nil {
			m.cfg.Log.Warn("record download", "model", t.id.String(), "err", err)
		}
	}
	m.mu.Unlock()
	if m.cfg.Done != nil {
		m.cfg.Done(t.id, index)
	}
	m.cfg.Events.Publish(core.EventModelsChanged, nil)
}

// expand turns the wish for all shards into one row each, and returns those to fetch.
func (m *Manager) expand(ctx context.Context, t *task, model *shard.Model) (wanted []int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if all := t.rows[store.AllShards]; all != nil {
		if err := m.cfg.Store.ForgetDownload(ctx, t.id, store.AllShards); err != nil {
			return nil, err
		}
		delete(t.rows, store.AllShards)
		for i := range model.Manifest.Shards {
			if d := t.rows[i]; all.State == core.DownloadQueued && (d == nil || d.State != core.DownloadQueued) {
				row := *all
				row.Shard = i
				t.rows[i] = &row
			}
		}
	}
	var list []store.Download
	for i, d := range t.rows {
		switch {
		case i >= len(model.Manifest.Shards):
			d.State, d.Error = core.DownloadFailed, fmt.Sprintf("model %s has no shard %d", t.id, i)
		case model.Has(i):
			if d.State == core.DownloadQueued { // the node was killed when it had just given the shard its name
				if err := model.DropPart(i); err != nil {
					return nil, err
				}
			}
			d.State, d.Bytes, d.Size = core.DownloadDone, model.Manifest.Shards[i].Size, model.Manifest.Shards[i].Size
		default:
			d.Size = model.Manifest.Shards[i].Size
			if d.State == core.DownloadDone { // it was deleted since
				d.State, d.Bytes = core.DownloadFailed, 0
			}
			if d.State == core.DownloadQueued {
				wanted = append(wanted, i)
			}
		}
		list = append(list, *d)
	}
	slices.Sort(wanted)
	return wanted, m.cfg.Store.PutDownloads(ctx, list...)
}

// checkSpace refuses what the disk or the quota has no room for, together with what is being fetched already.
func (m *Manager) checkSpace(t *task, model *shard.Model, wanted []int) error {
	var need int64
	for _, i := range wanted {
		need += model.Manifest.Shards[i].Size + model.Manifest.Reserved
		m.mu.Lock()
		need -= t.rows[i].Bytes
		m.mu.Unlock()
	}
	need += m.promised(t)
	free, err := m.cfg.Models.Free()
	if err != nil {
		return err
	}
	if free < need+spare {
		return core.Errorf(core.CodeDiskFull, "%d more bytes of disk space are needed for %s", need+spare-free, t.id)
	}
	if m.cfg.Quota == nil || m.cfg.Quota() <= 0 {
		return nil
	}
	if used := m.cfg.Used(); used+need > m.cfg.Quota() {
		return core.Errorf(core.CodeDiskFull, "%d bytes more than models may take of the disk are needed for %s", used+need-m.cfg.Quota(), t.id).
			WithHint("Delete models, or raise max_disk_mb in the settings.")
	}
	return nil
}

// promised is what other tasks are still to write.
func (m *Manager) promised(except *task) (n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tasks {
		if t == except || t.fetch == nil {
			continue
		}
		t.fetch.mu.Lock()
		for _, p := range t.fetch.parts {
			n += p.size - p.bytes
		}
		t.fetch.mu.Unlock()
	}
	return n
}

// model opens a model, or first gets its manifest and header from whoever has them.
func (m *Manager) model(ctx context.Context, id core.ModelID, digest core.Digest) (*shard.Model, error) {
	model, err := m.cfg.Models.Open(id)
	switch core.CodeOf(err) {
	case "":
		have, err := model.Manifest.Digest()
		if err == nil && have != digest {
			err = core.Errorf(core.CodeConflict, "model %s is here already and is another file or cut", id)
		}
		return model, err
	case core.CodeNotFound, core.CodeCorrupt: // what is damaged here may be sound elsewhere
	default:
		return nil, err
	}
	out := map[core.PeerID]time.Time{} // until when a source is not asked
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		holders := m.cfg.Holders(id, digest)
		slices.SortStableFunc(holders, func(a, b Holder) int { return rank(a) - rank(b) })
		for _, h := range holders {
			if h.Peer == m.cfg.Network.Self() || time.Now().Before(out[h.Peer]) {
				continue
			}
			model, err := m.introduce(ctx, h, id, digest)
			if err == nil {
				if m.cfg.Introduced != nil {
					m.cfg.Introduced(id)
				}
				return model, nil
			}
			if code := core.CodeOf(err); ctx.Err() != nil || code == core.CodeDiskFull || code == core.CodeConflict {
				return nil, cmp.Or(ctx.Err(), err)
			}
			out[h.Peer] = time.Now().Add(m.judgeManifest(h.Peer, err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// judgeManifest reports a source whose manifest cannot be right, and says how long it is not asked again.
func (m *Manager) judgeManifest(peer core.PeerID, err error) time.Duration {
	m.cfg.Log.Debug("manifest not taken", "peer", peer.String(), "err", err)
	switch core.CodeOf(err) {
	case core.CodeCorrupt:
		m.cfg.report(peer, core.ConductCorrupt)
		return banForFault
	case core.CodeInvalidRequest, core.CodeTooLarge:
		m.cfg.report(peer, core.ConductMalformed)
		return banForFault
	}
	return banAtFirst
}

// introduce gets a manifest and header from one source and checks both.
func (m *Manager) introduce(ctx context.Context, h Holder, id core.ModelID, digest core.Digest) (*shard.Model, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s, err := m.source(h).Open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	text, err := s.Manifest(id, digest)
	if err != nil {
		return nil, err
	}
	manifest, err := shard.DecodeManifest(text)
	if err != nil {
		return nil, err
	}
	if have, err := manifest.Digest(); err != nil || have != digest || manifest.ModelID != id {
		return nil, core.Errorf(core.CodeCorrupt, "manifest is of another model or cut")
	}
	header, err := s.Header(id, digest, manifest.HeaderSize)
	if err != nil {
		return nil, err
	}
	return m.cfg.Models.Adopt(text, header)
}

// source is how to talk to a holder.
func (m *Manager) source(h Holder) Source {
	if h.Source != nil {
		return h.Source
	}
	down := m.down
	if h.LAN {
		down = nil
	}
	return peerSource{m.cfg.Network, h.Peer, down}
}
