package runtime

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// retryAfter is how often a missing runtime is looked for again.
const retryAfter = 30 * time.Second

// States of the engine, as the admin API spells them.
const (
	Searching = "searching" // nobody has answered yet
	Ready     = "ready"
	Missing   = "missing" // the libraries are not there, or do not run on this PC
)

// Status is what is known of the llama.cpp libraries.
type Status struct {
	State string // Searching, Ready or Missing
	Info  engine.RuntimeInfo
	Err   error // why it is Missing
}

// Watch asks an engine which libraries and devices it has, until it knows.
type Watch struct {
	engine  engine.Engine
	changed func(Status)
	log     *slog.Logger
	last    atomic.Pointer[Status]
}

// NewWatch makes a Watch; Run starts it. changed is called with each state that is not the one before.
func NewWatch(e engine.Engine, changed func(Status), log *slog.Logger) *Watch {
	w := &Watch{engine: e, changed: changed, log: log}
	w.last.Store(&Status{State: Searching})
	return w
}

// Run asks until there is a runtime, and then waits until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	for {
		if _, err := w.Ask(ctx); err == nil {
			<-ctx.Done()
			return nil
		}
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
			return nil
		}
	}
}

// Ask asks now. The error has code CodeNoRuntime and a hint.
func (w *Watch) Ask(ctx context.Context) (engine.RuntimeInfo, error) {
	info, err := w.engine.Info(ctx)
	if err != nil && ctx.Err() != nil {
		return info, core.Errorf(core.CodeCancelled, "ask the runtime: %w", ctx.Err())
	}
	now := &Status{State: Ready, Info: info}
	if err != nil {
		now = &Status{State: Missing, Err: err}
	}
	before := w.last.Swap(now)
	switch {
	case err == nil:
		w.log.Info("runtime is ready", "version", info.Version, "flavour", info.Flavour, "dir", info.Dir)
	case before.Err == nil || before.Err.Error() != err.Error():
		w.log.Warn("no runtime", "err", err)
	}
	if before.State != now.State || before.Info.Version != now.Info.Version || before.Info.Dir != now.Info.Dir {
		w.changed(*now)
	}
	return info, err
}

// Status is what is known now.
func (w *Watch) Status() Status { return *w.last.Load() }

// Version names the runtime; windows of different ones are not chained. It is "" while there is none.
func (w *Watch) Version() string { return w.last.Load().Info.Version }
