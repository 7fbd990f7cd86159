package llama

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	binding "github.com/hybridgroup/yzma/pkg/llama"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// Config says which libraries to use.
type Config struct {
	Dir string // folder with the llama.cpp libraries
	Log *slog.Logger
}

// Engine runs windows in this process. It implements engine.Engine. The libraries are loaded once per process,
// at the first call, and stay loaded.
type Engine struct {
	config Config

	mu  sync.Mutex // guards lib
	lib *library
}

// New makes an engine; it loads nothing yet.
func New(c Config) *Engine { return &Engine{config: c} }

// Info implements engine.Engine.
func (e *Engine) Info(context.Context) (engine.RuntimeInfo, error) {
	lib, err := e.open()
	if err != nil {
		return engine.RuntimeInfo{}, err
	}
	return engine.RuntimeInfo{Dir: lib.files.dir, Version: lib.files.version, Flavour: lib.files.flavour, Devices: devices()}, nil
}

// open loads the libraries, unless they are.
func (e *Engine) open() (*library, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lib != nil {
		return e.lib, nil
	}
	files, err := findLibraries(e.config.Dir)
	if err != nil {
		return nil, err
	}
	dir, drop, err := files.plain()
	if err != nil {
		return nil, err
	}
	defer drop()
	lib, err := loadLibrary(dir, e.config.Log)
	if err != nil {
		return nil, err
	}
	lib.files = files
	e.lib = lib
	return lib, nil
}

func loadLibrary(dir string, log *slog.Logger) (*library, error) {
	if err := binding.Load(dir); err != nil {
		return nil, noRuntime("load the llama.cpp libraries in %s: %w", dir, err)
	}
	lib, err := loadSymbols(dir)
	if err != nil {
		return nil, err
	}
	lib.setLog(log)
	binding.BackendInit()
	if err := binding.GGMLBackendLoadAllFromPath(dir); err != nil {
		return nil, noRuntime("load backends: %w", err)
	}
	if binding.GGMLBackendDeviceByType(binding.GGMLBackendDeviceTypeCPU) == 0 {
		return nil, noRuntime("no library in %s fits this CPU", dir)
	}
	return lib, nil
}

// devices lists what the runtime sees. A GPU is what llama.cpp would put layers on.
func devices() []engine.Device {
	var list []engine.Device
	for i := range binding.GGMLBackendDeviceCount() {
		d := binding.GGMLBackendDeviceGet(i)
		kind := binding.GGMLBackendDevType(d)
		free, total := binding.GGMLBackendDeviceMemory(d)
		list = append(list, engine.Device{
			Name:        binding.GGMLBackendDeviceName(d),
			Description: strings.TrimSpace(binding.GGMLBackendDeviceDescription(d)),
			GPU:         kind == binding.GGMLBackendDeviceTypeGPU || kind == binding.GGMLBackendDeviceTypeIGPU,
			FreeBytes:   int64(free),
			TotalBytes:  int64(total),
		})
	}
	return list
}

// Load implements engine.Engine.
func (e *Engine) Load(ctx context.Context, spec engine.Spec) (engine.Window, error) {
	if err := ctx.Err(); err != nil {
		return nil, core.Errorf(core.CodeCancelled, "load window: %w", err)
	}
	lib, err := e.open()
	if err != nil {
		return nil, err
	}
	return load(ctx, lib, spec)
}
