package schedule_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
)

func TestFullQueueRefusesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{
			model:  fake.Config{StepTime: time.Second, EndOdds: -1},
			spec:   engine.Spec{Sequences: 2},
			config: schedule.Config{Queue: 4},
		})
		var group sync.WaitGroup
		for i := range 6 {
			group.Go(func() {
				r := generate(t.Context(), b.Scheduler, job(fmt.Sprint(i), "x", 3))
				if r.err != nil || len(r.samples) != 3 {
					t.Errorf("accepted job %d: %d tokens, %v", i, len(r.samples), r.err)
				}
			})
		}
		synctest.Wait()
		begin := time.Now()
		wantCode(t, generate(t.Context(), b.Scheduler, job("z", "x", 3)).err, core.CodeOverloaded)
		if took := time.Since(begin); took != 0 {
			t.Errorf("refused after %s", took)
		}
		if load := b.Load(); load != (engine.Load{Active: 2, Waiting: 4}) {
			t.Errorf("load is %+v", load)
		}
		group.Wait()
		if stats := b.Stats(); stats.Refused != 1 || stats.Jobs != 6 || stats.TokensOut != 18 {
			t.Errorf("stats are %+v", stats)
		}
	})
}

func TestOneRequesterCannotFillTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{
			model:  fake.Config{StepTime: time.Second},
			spec:   engine.Spec{Sequences: 1},
			config: schedule.Config{Queue: 8},
		})
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		refused := 0
		var mu sync.Mutex
		for range 20 {
			group.Go(func() {
				if r := generate(ctx, b.Scheduler, job("greedy", "x", 100)); core.CodeOf(r.err) == core.CodeOverloaded {
					mu.Lock()
					refused++
					mu.Unlock()
				}
			})
		}
		synctest.Wait()
		if refused != 13 {
			t.Errorf("%d of 20 are refused, want 13: one runs and 6 wait", refused)
		}
		group.Go(func() {
			if r := generate(t.Context(), b.Scheduler, job("honest", "x", 2)); r.err != nil {
				t.Error(r.err)
			}
		})
		synctest.Wait()
		cancel()
		group.Wait()
	})
}

// TestRequestersTakeTurns lets one requester queue many jobs before another brings a few: the few must not wait for
// all of the many.
func TestRequestersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{
			model: fake.Config{StepTime: time.Second, EndOdds: -1},
			spec:  engine.Spec{Sequences: 2},
		})
		begin := time.Now()
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() { generate(t.Context(), b.Scheduler, job("many", "x", 10)) })
		}
		synctest.Wait()
		for range 2 {
			group.Go(func() {
				generate(t.Context(), b.Scheduler, job("few", "x", 10))
				if took := time.Since(begin); took > 31*time.Second {
					t.Errorf("a job of the second requester ended after %s", took)
				}
			})
		}
		group.Wait()
	})
}

// TestKVExhaustion runs jobs whose replies cannot all fit: each must end, with a prefix of what it gives alone.
func TestKVExhaustion(t *testing.T) {
	for windows := 1; windows <= 3; windows++ {
		synctest.Test(t, func(t *testing.T) {
			model := fake.Config{EndOdds: -1, StepTime: time.Millisecond}
			b := start(t, setup{model: model, windows: windows, spec: engine.Spec{Context: 100, Sequences: 4}})
			var group sync.WaitGroup
			for i := range 12 {
				request := job("a", fmt.Sprintf("prompt number %d", i), 90)
				want := alone(t, model, request)
				group.Go(func() {
					r := generate(t.Context(), b.Scheduler, request)
					n := len(r.samples)
					if r.err != nil || r.finish.Reason != core.FinishLength || n == 0 || !slices.Equal(r.tokens(), want.tokens()[:n]) {
						t.Errorf("job %d: %d tokens, %+v, %v", i, n, r.finish, r.err)
					}
				})
			}
			group.Wait()
			if stats := b.Stats(); stats.KVUsed > stats.KVSize {
				t.Errorf("stats are %+v", stats)
			}
		})
	}
}

func TestLongPromptWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := fake.Config{EndOdds: -1, StepTime: time.Millisecond}
		b := start(t, setup{model: model, spec: engine.Spec{Context: 128, Sequences: 4}})
		var group sync.WaitGroup
		for i := range 8 {
			request := job("a", strings.Repeat(fmt.Sprint(i), 100), 20)
			group.Go(func() {
				r := generate(t.Context(), b.Scheduler, request)
				if want := alone(t, model, request); r.err != nil || r.text() != want.text() {
					t.Errorf("job %d: got %q, %v; want %q", i, r.text(), r.err, want.text())
				}
			})
		}
		group.Wait()
		if stats := b.Stats(); stats.Evictions != 0 && stats.KVUsed > 128 {
			t.Errorf("stats are %+v", stats)
		}
	})
}

// TestSlowConsumerIsCut has one client that stops reading: the other is served as if it were not there.
func TestSlowConsumerIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{
			model:  fake.Config{StepTime: 10 * time.Millisecond, EndOdds: -1},
			spec:   engine.Spec{Sequences: 2},
			config: schedule.Config{Buffer: 8, StallLimit: 5 * time.Second},
		})
		begin := time.Now()
		stuck, unstick := make(chan struct{}), make(chan struct{})
		slow := make(chan error, 1)
		emitted := 0
		go func() {
			_, err := b.Generate(t.Context(), job("slow", "x", 1000), func(engine.Sample) error {
				if emitted++; emitted == 1 {
					close(stuck)
					<-unstick
				}
				return nil
			})
			slow <- err
		}()
		<-stuck
		if r := generate(t.Context(), b.Scheduler, job("fast", "x", 500)); r.err != nil || len(r.samples) != 500 {
			t.Errorf("the fast client got %d tokens, %v", len(r.samples), r.err)
		}
		if took := time.Since(begin); took > 500*10*time.Millisecond+30*time.Millisecond {
			t.Errorf("the fast client took %s", took)
		}
		time.AfterFunc(time.Second, func() { close(unstick) })
		wantCode(t, <-slow, core.CodeTimeout)
		if stats := b.Stats(); stats.Stalled != 1 || emitted != 1 {
			t.Errorf("stats are %+v after %d tokens", stats, emitted)
		}
	})
}

// TestPausedConsumerLosesNothing has a client slower than the engine, but within the limit.
func TestPausedConsumerLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := fake.Config{StepTime: time.Millisecond, EndOdds: -1}
		b := start(t, setup{model: model, config: schedule.Config{Buffer: 2, StallLimit: 5 * time.Second}})
		want := alone(t, model, job("a", "x", 50))
		var got result
		_, err := b.Generate(t.Context(), job("a", "x", 50), func(s engine.Sample) error {
			got.samples = append(got.samples, s)
			<-time.After(time.Second)
			return nil
		})
		if err != nil || got.text() != want.text() {
			t.Errorf("got %q, %v; want %q", got.text(), err, want.text())
		}
	})
}

func TestCrashEndsEveryJob(t *testing.T) {
	for windows := 1; windows <= 3; windows++ {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, setup{model: fake.Config{StepTime: time.Second}, windows: windows, spec: engine.Spec{Sequences: 2}})
			time.AfterFunc(1500*time.Millisecond, b.windows[windows-1].Crash)
			begin := time.Now()
			var group sync.WaitGroup
			for range 5 {
				group.Go(func() {
					wantCode(t, generate(t.Context(), b.Scheduler, job("a", "x", 100)).err, core.CodeEngineCrashed)
				})
			}
			group.Wait()
			if took := time.Since(begin); took != 1500*time.Millisecond {
				t.Errorf("%d windows: ended after %s", windows, took)
			}
			<-b.ended
			wantCode(t, b.err, core.CodeEngineCrashed)
			wantCode(t, generate(t.Context(), b.Scheduler, job("a", "x", 1)).err, core.CodeEngineCrashed)
		})
	}
}

func TestCloseEndsEveryJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{model: fake.Config{StepTime: time.Hour}, windows: 2, spec: engine.Spec{Sequences: 2}})
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				wantCode(t, generate(t.Context(), b.Scheduler, job("a", "x", 100)).err, core.CodeNotReady)
			})
		}
		synctest.Wait()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		group.Wait()
		<-b.ended
		if b.err != nil {
			t.Error(b.err)
		}
		wantCode(t, generate(t.Context(), b.Scheduler, job("a", "x", 1)).err, core.CodeNotReady)
	})
}

func TestCloseBeforeRun(t *testing.T) {
	windows, _ := fake.Cut(fake.Config{}, engine.Spec{}, 1)
	s, err := schedule.New(schedule.Config{Windows: windows})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wantCode(t, s.Run(t.Context()), core.CodeNotReady)
	wantCode(t, generate(t.Context(), s, job("a", "x", 1)).err, core.CodeNotReady)
}
