package pipeline_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// freezer makes windows whose processes can be stopped.
type freezer struct {
	engine.Engine
	frozen *atomic.Bool
}

func (f freezer) Load(ctx context.Context, spec engine.Spec) (engine.Window, error) {
	w, err := f.Engine.Load(ctx, spec)
	return freezable{w, f.frozen}, err
}

type freezable struct {
	engine.Window
	frozen *atomic.Bool
}

// hold keeps a call for as long as its caller waits if the process is stopped.
func (w freezable) hold(ctx context.Context) error {
	if !w.frozen.Load() {
		return nil
	}
	<-ctx.Done()
	return core.Errorf(core.CodeCancelled, "stopped: %w", ctx.Err())
}

func (w freezable) Step(ctx context.Context, b *engine.Batch) (*engine.Output, error) {
	if err := w.hold(ctx); err != nil {
		return nil, err
	}
	return w.Window.Step(ctx, b)
}

func (w freezable) Pieces(ctx context.Context, tokens []int32, special bool) ([][]byte, error) {
	if err := w.hold(ctx); err != nil {
		return nil, err
	}
	return w.Window.Pieces(ctx, tokens, special)
}

// TestStoppedEngineIsNoticed stops the engine process of a stage whose node goes on: the chain ends within 2 s and
// names the peer.
func TestStoppedEngineIsNoticed(t *testing.T) {
	for _, name := range []string{"a", "b", "c"} {
		synctest.Test(t, func(t *testing.T) {
			cfg := slow()
			s := newSwarm(t, cfg, "host", "a", "b", "c")
			var frozen atomic.Bool
			s.nodes[name].windows.engine = freezer{s.nodes[name].windows.engine, &frozen}
			p := dial(t, s, "host", spec(cfg, "a", "b", "c"))
			chain := scheduler(t, p)
			go func() {
				time.Sleep(3 * time.Second)
				frozen.Store(true)
			}()
			begin := time.Now()
			got := generate(t.Context(), chain, job("x", "prompt", 1000))
			wantCode(t, got.err, core.CodeEngineCrashed)
			if took := time.Since(begin) - 3*time.Second; took > 2100*time.Millisecond || took < 0 {
				t.Errorf("noticed after %s", took)
			}
			if l, ok := asLost(got.err); !ok || l.Peer.String() != name {
				t.Errorf("%q is not blamed: %v", name, got.err)
			}
		})
	}
}

// stumbling fails to load its first window.
type stumbling struct {
	engine.Engine
	loads *atomic.Int32
}

func (s stumbling) Load(ctx context.Context, spec engine.Spec) (engine.Window, error) {
	if s.loads.Add(1) == 1 {
		return nil, core.Errorf(core.CodeEngineCrashed, "the first time")
	}
	return s.Engine.Load(ctx, spec)
}

// TestQuickFailureIsTriedAgain has the only holder fail at once: it is asked a second time before it is blamed.
func TestQuickFailureIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := slow()
		s := newSwarm(t, cfg, "host", "a", "b")
		var loads atomic.Int32
		s.nodes["b"].windows.engine = stumbling{s.nodes["b"].windows.engine, &loads}
		r := s.runner("host", planner{spec(cfg, "a", "b")})
		if err := r.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := generate(t.Context(), r, job("x", "prompt", 10)); got.err != nil || loads.Load() != 2 {
			t.Errorf("%v after %d loads", got.err, loads.Load())
		}
	})
}
