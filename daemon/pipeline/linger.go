package pipeline

import (
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/engine/mean"
)

const (
	longestLinger = 10 * time.Millisecond
	mostSkips     = 16
	worthSharing  = 0.8 // what a row in a shared step must cost at most, of what it costs in one of its own
)

// patience decides whether decode rows wait a moment for those of other sessions. Sessions in lockstep would take turns
// for ever otherwise: while one's rows run, the other's next are on their way. It pays where a few rows take hardly longer
// than one, as on a GPU, and where the others come in time.
type patience struct {
	own, shared time.Duration // what a row takes in a step for one session, and in one for several; 0 before the first
	step        time.Duration // what a step for one session takes
	skip        int           // steps that do not wait because nobody came before
	skips       int           // how many these were at first
}

// limit is how long the next step may wait; 0 is not at all.
func (p *patience) limit() time.Duration {
	if p.skip > 0 {
		p.skip--
		return 0
	}
	if p.own == 0 || float64(p.shared) > worthSharing*float64(p.own) {
		return 0
	}
	return min(p.step/2, longestLinger)
}

// waited takes in whether somebody came.
func (p *patience) waited(met bool) {
	if met {
		p.skips = 0
		return
	}
	p.skips = min(2*p.skips+1, mostSkips)
	p.skip = p.skips
}

// learn takes in what a step of small parts took.
func (p *patience) learn(sessions, rows int, took time.Duration) {
	each := took / time.Duration(rows)
	if sessions > 1 {
		p.shared = mean.Time(p.shared, each, 4)
		return
	}
	p.own, p.step = mean.Time(p.own, each, 4), mean.Time(p.step, took, 4)
}

// wait is that of one step.
type wait struct {
	since   time.Time // zero while no step waits
	limit   time.Duration
	company int // batches that there were at first
}

// linger lets small parts wait for the missing sessions. It is false when it is time to step.
func (st *station) linger(parts []part, missing int) bool {
	w := &st.wait
	if w.since.IsZero() {
		*w = wait{since: time.Now(), company: len(parts)}
		if missing > 0 && !slices.ContainsFunc(parts, func(p part) bool { return p.task.single() || p.task.left() > smallPart }) {
			w.limit = st.patience.limit()
		}
	}
	if rest := w.limit - time.Since(w.since); missing > 0 && rest > 0 {
		limit := time.NewTimer(rest)
		defer limit.Stop()
		select {
		case <-st.wake:
		case <-limit.C:
		}
		return true
	}
	if w.limit > 0 {
		st.patience.waited(len(parts) > w.company)
	}
	w.since = time.Time{}
	return false
}
