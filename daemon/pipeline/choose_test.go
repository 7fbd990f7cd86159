package pipeline

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
)

// someTask is a task with random rows, of which some have run: samples, with drafts behind them, and rows of a prompt.
func someTask(r *rand.Rand, ctx context.Context, most int) *task {
	t := &task{ctx: ctx}
	t.batch.Embed = r.IntN(10) == 0
	for n := 1 + r.IntN(most); len(t.batch.Rows) < n; {
		last := len(t.batch.Rows) - 1
		draft := last >= 0 && t.batch.Rows[last].Sample && !t.batch.Embed && r.IntN(2) == 0
		t.batch.Rows = append(t.batch.Rows, engine.Row{Sample: draft || r.IntN(4) == 0, Draft: draft})
	}
	t.at = t.cut(r.IntN(len(t.batch.Rows)))
	if t.left() == 0 {
		t.at = 0
	}
	return t
}

// TestChoose draws batches that wait and checks what runs together: the first always does, nothing that must run alone is
// beside others, the step is no larger than it may be, one batch at most is large, and no draft leaves the row before it.
func TestChoose(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(5, seed))
		most, target := 1+r.IntN(100), leastPart+r.IntN(100)
		var waiting []part
		for range 1 + r.IntN(12) {
			ctx := t.Context()
			if r.IntN(10) == 0 {
				ctx = ended
			}
			task := someTask(r, ctx, most)
			waiting = append(waiting, part{task: task, rows: task.left()})
		}
		first := waiting[0].task
		parts := choose(waiting, most, target)
		if len(parts) == 0 || parts[0].task != first {
			t.Fatalf("seed %d: the first of %d does not run", seed, len(waiting))
		}
		rows, marked, cut := 0, 0, 0
		for _, p := range parts {
			rest := p.task.batch.Rows[p.task.at:]
			switch {
			case p.rows < 1 || p.rows > len(rest):
				t.Fatalf("seed %d: %d rows of %d", seed, p.rows, len(rest))
			case len(parts) > 1 && p.task.single():
				t.Fatalf("seed %d: a batch that must run alone is beside others", seed)
			case p.rows < len(rest) && rest[p.rows].Draft:
				t.Fatalf("seed %d: a draft is cut off", seed)
			}
			rows, marked = rows+p.rows, marked+p.marked()
			if p.rows < len(rest) {
				cut++
			}
		}
		if cut > 1 || len(parts) > 1 && (rows > most || marked > mostMarked) {
			t.Fatalf("seed %d: %d rows of at most %d, %d sampled, %d batches cut", seed, rows, most, marked, cut)
		}
	}
}
