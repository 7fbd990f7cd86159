package library

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/gguf"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// Lease is the right to use a loaded model until Release.
type Lease struct {
	ID     core.ModelID
	Runner engine.Runner
	Text   Text

	in *instance
}

// Text is what a model says about how it is talked to.
type Text struct {
	ChatTemplate string // Jinja; "" if the model has none
	BOS, EOS     string // text of the tokens that begin and end a text; "" if there is none
	Arch         string // general.architecture
}

// Release ends the lease. It is called once.
func (l *Lease) Release() {
	m := l.in.m
	m.mu.Lock()
	defer m.mu.Unlock()
	l.in.uses--
	l.in.used = time.Now()
}

// Acquire gives a lease of the model that name means, and loads it first if need be. Errors have code CodeNotFound,
// CodeNotReady (layers are missing, or the node is paused), CodeInsufficientRAM, CodeNoRuntime or CodeEngineCrashed.
func (l *Library) Acquire(ctx context.Context, name string) (*Lease, error) {
	m, err := l.resolve(name)
	if err != nil {
		return nil, err
	}
	for {
		if l.Paused() {
			return nil, errPaused()
		}
		lease, wait, err := m.lease()
		if lease != nil || err != nil {
			return lease, err
		}
		if wait == nil {
			if err := l.load(ctx, m, m.whole()); err != nil {
				return nil, err
			}
			continue
		}
		select {
		case <-wait.up:
		case <-wait.gone:
		case <-ctx.Done():
			return nil, core.Errorf(core.CodeCancelled, "wait for the engine of %s: %w", m.id, ctx.Err())
		}
	}
}

// waiting is what a caller waits for while workers are started again.
type waiting struct{ up, gone <-chan struct{} }

// lease takes a lease of a model in memory. Without lease and error the caller has to wait, or if there is nothing to
// wait for, to load the model.
func (m *model) lease() (*Lease, *waiting, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.instance
	if in != nil && in.crew != nil && in.crew.dead() {
		in.drop() // keep has not noticed yet
	}
	switch {
	case in == nil && m.broken:
		return nil, nil, core.Errorf(core.CodeEngineCrashed, "model %s stays unloaded: %s", m.id, m.lastErr)
	case in == nil:
		return nil, nil, nil
	case in.span != m.whole():
		return nil, nil, core.Errorf(core.CodeNotReady, "model %s is loaded without %s", m.id, describeLayers(m.outside(in.span))).
			WithHint("Load the other shards too, or the whole model.")
	case in.crew == nil:
		return nil, &waiting{in.up, in.gone}, nil
	}
	in.uses++
	return &Lease{ID: m.id, Runner: in.crew.scheduler, Text: m.text(), in: in}, nil, nil
}

// outside returns the layers of the shards that s leaves out.
func (m *model) outside(s span) (layers []core.LayerRange) {
	for i, sh := range m.manifest.Shards {
		if !s.has(i) {
			layers = append(layers, sh.Layers)
		}
	}
	return layers
}

// Resolve finds the model that a request means: by its id, by the name of its file, by an unmistakable beginning of
// the id, or for "auto" and "" the default model, one in memory, or the largest that can run. The error has code
// CodeNotFound, or CodeNotReady when no model can answer.
func (l *Library) Resolve(name string) (core.ModelID, error) {
	m, err := l.resolve(name)
	if err != nil {
		return core.ModelID{}, err
	}
	return m.id, nil
}

func (l *Library) resolve(name string) (*model, error) {
	if name == "" || name == "auto" {
		return l.auto()
	}
	if id, err := core.ParseModelID(name); err == nil {
		if m, err := l.find(id); err == nil {
			return m, nil
		}
	}
	if id, err := core.ModelIDFromFile(name); err == nil {
		if m, err := l.find(id); err == nil {
			return m, nil
		}
		return l.byPrefix(name, id.String())
	}
	return nil, errUnknown(name)
}

func (l *Library) byPrefix(name, slug string) (*model, error) {
	var found []*model
	var ids []string
	for _, m := range l.all() {
		if strings.HasPrefix(m.id.String(), slug) {
			found, ids = append(found, m), append(ids, m.id.String())
		}
	}
	switch len(found) {
	case 0:
		return nil, errUnknown(name)
	case 1:
		return found[0], nil
	}
	return nil, core.Errorf(core.CodeNotFound, "model %q could be any of %s", clip(name), strings.Join(ids, ", ")).WithParam("model")
}

func errUnknown(name string) error {
	return core.Errorf(core.CodeNotFound, "model %q is not on this PC", clip(name)).WithParam("model").
		WithHint("GET /v1/models lists the models that are.")
}

// clip bounds what a caller sent before it is sent back.
func clip(s string) string { return s[:min(len(s), 128)] }

// auto chooses a model for a request that names none.
func (l *Library) auto() (*model, error) {
	if name := l.cfg.Settings().DefaultModel; name != "" && name != "auto" {
		return l.resolve(name)
	}
	models := slices.DeleteFunc(l.all(), func(m *model) bool { return !m.usable() })
	if len(models) == 0 { // then one that others run parts of
		models = slices.DeleteFunc(l.all(), func(m *model) bool { return !l.reachable(m) })
	}
	if len(models) == 0 {
		return nil, core.Errorf(core.CodeNotReady, "there is no model on this PC that can answer").WithParam("model").
			WithHint("Import a GGUF file: shoald import FILE.")
	}
	return slices.MaxFunc(models, func(a, b *model) int {
		if c := a.loadedAt().Compare(b.loadedAt()); c != 0 {
			return c
		}
		return cmp.Compare(a.manifest.Size, b.manifest.Size)
	}), nil
}

// usable tells whether the model can answer, perhaps after it is loaded.
func (m *model) usable() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.instance != nil {
		return m.instance.span == m.whole()
	}
	return !m.broken && len(m.missing(m.whole())) == 0
}

// loadedAt is when the model in memory was last used; it is zero for one that is not.
func (m *model) loadedAt() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.instance == nil {
		return time.Time{}
	}
	return m.instance.used
}

// Header reads the GGUF header of a model.
func (l *Library) header(m *model) (*gguf.File, error) {
	return readHeader(filepath.Join(m.dir, shard.HeaderFile), m.manifest.Size)
}
