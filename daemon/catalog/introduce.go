package catalog

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/library"
)

// lookEvery is how often the models of others are looked at when nobody says that something changed.
const lookEvery = 30 * time.Second

// Limits of what is kept of models that are known from others only.
const (
	maxUnintroduced = 64
	introduction    = 20 * time.Second // for a manifest and a header to come
)

// Run fetches the manifests of models that others hold, so that they are listed and can be planned, until ctx ends.
func (c *Catalog) Run(ctx context.Context) error {
	before := ""
	failed := map[core.ModelID]time.Time{}
	for {
		select {
		case <-c.met:
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return nil
		}
		index := c.refresh()
		if now := index.fingerprint(); now != before {
			before = now
			c.cfg.Changed()
		}
		for _, v := range index.versions() {
			if time.Since(failed[v.Model]) < time.Minute || !c.isUnintroduced(ctx, v.Model) {
				continue
			}
			if err := c.introduce(ctx, v); err != nil && ctx.Err() == nil {
				failed[v.Model] = time.Now()
				c.cfg.Log.Info("manifest of a model of the swarm was not taken", "model", v.Model.String(), "err", err)
			}
		}
	}
}

// isUnintroduced tells whether a model should be introduced: it is not here, was not deleted by the user, and there are not
// too many of its kind.
func (c *Catalog) isUnintroduced(ctx context.Context, id core.ModelID) bool {
	if c.cfg.Anchor() || c.known(id) {
		return false
	}
	if _, hidden, err := c.cfg.Store.Value(ctx, hiddenKey(id)); hidden || err != nil {
		return false
	}
	return c.cfg.Foreign() < maxUnintroduced
}

func (c *Catalog) known(id core.ModelID) bool {
	_, err := c.cfg.Models.Blueprint(id)
	return err == nil
}

// introduce brings the manifest and the header of a version here.
func (c *Catalog) introduce(ctx context.Context, v Version) error {
	ctx, cancel := context.WithTimeout(ctx, introduction)
	defer cancel()
	if err := c.cfg.Introduce(ctx, v.Model, v.Manifest); err != nil {
		return err
	}
	return c.cfg.Models.Refresh(ctx, v.Model)
}

// EnsureKnown makes a model known that only others hold. The error has code CodeNotFound when nobody does.
func (c *Catalog) EnsureKnown(ctx context.Context, id core.ModelID) (library.Blueprint, error) {
	b, err := c.cfg.Models.Blueprint(id)
	if code := core.CodeOf(err); code != core.CodeNotFound && code != core.CodeCorrupt { // others may have it sound
		return b, err
	}
	for _, v := range c.refresh().versions() {
		if v.Model != id {
			continue
		}
		if err := c.introduce(ctx, v); err != nil {
			return b, core.Errorf(core.CodeNotReady, "model %s is known, but its manifest did not come: %w", id, err)
		}
		return c.cfg.Models.Blueprint(id)
	}
	if core.CodeOf(err) == core.CodeCorrupt {
		return b, err
	}
	return b, core.Errorf(core.CodeNotFound, "model %s is neither here nor at a node of the swarm", id).WithParam("id")
}
