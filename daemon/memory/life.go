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
)

// What happens to workers that die.
const (
	firstBackOff = time.Second
	maxBackOff   = 30 * time.Second
	maxCrashes   = 5               // in a row; then the model stays down
	steady       = 5 * time.Minute // a worker that lived so long breaks the row
)

// workers is one set of workers, and what schedules them.
type workers struct {
	windows   []engine.Window
	scheduler *schedule.Scheduler // nil unless the windows are a whole model
	started   time.Time
}

// boot starts the windows of a placement; with scheduled, a whole model gets a scheduler too.
func (l *Memory) boot(ctx context.Context, m *residence, p placement, scheduled bool) (_ *workers, err error) {
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
	if !scheduled {
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

// live serves with workers until ctx ends or they die. A model that runs here alone gets new ones, unless they died too
// often; who needs another window of a chain starts it.
func (l *Memory) live(ctx context.Context, r *resident, c *workers) {
	defer r.leave()
	crashes := 0
	for c != nil {
		err := c.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if !r.key.alone {
			l.cfg.Log.Warn("engine of a stage stopped", "model", r.m.ID.String())
			return
		}
		r.down()
		c = l.again(ctx, r, c, err, &crashes)
	}
}

// again starts workers in place of those that ended with err. It gives none when ctx ended or they died too often.
func (l *Memory) again(ctx context.Context, r *resident, c *workers, err error, crashes *int) *workers {
	id, lived := r.m.ID, time.Since(c.started)
	for {
		if lived >= steady {
			*crashes = 0
		}
		if *crashes++; *crashes >= maxCrashes {
			l.giveUp(r, err)
			return nil
		}
		wait := min(l.firstBackOff<<(*crashes-1), maxBackOff)
		l.cfg.Log.Warn("engine stopped", "model", id.String(), "err", err, "crashes", *crashes, "wait", wait)
		l.library.Changed("engine_crashed", id, "The engine of "+id.String()+" stopped and is being restarted.", "warning")
		if !pause(ctx, wait) {
			return nil
		}
		next, bootErr := l.boot(ctx, r.m, r.place, r.span == r.m.Whole())
		if bootErr == nil {
			r.found(next)
			l.library.Changed("engine_restarted", id, id.String()+" is back.", "info")
			return next
		}
		if ctx.Err() != nil {
			return nil
		}
		err, lived = bootErr, 0
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

// down notes that the workers are down.
func (r *resident) down() {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.drop()
}

// drop is down with the model's mutex held.
func (r *resident) drop() {
	if r.workers != nil {
		r.workers, r.up = nil, make(chan struct{})
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
func (r *resident) found(c *workers) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.workers, r.loaded = c, true
	close(r.up)
}

// giveUp ends a model whose workers died too often.
func (l *Memory) giveUp(r *resident, err error) {
	m := r.m
	r.leave()
	l.cfg.Log.Error("engine stopped too often", "model", m.ID.String(), "err", err)
	m.mu.Lock()
	m.broken = true
	m.lastErr = fmt.Sprintf("the engine stopped %d times in a row: %v", maxCrashes, err)
	m.mu.Unlock()
	l.library.Changed("engine_failed", m.ID, "The engine of "+m.ID.String()+" keeps stopping; the model stays unloaded.", "error")
}
