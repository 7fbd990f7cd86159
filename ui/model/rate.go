package model

import (
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

const (
	rateWarmUp = 3 * time.Second // no estimate before: the first seconds say little
	rateWeight = 0.2             // of a new second against the average so far
)

// Rate turns progress reports into a speed and a time left that do not jump about. The zero value is ready.
type Rate struct {
	started, last time.Time
	lastDone      int64
	perSecond     float64
	left          time.Duration
}

// Observe takes a report made at now.
func (r *Rate) Observe(p core.Progress, now time.Time) {
	if r.started.IsZero() || p.Done < r.lastDone {
		*r = Rate{started: now, last: now, lastDone: p.Done}
		return
	}
	dt := now.Sub(r.last).Seconds()
	if dt < 0.25 {
		return // too short to measure
	}
	speed := float64(p.Done-r.lastDone) / dt
	if r.perSecond == 0 {
		r.perSecond = speed
	} else {
		w := min(1, rateWeight*dt)
		r.perSecond += w * (speed - r.perSecond)
	}
	r.last, r.lastDone = now, p.Done
	r.left = r.estimate(p, now)
}

// estimate is the time left, at most twice and at least half of the one shown before.
func (r *Rate) estimate(p core.Progress, now time.Time) time.Duration {
	if now.Sub(r.started) < rateWarmUp || r.perSecond <= 0 || p.Total <= p.Done {
		return 0
	}
	left := time.Duration(float64(p.Total-p.Done) / r.perSecond * float64(time.Second))
	if r.left > 0 {
		left = min(max(left, r.left/2), r.left*2)
	}
	return left
}

// BytesPerSecond is the smoothed speed; 0 while it is not known.
func (r *Rate) BytesPerSecond() float64 { return r.perSecond }

// Left is the time left; 0 while it is not known.
func (r *Rate) Left() time.Duration { return r.left }
