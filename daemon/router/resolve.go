package router

import (
	"cmp"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/library"
)

// Resolve finds the model that a request means: by its id, by the name of its file, by an unmistakable beginning of
// the id, or for "auto" and "" the default model, one in memory, or the largest that can run. The error has code
// CodeNotFound, CodeCorrupt for a damaged one, or CodeNotReady when no model can answer.
func (r *Router) Resolve(name string) (core.ModelID, error) {
	m, err := r.resolve(name)
	if err != nil {
		return core.ModelID{}, err
	}
	return m.ID, nil
}

func (r *Router) resolve(name string) (*library.Model, error) {
	if name == "" || name == "auto" {
		return r.auto()
	}
	if id, err := core.ParseModelID(name); err == nil {
		if m, err := r.cfg.Models.Find(id); err == nil {
			return m, nil
		}
	}
	if id, err := core.ModelIDFromFile(name); err == nil {
		m, err := r.cfg.Models.Find(id)
		if err == nil {
			return m, nil
		}
		if core.CodeOf(err) == core.CodeCorrupt {
			return nil, err
		}
		return r.byPrefix(name, id.String())
	}
	return nil, errUnknown(name)
}

func (r *Router) byPrefix(name, slug string) (*library.Model, error) {
	var found []*library.Model
	var ids []string
	for _, m := range r.cfg.Models.All() {
		if strings.HasPrefix(m.ID.String(), slug) {
			found, ids = append(found, m), append(ids, m.ID.String())
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
func (r *Router) auto() (*library.Model, error) {
	if name := r.cfg.Settings().DefaultModel; name != "" && name != "auto" {
		return r.resolve(name)
	}
	models := slices.DeleteFunc(r.cfg.Models.All(), func(m *library.Model) bool { return !r.usable(m) })
	if len(models) == 0 { // then one that others run parts of
		models = slices.DeleteFunc(r.cfg.Models.All(), func(m *library.Model) bool { return !r.reachable(m) })
	}
	if len(models) == 0 {
		return nil, core.Errorf(core.CodeNotReady, "there is no model on this PC that can answer").WithParam("model").
			WithHint("Import a GGUF file: shoald import FILE.")
	}
	return slices.MaxFunc(models, func(a, b *library.Model) int {
		_, usedA := r.cfg.Models.Usable(a)
		_, usedB := r.cfg.Models.Usable(b)
		if c := usedA.Compare(usedB); c != 0 {
			return c
		}
		return cmp.Compare(a.Manifest.Size, b.Manifest.Size)
	}), nil
}

// usable tells whether a model can answer on this PC alone, perhaps after it is loaded.
func (r *Router) usable(m *library.Model) bool {
	usable, _ := r.cfg.Models.Usable(m)
	return usable
}

// reachable tells whether every shard is here or at another node.
func (r *Router) reachable(m *library.Model) bool {
	byShard, _ := r.cfg.Holders(m.ID, m.Digest, len(m.Manifest.Shards))
	for i, local := range m.Local() {
		if !local && byShard[i] == 0 {
			return false
		}
	}
	return m.Traits.Refusal == ""
}
