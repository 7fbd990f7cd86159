package runtime

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

var _ engine.Engine = (*Workers)(nil)

func TestFind(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", "")
	data := t.TempDir()
	if _, err := Find("", data); core.CodeOf(err) != core.CodeNoRuntime || !strings.Contains(err.Error(), data) {
		t.Errorf("without any: %v", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, better := range []string{
		filepath.Join(cache, "shoal", "runtime", "llama.cpp-v0.5.0-linux-x64-cpu"),
		filepath.Join(cache, "shoal", "runtime", "llama.cpp-v0.5.0-linux-x64-vulkan"),
		filepath.Join(data, "runtime"),
	} {
		if err := os.MkdirAll(better, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"libllama.so", "llama.dll"} {
			if err := os.WriteFile(filepath.Join(better, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := Find("", data); got != better || err != nil {
			t.Errorf("got %s, %v; want %s", got, err, better)
		}
	}
	if got, err := Find("/mine", data); got != "/mine" || err != nil {
		t.Errorf("the one that is set: %s, %v", got, err)
	}
}

// late is an engine whose libraries appear after some asking.
type late struct {
	engine.Engine
	missing int
}

func (l *late) Info(context.Context) (engine.RuntimeInfo, error) {
	if l.missing--; l.missing >= 0 {
		return engine.RuntimeInfo{}, core.Errorf(core.CodeNoRuntime, "not there")
	}
	return engine.RuntimeInfo{Version: "v1"}, nil
}

// TestWatchTellsEachStateOnce waits for libraries that are put there after two looks.
func TestWatchTellsEachStateOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states []string
		w := NewWatch(&late{missing: 2}, func(s Status) { states = append(states, s.State) }, slog.New(slog.DiscardHandler))
		if w.Status().State != Searching || w.Version() != "" {
			t.Errorf("before the first look: %+v", w.Status())
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.Run(ctx) }()
		synctest.Wait()
		if s := w.Status(); s.State != Missing || core.CodeOf(s.Err) != core.CodeNoRuntime {
			t.Errorf("without libraries: %+v", s)
		}
		time.Sleep(3 * retryAfter)
		synctest.Wait()
		if w.Status().State != Ready || w.Version() != "v1" || !slices.Equal(states, []string{Missing, Ready}) {
			t.Errorf("with libraries: %+v, told %v", w.Status(), states)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
