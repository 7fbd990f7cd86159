package pipeline

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
)

// build opens the chain that was prepared, or asks for one: runs of other nodes are pipes, this node's stages windows.
func (r *Runner) build(ctx context.Context, prepared *Spec) (_ *line, err error) {
	var sp Spec
	if prepared != nil {
		sp = *prepared
	} else if sp, err = r.plan(ctx); err != nil {
		return nil, err
	}
	r.cfg.Log.Info("chain chosen", "model", sp.Model.String(), "text", sp.Text, "prepared", prepared != nil)
	if len(sp.Stages) == 0 {
		return nil, core.Errorf(core.CodeInvalidRequest, "chain without stages")
	}
	if err := checkStages(sp.Stages); err != nil {
		return nil, err
	}
	sp.Options = sp.Options.withDefaults()
	l := &line{spec: sp}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	opening, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	if l.windows, err = r.open(opening, sp); err != nil {
		return nil, err
	}
	cfg := r.cfg.Schedule
	cfg.Windows, cfg.Tokenizer = l.windows, r.cfg.Tokenizer
	l.Scheduler, err = schedule.New(cfg)
	return l, err
}

// plan asks for a chain without the peers that were lost lately. Blame may be wrong, and a lost peer may be back: where
// there is no chain without all of them, those lost longest ago are asked again.
func (r *Runner) plan(ctx context.Context) (Spec, error) {
	exclude := r.exclusions()
	for {
		sp, err := r.cfg.Planner.Chain(ctx, exclude)
		if err == nil || len(exclude) <= 1 {
			return sp, err
		}
		exclude = exclude[1:]
	}
}

// open opens all parts of a chain at the same time.
func (r *Runner) open(ctx context.Context, sp Spec) ([]engine.Window, error) {
	self := r.cfg.Network.Self()
	var parts [][]Stage
	for i, st := range sp.Stages {
		if n := len(parts); i > 0 && st.Peer != self && sp.Stages[i-1].Peer != self {
			parts[n-1] = append(parts[n-1], st)
			continue
		}
		parts = append(parts, []Stage{st})
	}
	windows := make([]engine.Window, len(parts))
	var group errgroup.Group // not one that ends the others: each error may name another peer
	for i, part := range parts {
		group.Go(func() (err error) {
			windows[i], err = r.openPart(ctx, sp, part)
			return err
		})
	}
	err := group.Wait()
	if err != nil {
		closeAll(windows)
		return nil, err
	}
	return windows, nil
}

// openPart opens a run of stages, which are one of this node or some of others.
func (r *Runner) openPart(ctx context.Context, sp Spec, part []Stage) (engine.Window, error) {
	if part[0].Peer == r.cfg.Network.Self() {
		return r.cfg.Server.local(ctx, sp, part[0])
	}
	sp.Stages = part
	p, err := Dial(ctx, r.cfg.Network, sp)
	if err != nil {
		return nil, err // and no *Pipe that is nil
	}
	return p, nil
}

func (l *line) close() { closeAll(l.windows) }

// closeAll closes those windows that there are.
func closeAll(windows []engine.Window) {
	for _, w := range windows {
		if w != nil {
			_ = w.Close()
		}
	}
}
