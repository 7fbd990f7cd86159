package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/worker"
)

// runtimeRetry is how often a missing runtime is looked for again.
const runtimeRetry = 30 * time.Second

// runtimeState is what is known of the llama.cpp libraries.
type runtimeState struct {
	info engine.RuntimeInfo
	err  error
}

// workers is the engine of worker processes, on whatever libraries are there when one is started.
type workers struct {
	dataDir  string
	settings func() config.Settings
	log      *slog.Logger
}

// Info implements engine.Engine.
func (w *workers) Info(ctx context.Context) (engine.RuntimeInfo, error) {
	e, err := w.engine()
	if err != nil {
		return engine.RuntimeInfo{}, err
	}
	return e.Info(ctx)
}

// Load implements engine.Engine.
func (w *workers) Load(ctx context.Context, spec engine.Spec) (engine.Window, error) {
	e, err := w.engine()
	if err != nil {
		return nil, err
	}
	return e.Load(ctx, spec)
}

func (w *workers) engine() (engine.Engine, error) {
	set := w.settings()
	dir, err := FindRuntime(set.RuntimeDir, w.dataDir)
	if err != nil {
		return nil, err
	}
	return worker.New(worker.Config{Program: set.WorkerPath, Runtime: dir, Log: w.log}), nil
}

// FindRuntime returns the folder of the llama.cpp libraries: the one that is set, else the first of these that has
// them: beside the program, in the data folder, in the cache where packaging/runtime/install.sh puts them.
func FindRuntime(set, dataDir string) (string, error) {
	if set != "" {
		return set, nil // the worker says what is wrong with it, if anything is
	}
	var places []string
	if self, err := os.Executable(); err == nil {
		beside := filepath.Dir(self)
		places = append(places, beside, filepath.Join(beside, "runtime"), filepath.Join(beside, "..", "lib", "shoal"))
	}
	places = append(places, filepath.Join(dataDir, "runtime"))
	if cache, err := os.UserCacheDir(); err == nil {
		places = append(places, filepath.Join(cache, "shoal", "runtime"))
	}
	for _, place := range places {
		for _, dir := range append([]string{place}, subfolders(place)...) {
			if hasLibraries(dir) {
				return dir, nil
			}
		}
	}
	return "", core.Errorf(core.CodeNoRuntime, "no llama.cpp libraries in %s", strings.Join(places, ", ")).
		WithHint("Install them (make run does), or name their folder with --runtime.")
}

// subfolders are the folders in dir that may hold libraries: GPU flavours first, then the newest version.
func subfolders(dir string) []string {
	found, err := filepath.Glob(filepath.Join(dir, "llama.cpp-*"))
	if err != nil {
		return nil
	}
	slices.Sort(found)
	slices.Reverse(found)
	slices.SortStableFunc(found, func(a, b string) int { return flavourRank(a) - flavourRank(b) })
	return found
}

func flavourRank(dir string) int {
	for i, flavour := range []string{"cuda", "metal", "vulkan"} {
		if strings.Contains(filepath.Base(dir), flavour) {
			return i
		}
	}
	return 3
}

// hasLibraries tells whether llama.cpp's main library is in dir.
func hasLibraries(dir string) bool {
	pattern := "libllama.*"
	if runtime.GOOS == "windows" {
		pattern = "*llama*.dll"
	}
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	return err == nil && len(found) > 0
}

// watchRuntime asks the runtime for its devices, again and again while there is none.
func (n *Node) watchRuntime(ctx context.Context) error {
	for {
		n.askRuntime(ctx)
		if n.runtime.Load().err == nil {
			<-ctx.Done()
			return nil
		}
		select {
		case <-time.After(runtimeRetry):
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *Node) askRuntime(ctx context.Context) {
	info, err := n.engine.Info(ctx)
	before := n.runtime.Swap(&runtimeState{info, err})
	if err == nil {
		n.hardware.SetRuntime(info)
		poke(n.network.news)
		n.log.Info("runtime is ready", "version", info.Version, "flavour", info.Flavour, "dir", info.Dir)
	} else if ctx.Err() == nil && (before == nil || before.err == nil || before.err.Error() != err.Error()) {
		n.log.Warn("no runtime", "err", err)
	}
}

// RuntimeInfo asks which llama.cpp libraries and devices there are. The error has code CodeNoRuntime and a hint.
func (n *Node) RuntimeInfo(ctx context.Context) (engine.RuntimeInfo, error) {
	n.askRuntime(ctx)
	state := n.runtime.Load()
	return state.info, state.err
}
