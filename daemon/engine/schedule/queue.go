package schedule

import "slices"

// queue holds the jobs that wait for a slot, in one line per requester.
type queue struct {
	lines  []*line // those with a waiting or an active job
	length int     // waiting jobs of all lines
	served uint64
}

// line is the jobs of one requester.
type line struct {
	requester string
	waiting   []*job
	active    int
	served    uint64 // when a job of the line last left it
}

func (q *queue) line(requester string) *line {
	for _, l := range q.lines {
		if l.requester == requester {
			return l
		}
	}
	l := &line{requester: requester}
	q.lines = append(q.lines, l)
	return l
}

func (q *queue) push(j *job) {
	l := q.line(j.requester)
	l.waiting = append(l.waiting, j)
	q.length++
}

// next is the job to admit first: that of the requester with the fewest active jobs, and among equals of the one
// served longest ago. It is nil when none waits.
func (q *queue) next() *job {
	var best *line
	for _, l := range q.lines {
		if len(l.waiting) == 0 {
			continue
		}
		if best == nil || l.active < best.active || l.active == best.active && l.served < best.served {
			best = l
		}
	}
	if best == nil {
		return nil
	}
	return best.waiting[0]
}

// activate takes a waiting job out of its line; retire must follow.
func (q *queue) activate(j *job) {
	l := q.line(j.requester)
	q.served++
	l.active++
	l.served = q.served
	q.remove(j)
}

// remove takes a waiting job out of its line.
func (q *queue) remove(j *job) {
	l := q.line(j.requester)
	if i := slices.Index(l.waiting, j); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		q.length--
	}
	q.clean()
}

// retire counts an active job as ended.
func (q *queue) retire(requester string) {
	q.line(requester).active--
	q.clean()
}

func (q *queue) clean() {
	q.lines = slices.DeleteFunc(q.lines, func(l *line) bool { return l.active == 0 && len(l.waiting) == 0 })
}

// waitingOf is how many jobs of a requester wait.
func (q *queue) waitingOf(requester string) int {
	for _, l := range q.lines {
		if l.requester == requester {
			return len(l.waiting)
		}
	}
	return 0
}
