package memory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/library"
)

// What happens to workers that die.
const (
	firstBackOff = time.Second
	maxBackOff   = 30 * time.Second
	maxCrashes   = 5               // in a row; then the model stays down
	steady       = 5 * time.Minute // a worker that lived so long breaks the row
)

// instance is a model in memory. It outlives its workers: when one dies, all are started again.
type instance struct {
	m      *residence
	span   library.Span
	place  placement
	cancel context.CancelFunc
	gone   chan struct{} // closed when the instance has ended and its workers too

	// Guarded by the model's mutex.
	workers *workers      // nil while workers are down
	up      chan struct{} // closed when workers is set, and replaced when it goes
	uses    int           // leases
	used    time.Time     // when the last lease ended
}

// workers is one set of workers, and what schedules them.
type workers struct {
	windows   []engine.Window
	scheduler *schedule.Scheduler // nil unless the windows are a whole model
	started   time.Time
}

// boot starts the windows of a placement.
func (l *Memory) boot(ctx context.Context, m *residence, s library.Span, p placement) (_ *workers, err error) {
	c := &workers{started: time.Now()}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	for i := range p.spans {
		w, err := l.cfg.Engine.Load(ctx, p.window(m, i))
		if err != nil {
			return nil, err
		}
		c.windows = append(c.windows, m.meter.watch(w))
	}
	if s != m.Whole() {
		return c, nil
	}
	set := l.cfg.Settings()
	c.scheduler, err = schedule.New(schedule.Config{
		Windows: c.windows, MaxContext: m.Traits.Context, BatchSequences: set.MaxBatchSize,
		Queue: config.MostRequests, // requests wait in the router's line: only those whose turn it is come here
	})
	return c, err
}

func (c *workers) close() {
	for _, w := range c.windows {
		_ = w.Close() // the process is gone either way
	}
}

// serve runs the workers until ctx ends (nil) or a worker dies (its error), and ends all workers.
func (c *workers) serve(ctx context.Context) error {
	defer c.close()
	if c.scheduler != nil {
		return c.scheduler.Run(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	died := core.Errorf(core.CodeEngineCrashed, "a worker of the model ended")
	for _, w := range c.windows {
		go func() {
			select {
			case <-w.Done():
				cancel(died)
			case <-ctx.Done():
			}
		}()
	}
	<-ctx.Done()
	if errors.Is(context.Cause(ctx), died) {
		return died
	}
	return nil
}

// keep serves requests with the workers, starting it again when it dies, until ctx ends or it has died too often.
func (l *Memory) keep(ctx context.Context, in *instance, c *workers) {
	defer close(in.gone)
	defer in.leave()
	crashes := 0
	for {
		err := c.serve(ctx)
		in.lost()
		for {
			if ctx.Err() != nil {
				return
			}
			if time.Since(c.started) >= steady {
				crashes = 0
			}
			if crashes++; crashes >= maxCrashes {
				l.giveUp(in, err)
				return
			}
			wait := min(l.firstBackOff<<(crashes-1), maxBackOff)
			l.cfg.Log.Warn("engine stopped", "model", in.m.ID.String(), "err", err, "crashes", crashes, "wait", wait)
			l.library.Changed("engine_crashed", in.m.ID, "The engine of "+in.m.ID.String()+" stopped and is being restarted.", "warning")
			if !pause(ctx, wait) {
				return
			}
			next, bootErr := l.boot(ctx, in.m, in.span, in.place)
			if bootErr == nil {
				c = next
				break
			}
			err, c.started = bootErr, time.Now()
		}
		in.found(c)
		l.library.Changed("engine_restarted", in.m.ID, in.m.ID.String()+" is back.", "info")
	}
}

// pause waits for d; it is false when ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// lost notes that the workers are down.
func (in *instance) lost() {
	in.m.mu.Lock()
	defer in.m.mu.Unlock()
	in.drop()
}

// leave takes an instance that has ended out of its model, if nobody has done so.
func (in *instance) leave() {
	in.m.mu.Lock()
	defer in.m.mu.Unlock()
	if in.m.instance == in {
		in.m.instance = nil
	}
}

// drop is lost with the model's mutex held.
func (in *instance) drop() {
	if in.workers != nil {
		in.workers, in.up = nil, make(chan struct{})
	}
}

// dead tells whether a worker has ended. The scheduler hears of it first, and its callers from it: a call to a killed
// process fails before the process has been waited for.
func (c *workers) dead() bool {
	if c.scheduler != nil && c.scheduler.Ended() != nil {
		return true
	}
	for _, w := range c.windows {
		select {
		case <-w.Done():
			return true
		default:
		}
	}
	return false
}

// found notes that the workers are up.
func (in *instance) found(c *workers) {
	in.m.mu.Lock()
	defer in.m.mu.Unlock()
	in.workers = c
	close(in.up)
}

// giveUp ends an instance whose workers died too often.
func (l *Memory) giveUp(in *instance, err error) {
	in.leave()
	l.cfg.Log.Error("engine stopped too often", "model", in.m.ID.String(), "err", err)
	in.m.mu.Lock()
	in.m.broken = true
	in.m.lastErr = fmt.Sprintf("the engine stopped %d times in a row: %v", maxCrashes, err)
	in.m.mu.Unlock()
	l.library.Changed("engine_failed", in.m.ID, "The engine of "+in.m.ID.String()+" keeps stopping; the model stays unloaded.", "error")
}

// usage is the memory the instance was estimated to take.
func (in *instance) usage() hardware.Use { return in.place.need }
