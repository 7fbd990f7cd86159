package router

import (
	"context"
	"fmt"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/draft"
)

// namedModel is the model that the setting draft_model names. It may be asked while settings change.
func (r *Router) namedModel(name string) (core.ModelID, error) {
	id, err := r.Resolve(name)
	if err != nil {
		return id, core.Errorf(core.CodeInvalidRequest, "draft_model: %w", err).WithParam("draft_model").
			WithHint("Name a model that is on this PC, for example one that GET /v1/models lists.")
	}
	return id, nil
}

// Verify tells whether the draft model of new settings is there.
func (r *Router) Verify(from, to config.Settings) error {
	if to.DraftModel == "" || to.DraftModel == from.DraftModel {
		return nil
	}
	_, err := r.namedModel(to.DraftModel)
	return err
}

// draftFor is the model that the settings name to guess for another. The error says why it cannot.
func (r *Router) draftFor(target core.ModelID, name string) (core.ModelID, error) {
	id, err := r.namedModel(name)
	if err != nil {
		return id, err
	}
	if id == target {
		return id, core.Errorf(core.CodeUnsupported, "%s cannot guess for itself", id)
	}
	b, err := r.cfg.Models.Blueprint(id)
	if err != nil {
		return id, err
	}
	if !b.Complete {
		return id, core.Errorf(core.CodeNotReady, "%s is not wholly on this PC", id)
	}
	return id, r.cfg.Models.SameVocabulary(target, id)
}

// drafter opens the draft model for the chain of one model.
type drafter struct {
	r      *Router
	target core.ModelID

	mu   sync.Mutex // guards both
	name string     // of the setting when it was looked at
	id   core.ModelID
}

func (r *Router) newDrafter(target core.ModelID) *draft.Model {
	d := &drafter{r: r, target: target}
	return draft.New(draft.Config{Open: d.open, Name: d.idleModel, Log: r.cfg.Log.With("model", target.String())})
}

// idleModel is the draft model's name while there is nothing else to do: it shall take no time from other requests, those
// of other PCs included.
func (d *drafter) idleModel() string {
	if running, _ := d.r.Requests(); running > 1 || d.r.cfg.Pausing() || d.r.cfg.Stages.Serving() {
		return ""
	}
	return d.r.cfg.Settings().DraftModel
}

// open leases the draft model. Between guesses nobody holds it, so that it is unloaded like any other that is idle.
func (d *drafter) open(ctx context.Context) (engine.Runner, func(), error) {
	id, err := d.choose(d.r.cfg.Settings().DraftModel)
	if err != nil {
		return nil, nil, err
	}
	m, release, err := d.r.cfg.Acquire(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if !m.Runner.Shape().CanTrim {
		release()
		return nil, nil, core.Errorf(core.CodeUnsupported, "%s cannot take guesses back", id)
	}
	return m.Runner, release, nil
}

// choose looks at the draft model once for each name that the settings give.
func (d *drafter) choose(name string) (core.ModelID, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.name == name {
		return d.id, nil
	}
	id, err := d.r.draftFor(d.target, name)
	if err == nil {
		d.name, d.id = name, id
	}
	return id, err
}

// planDraft reports on the draft model of a model; nil if none is set.
func (r *Router) planDraft(target core.ModelID) *admin.PlanDraft {
	name := r.cfg.Settings().DraftModel
	if name == "" {
		return nil
	}
	id, err := r.draftFor(target, name)
	out := &admin.PlanDraft{ModelID: id.String(), Usable: err == nil}
	if id.IsZero() {
		out.ModelID = name
	}
	if err != nil {
		out.Text = err.Error()
		return out
	}
	var failed string
	out.Guessed, out.Right, failed = r.chains.guesses(target)
	switch {
	case failed != "":
		out.Usable, out.Text = false, failed
	case out.Guessed == 0:
		out.Text = "It guesses where that makes replies over a chain faster."
	default:
		out.Text = fmt.Sprintf("%d%% of its guesses were right.", out.Right*100/out.Guessed)
	}
	return out
}
