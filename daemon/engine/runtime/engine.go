package runtime

import (
	"context"
	"log/slog"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/worker"
)

// Workers is the engine of worker processes, on whatever libraries are there when one is started.
type Workers struct {
	DataDir string
	Set     func() (program, libraries string) // as the settings name them; "" is the usual place
	Log     *slog.Logger
}

// Info implements engine.Engine.
func (w *Workers) Info(ctx context.Context) (engine.RuntimeInfo, error) {
	e, err := w.engine()
	if err != nil {
		return engine.RuntimeInfo{}, err
	}
	return e.Info(ctx)
}

// Load implements engine.Engine.
func (w *Workers) Load(ctx context.Context, spec engine.Spec) (engine.Window, error) {
	e, err := w.engine()
	if err != nil {
		return nil, err
	}
	return e.Load(ctx, spec)
}

func (w *Workers) engine() (engine.Engine, error) {
	program, libraries := w.Set()
	dir, err := Find(libraries, w.DataDir)
	if err != nil {
		return nil, err
	}
	return worker.New(worker.Config{Program: program, Runtime: dir, Log: w.Log}), nil
}
