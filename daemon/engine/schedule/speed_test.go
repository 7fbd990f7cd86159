package schedule_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
)

// TestLonePromptOverlapsWindows checks that a long prompt is read faster by several windows than by one.
func TestLonePromptOverlapsWindows(t *testing.T) {
	for _, c := range []struct {
		tokens, windows int
		gain            float64
	}{{512, 2, 1.5}, {2048, 2, 1.7}, {512, 3, 1.9}, {4096, 4, 3}} {
		t.Run(fmt.Sprintf("%dTokens%dWindows", c.tokens, c.windows), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				model := fake.Config{Layers: 12, RowTime: time.Millisecond}
				b := start(t, setup{model: model, windows: c.windows, spec: engine.Spec{Context: 8192}})
				begin := time.Now()
				if r := generate(t.Context(), b.Scheduler, job("a", strings.Repeat("x", c.tokens), 1)); r.err != nil {
					t.Fatal(r.err)
				}
				gain := float64(time.Duration(c.tokens)*model.RowTime) / float64(time.Since(begin))
				if gain < c.gain {
					t.Errorf("%.2f times as fast as one window, want %.2f", gain, c.gain)
				}
			})
		})
	}
}

// TestLonePromptTakesFullBatches checks that one window gets as many rows at once as it can take.
func TestLonePromptTakesFullBatches(t *testing.T) {
	var rows []int
	model := fake.Config{BeforeStep: func(_ *fake.Window, b *engine.Batch) error {
		rows = append(rows, len(b.Rows))
		return nil
	}}
	b := start(t, setup{model: model})
	if r := generate(t.Context(), b.Scheduler, job("a", strings.Repeat("x", 1100), 1)); r.err != nil {
		t.Fatal(r.err)
	}
	if fmt.Sprint(rows) != "[512 512 76]" {
		t.Errorf("batches of %v rows", rows)
	}
}

// TestDecodingJobsKeepEveryWindowBusy checks that jobs fall into as many groups as there are windows.
func TestDecodingJobsKeepEveryWindowBusy(t *testing.T) {
	took := func(windows int) (elapsed time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, setup{model: fake.Config{RowTime: 12 * time.Millisecond, EndOdds: -1}, windows: windows})
			begin := time.Now()
			var group sync.WaitGroup
			for i := range 4 {
				group.Go(func() { generate(t.Context(), b.Scheduler, job(fmt.Sprint(i), "x", 100)) })
			}
			group.Wait()
			elapsed = time.Since(begin)
		})
		return elapsed
	}
	one := took(1)
	for windows, gain := range map[int]float64{2: 1.9, 4: 3.6} {
		if got := float64(one) / float64(took(windows)); got < gain {
			t.Errorf("%d windows decode %.2f times as fast as one, want %.2f", windows, got, gain)
		}
	}
}

// TestStepsBesideOthersAreShort checks that a long prompt does not hold up a job that decodes.
func TestStepsBesideOthersAreShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{model: fake.Config{RowTime: 2 * time.Millisecond, EndOdds: -1}, spec: engine.Spec{Context: 8192}})
		var last time.Time
		var longest time.Duration
		begun := make(chan struct{})
		var once sync.Once
		var group sync.WaitGroup
		group.Go(func() {
			_, err := b.Generate(t.Context(), job("a", "x", 60), func(engine.Sample) error {
				if !last.IsZero() {
					longest = max(longest, time.Since(last))
				}
				last = time.Now()
				once.Do(func() { close(begun) })
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-begun
		if r := generate(t.Context(), b.Scheduler, job("b", strings.Repeat("y", 4000), 1)); r.err != nil {
			t.Error(r.err)
		}
		group.Wait()
		if longest > 210*time.Millisecond || longest < 150*time.Millisecond {
			t.Errorf("the longest gap between two tokens is %s, want about 200 ms", longest)
		}
	})
}

// TestCancelFreesTheSlot cancels a lone prompt in a step that would take minutes: the next job runs at once.
func TestCancelFreesTheSlot(t *testing.T) {
	for windows := 1; windows <= 3; windows++ {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, setup{model: fake.Config{RowTime: time.Second}, windows: windows, spec: engine.Spec{Sequences: 1}})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			wantCode(t, generate(ctx, b.Scheduler, job("a", strings.Repeat("x", 500), 5)).err, core.CodeCancelled)
			if load := b.Load(); load.Active != 0 {
				t.Errorf("%d jobs are active after a cancel", load.Active)
			}
			if r := generate(t.Context(), b.Scheduler, job("b", "yy", 1)); r.err != nil {
				t.Error(r.err)
			}
			synctest.Wait()
			for i, w := range b.windows {
				if n := len(w.Tokens(0)); n != 2 {
					t.Errorf("%d windows: window %d holds %d tokens of the cancelled sequence", windows, i, n-2)
				}
			}
		})
	}
}

// TestCancelAmongOthers cancels a job whose rows share batches with another's: it returns at once, its slot is free
// and its tokens are trimmed, and the other job goes on undisturbed.
func TestCancelAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := fake.Config{RowTime: time.Millisecond, StepTime: 20 * time.Millisecond, EndOdds: -1}
		b := start(t, setup{model: model, windows: 2, spec: engine.Spec{Sequences: 2}})
		other := job("b", "other", 100)
		var group sync.WaitGroup
		group.Go(func() {
			if r, want := generate(t.Context(), b.Scheduler, other), alone(t, model, other); r.err != nil || r.text() != want.text() {
				t.Errorf("got %q, %v; want %q", r.text(), r.err, want.text())
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 555*time.Millisecond)
		defer cancel()
		begin := time.Now()
		r := generate(ctx, b.Scheduler, job("a", "x", 1000))
		wantCode(t, r.err, core.CodeCancelled)
		if took := time.Since(begin); took != 555*time.Millisecond {
			t.Errorf("returned after %s", took)
		}
		if load := b.Load(); load.Active != 1 {
			t.Errorf("%d jobs are active, want 1", load.Active)
		}
		group.Wait()
	})
}

// TestCancelOfAPromptThatOthersJoined cancels a prompt of which several chunks are under way, sent when it was alone,
// after another job has begun: what is skipped must not take rows of the other job with it.
func TestCancelOfAPromptThatOthersJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := fake.Config{RowTime: time.Millisecond, EndOdds: -1}
		b := start(t, setup{model: model, windows: 2})
		// A chunk of 125 rows takes each window 62.5 ms. The third is in the second window now, and the first that
		// could carry rows of both jobs is behind it.
		ctx, cancel := context.WithTimeout(t.Context(), 220*time.Millisecond)
		defer cancel()
		other := job("b", "other", 50)
		var group sync.WaitGroup
		group.Go(func() {
			wantCode(t, generate(ctx, b.Scheduler, job("a", strings.Repeat("x", 2000), 5)).err, core.CodeCancelled)
		})
		<-time.After(50 * time.Millisecond)
		if r, want := generate(t.Context(), b.Scheduler, other), alone(t, model, other); r.err != nil || r.text() != want.text() {
			t.Errorf("got %q, %v; want %q", r.text(), r.err, want.text())
		}
		group.Wait()
	})
}

// TestChunksSuitTheWindows reads a prompt alone over two windows: slow ones get many small chunks, so that they overlap,
// and fast ones get as many rows as keep them at work for a while, once that is measured.
func TestChunksSuitTheWindows(t *testing.T) {
	for _, c := range []struct {
		row  time.Duration // of the whole model
		want int64         // batches of the second prompt
	}{{20 * time.Millisecond, 16}, {200 * time.Microsecond, 3}} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, setup{model: fake.Config{RowTime: c.row, EndOdds: -1}, windows: 2, spec: engine.Spec{BatchRows: 512, Context: 1 << 13}})
			generate(t.Context(), b.Scheduler, job("a", strings.Repeat("x", 500), 1))
			before := b.Stats().Batches
			if r := generate(t.Context(), b.Scheduler, job("b", strings.Repeat("y", 1440), 1)); r.err != nil {
				t.Error(r.err)
			}
			if n := b.Stats().Batches - before; n != c.want {
				t.Errorf("%s a row: %d batches, want %d", c.row, n, c.want)
			}
		})
	}
}

// Test200Streams checks that nothing is lost or reordered, what a stream costs, and that its goroutines end.
func Test200Streams(t *testing.T) {
	const streams = 200
	gate := make(chan struct{})
	var hold atomic.Bool
	model := fake.Config{EndOdds: -1}
	held := model
	held.BeforeStep = func(*fake.Window, *engine.Batch) error {
		if hold.Load() {
			<-gate
		}
		return nil
	}
	b := start(t, setup{model: held, windows: 2, spec: engine.Spec{Context: 1 << 15, Sequences: 16}, config: schedule.Config{Queue: 1000}})
	generate(t.Context(), b.Scheduler, job("first", "x", 1)) // every goroutine of the scheduler runs now
	hold.Store(true)
	baseline, memory := runtime.NumGoroutine(), memoryInUse()
	var group sync.WaitGroup
	var right atomic.Int64
	for i := range streams {
		request := job(fmt.Sprint("requester", i%7), fmt.Sprintf("stream number %d", i), 100)
		want := alone(t, model, request).text()
		group.Go(func() {
			if r := generate(t.Context(), b.Scheduler, request); r.err != nil || r.text() != want {
				t.Errorf("stream %d: got %q, %v; want %q", i, r.text(), r.err, want)
				return
			}
			right.Add(1)
		})
	}
	await(t, func() bool { l := b.Load(); return l.Active+l.Waiting == streams })
	if each := (memoryInUse() - memory) / streams; each > 512<<10 {
		t.Errorf("a stream takes %d KiB", each>>10)
	}
	close(gate)
	group.Wait()
	await(t, func() bool { return runtime.NumGoroutine() <= baseline })
	if right.Load() != streams {
		t.Errorf("%d of %d streams are right", right.Load(), streams)
	}
}

func memoryInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// await polls until ok, at most 10 s.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain")
		}
	}
}

// BenchmarkStep is what a token costs beyond the windows: a step of jobs that decode on windows that take no time.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct{ windows, jobs int }{{1, 1}, {2, 1}, {1, 8}, {2, 8}} {
		b.Run(fmt.Sprintf("%dWindows%dJobs", c.windows, c.jobs), func(b *testing.B) {
			s := start(b, setup{model: fake.Config{EndOdds: -1}, windows: c.windows, spec: engine.Spec{Context: 1 << 28}})
			b.ReportAllocs()
			b.ResetTimer()
			var group sync.WaitGroup
			for i := range c.jobs {
				group.Go(func() {
					if r := generate(b.Context(), s.Scheduler, job(fmt.Sprint(i), "x", b.N/c.jobs+1)); r.err != nil {
						b.Error(r.err)
					}
				})
			}
			group.Wait()
		})
	}
}
