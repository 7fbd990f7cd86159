package schedule_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest/real"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
)

// TestRealWindows runs jobs together over worker processes with a small trained model: each must give what it gives
// alone, however the model is cut, and a second turn must find its first one cached.
func TestRealWindows(t *testing.T) {
	e := real.Engine(t)
	path := real.Handed(t, "models", "stories260K-f32.gguf") // the texts of random weights hang on rounding
	dir, shards := real.Cut(t, path)
	prompts := []string{
		"Once upon a time", "The little dog", "Lily and Tom went to the park. They", "One day, a big red ball",
		"Mom said", strings.Repeat("The sun was warm and the birds sang. ", 6) + "Then",
	}
	want := map[string]string{}
	for windows := 1; windows <= 3; windows++ {
		t.Run(fmt.Sprintf("%dWindows", windows), func(t *testing.T) {
			s := startReal(t, e, engine.Spec{ModelDir: dir, Context: 4096, Sequences: 20, BatchRows: 64, Threads: 1, ShareCPU: windows > 1}, windows, shards)
			for _, prompt := range prompts {
				r := say(t, s, "alone", prompt)
				if want[prompt] == "" {
					want[prompt] = r.text()
				}
				if r.text() != want[prompt] {
					t.Errorf("%q alone: got %q, one window gives %q", prompt, r.text(), want[prompt])
				}
			}
			var group sync.WaitGroup
			for i, prompt := range prompts {
				group.Go(func() {
					requester := fmt.Sprint("together", i)
					if r := say(t, s, requester, prompt); r.text() != want[prompt] {
						t.Errorf("%q together: got %q, want %q", prompt, r.text(), want[prompt])
					}
					if r := say(t, s, requester, prompt); r.text() != want[prompt] || r.finish.Cached == 0 {
						t.Errorf("%q again: got %q with %d tokens cached, want %q", prompt, r.text(), r.finish.Cached, want[prompt])
					}
				})
			}
			group.Wait()
			if stats := s.Stats(); stats.Jobs != 18 || stats.PrefixHits < 6 || stats.RowsPerStep <= 1 {
				t.Errorf("stats are %+v", stats)
			}
		})
	}
}

// say continues a prompt by up to 40 tokens at temperature 0.
func say(t *testing.T, s *schedule.Scheduler, requester, prompt string) result {
	t.Helper()
	tokens, err := s.Tokenize(t.Context(), prompt, true, false)
	if err != nil {
		t.Error(err)
		return result{}
	}
	r := generate(t.Context(), s, engine.Job{Requester: requester, Prompt: tokens, MaxTokens: 40})
	if r.err != nil || len(r.samples) == 0 {
		t.Errorf("%q: %d tokens, %v", prompt, len(r.samples), r.err)
	}
	return r
}

func startReal(t *testing.T, e engine.Engine, spec engine.Spec, windows, shards int) *schedule.Scheduler {
	t.Helper()
	var cut []engine.Window
	for i := range windows {
		spec.FirstShard, spec.EndShard = i*shards/windows, (i+1)*shards/windows
		w, err := e.Load(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.Close() })
		cut = append(cut, w)
	}
	s, err := schedule.New(schedule.Config{Windows: cut})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}
