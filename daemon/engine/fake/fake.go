// Package fake is a scripted engine for tests: windows that compute no model, but answer as exactly as one.
//
// Every token is a pure function of the tokens and positions of its sequence, layer by layer, so that any mistake
// with the KV cache (a wrong position, a lost trim, a sequence reused too early, hidden states of another batch)
// changes the output. Cutting the model into any number of windows does not. A token is one byte, plus a few
// special ones.
package fake

import (
	"context"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// Config says what the scripted model is like. The zero value is an instant model of four layers.
type Config struct {
	Layers int // layers, and also shards; 0 is 4
	// StepTime and RowTime are how long the whole model takes for a batch and for each row of it. A window takes
	// the share of its layers.
	StepTime time.Duration
	RowTime  time.Duration
	// LoadTime is how long a window takes to load, whatever its layers; a vocabulary takes none.
	LoadTime time.Duration
	// Wait passes the time of a step or a load; nil waits by a timer. It returns early when ctx ends.
	Wait func(ctx context.Context, d time.Duration)
	// NoTrim makes a model whose sequences can only be dropped or copied whole.
	NoTrim bool
	// EndOdds is how many sampled tokens there are for each that ends a generation; 0 is 64, negative is never.
	EndOdds int
	// Reply, if not nil, gives the continuation of a prompt; the end token follows it.
	Reply func(prompt []int32) []int32
	// BeforeStep, if not nil, is called at the start of each Step; its error is the Step's.
	BeforeStep func(w *Window, b *engine.Batch) error
}

// Engine is an engine.Engine of scripted windows.
type Engine struct {
	cfg Config

	mu      sync.Mutex // guards windows
	windows []*Window
}

// New makes an engine whose windows hold the model of cfg.
func New(cfg Config) *Engine {
	if cfg.Layers == 0 {
		cfg.Layers = 4
	}
	if cfg.EndOdds == 0 {
		cfg.EndOdds = 64
	}
	if cfg.Wait == nil {
		cfg.Wait = wait
	}
	return &Engine{cfg: cfg}
}

// Info implements engine.Engine.
func (e *Engine) Info(context.Context) (engine.RuntimeInfo, error) {
	return engine.RuntimeInfo{Version: "fake", Flavour: "cpu", Devices: []engine.Device{{Name: "CPU"}}}, nil
}

// Load implements engine.Engine. The model folder is not read; a shard is one layer.
func (e *Engine) Load(ctx context.Context, spec engine.Spec) (engine.Window, error) {
	if !spec.VocabOnly && (spec.FirstShard < 0 || spec.EndShard <= spec.FirstShard || spec.EndShard > e.cfg.Layers) {
		return nil, core.Errorf(core.CodeInvalidRequest, "shards %d to %d are not a window of %d", spec.FirstShard, spec.EndShard, e.cfg.Layers)
	}
	if e.cfg.LoadTime > 0 && !spec.VocabOnly {
		if e.cfg.Wait(ctx, e.cfg.LoadTime); ctx.Err() != nil {
			return nil, core.Errorf(core.CodeCancelled, "load shards %d to %d: %w", spec.FirstShard, spec.EndShard, context.Cause(ctx))
		}
	}
	w := newWindow(e.cfg, spec)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.windows = append(e.windows, w)
	return w, nil
}

// Windows returns every window loaded so far, in order, the closed ones included.
func (e *Engine) Windows() []*Window {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]*Window(nil), e.windows...)
}

// Cut loads the model as a chain of n windows with the sizes of spec.
func Cut(cfg Config, spec engine.Spec, n int) ([]engine.Window, error) {
	e := New(cfg)
	windows := make([]engine.Window, 0, n)
	for i := range n {
		spec.FirstShard, spec.EndShard = i*e.cfg.Layers/n, (i+1)*e.cfg.Layers/n
		w, err := e.Load(context.Background(), spec)
		if err != nil {
			return nil, err
		}
		windows = append(windows, w)
	}
	return windows, nil
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
