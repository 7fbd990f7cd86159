package library

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// imports are the imports under way.
type imports struct {
	mu   sync.Mutex // guards jobs
	jobs map[core.ModelID]*core.Progress
}

// start notes an import. It is false when the model is being imported already.
func (i *imports) start(id core.ModelID, total int64) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, busy := i.jobs[id]; busy {
		return false
	}
	if i.jobs == nil {
		i.jobs = map[core.ModelID]*core.Progress{}
	}
	i.jobs[id] = &core.Progress{Total: total, Since: time.Now()}
	return true
}

// advance notes how far an import is, and returns that.
func (i *imports) advance(id core.ModelID, done, total int64) core.Progress {
	i.mu.Lock()
	defer i.mu.Unlock()
	job := i.jobs[id]
	job.Done, job.Total = done, total
	return *job
}

func (i *imports) end(id core.ModelID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.jobs, id)
}

func (i *imports) progress(id core.ModelID) (admin.ModelProgress, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	job, ok := i.jobs[id]
	if !ok {
		return admin.ModelProgress{}, false
	}
	p := admin.ModelProgress{ModelID: id.String(), State: "importing", DownloadedBytes: job.Done, TotalBytes: job.Total}
	if job.Total > 0 {
		p.Progress = float64(job.Done) / float64(job.Total)
	}
	return p, true
}

// Import cuts a local GGUF file into shards; progress may be nil. windows is how many windows the model is to run
// in, and 0 keeps what is set. An import that was stopped goes on where it was.
func (l *Library) Import(ctx context.Context, path string, windows int, progress func(core.Progress)) (core.ModelID, error) {
	if windows < 0 || windows > 64 {
		return core.ModelID{}, core.Errorf(core.CodeInvalidRequest, "windows must be 0 to 64").WithParam("windows")
	}
	id, err := core.ModelIDFromFile(path)
	if err != nil {
		return core.ModelID{}, err
	}
	file, err := os.Stat(path)
	if err != nil {
		return core.ModelID{}, core.Errorf(core.CodeNotFound, "import: %w", err).WithParam("path")
	}
	if err := l.checkQuota(id, file.Size()); err != nil {
		return core.ModelID{}, err
	}
	if !l.imports.start(id, file.Size()) {
		return core.ModelID{}, core.Errorf(core.CodeConflict, "model %s is being imported already", id)
	}
	err = l.importFile(ctx, id, path, windows, progress)
	l.imports.end(id)
	if err != nil {
		if core.CodeOf(err) != core.CodeCancelled {
			l.activity("import_failed", id, "Importing "+id.String()+" did not work: "+err.Error(), "error")
		}
		return core.ModelID{}, err
	}
	l.Changed("model_imported", id, id.String()+" was imported.", "success")
	return id, nil
}

func (l *Library) importFile(ctx context.Context, id core.ModelID, path string, windows int, progress func(core.Progress)) error {
	opened, err := l.disk.Import(ctx, shard.Import{
		ID: id, Path: path, Rule: l.rule(), Swap: func(swap func() error) error { return l.swap(ctx, id, swap) },
		Progress: func(done, total int64) {
			p := l.imports.advance(id, done, total)
			if progress != nil {
				progress(p)
			}
		},
	})
	if err != nil {
		return err
	}
	if windows > 0 {
		if err := l.cfg.Store.SetWindows(ctx, id, windows); err != nil {
			return err
		}
	}
	for _, i := range opened.Present() { // they were hashed as they were written
		l.recordVerified(ctx, opened, i, stampOf(opened, i))
	}
	l.looking.Lock()
	defer l.looking.Unlock()
	_, err = l.adopt(ctx, opened, false)
	return err
}

// swap calls fn, which puts another folder in a damaged one's place, when nothing of the model is in memory. A folder that
// was sound when the node started may be damaged now.
func (l *Library) swap(ctx context.Context, id core.ModelID, fn func() error) error {
	l.mu.Lock()
	m := l.models[id]
	l.mu.Unlock()
	if m == nil {
		return fn()
	}
	l.memory.Stop(m)
	if err := m.Enter(ctx); err != nil {
		return err
	}
	defer m.Leave()
	if err := l.memory.Free(ctx, m); err != nil {
		return err
	}
	return fn()
}

// checkQuota refuses an import that would take more of the disk than the settings allow.
func (l *Library) checkQuota(id core.ModelID, size int64) error {
	if _, err := l.Find(id); err == nil {
		return nil
	}
	used := l.Usage()
	limit := l.cfg.Settings().MaxDiskMB * hardware.MiB
	if used+size > limit {
		return core.Errorf(core.CodeDiskFull, "models may take %d MiB; %d are taken and this one has %d",
			limit/hardware.MiB, used/hardware.MiB, size/hardware.MiB).WithHint("Raise max_disk_mb, or delete a model.")
	}
	return nil
}

// Export writes the original GGUF file, byte for byte, to path, which must not exist; progress may be nil.
func (l *Library) Export(ctx context.Context, id core.ModelID, path string, progress func(core.Progress)) error {
	if _, err := l.Find(id); err != nil {
		return err
	}
	opened, err := l.disk.Open(id)
	if err != nil {
		return err
	}
	since := time.Now()
	return opened.Export(ctx, path, func(done, total int64) {
		if progress != nil {
			progress(core.Progress{Done: done, Total: total, Since: since})
		}
	})
}

// Importing tells how far an import of the model is; it is false when none is under way.
func (l *Library) Importing(id core.ModelID) (admin.ModelProgress, bool) {
	return l.imports.progress(id)
}

// Usage is what the models take of the disk, in bytes.
func (l *Library) Usage() (n int64) {
	for _, m := range l.All() {
		n += m.Usage()
	}
	return n
}

// Usage is what the model takes of the disk, in bytes.
func (m *Model) Usage() int64 {
	n := m.Manifest.HeaderSize
	for i, local := range m.Local() {
		if local {
			n += m.Manifest.Shards[i].Size + m.Manifest.Reserved
		}
	}
	return n
}
