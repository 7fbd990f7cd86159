package worker

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

const missingHint = "Put the program shoal-worker beside shoald, where it was installed; reinstall Shoal if it is gone."

// Config says how windows are started.
type Config struct {
	Program string   // the worker program; empty looks for shoal-worker beside this program, then in PATH
	Args    []string // its arguments; none for shoal-worker
	Env     []string // more environment variables, as KEY=VALUE
	Runtime string   // folder with the llama.cpp libraries
	Log     *slog.Logger
}

// Engine starts each window in a worker process. It implements engine.Engine.
type Engine struct{ config Config }

// New makes an engine. It starts nothing and does not look at the files it names.
func New(c Config) *Engine { return &Engine{config: c} }

// Info implements engine.Engine. It asks a worker that ends at once, so free memory is that of this moment.
func (e *Engine) Info(ctx context.Context) (info engine.RuntimeInfo, err error) {
	w, err := e.start(ctx)
	if err != nil {
		return info, err
	}
	defer w.Close()
	err = w.first(ctx, kindInfo, infoRequest{e.config.Runtime}, &info)
	return info, err
}

// Load implements engine.Engine.
func (e *Engine) Load(ctx context.Context, spec engine.Spec) (engine.Window, error) {
	w, err := e.start(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.first(ctx, kindLoad, loadRequest{e.config.Runtime, spec}, &w.shape); err != nil {
		_ = w.Close()
		return nil, err
	}
	w.shape.PID = w.process.command.Process.Pid
	e.config.Log.Info("window loaded", "pid", w.shape.PID, "first", w.shape.Layers.First, "end", w.shape.Layers.End,
		"gpuLayers", w.shape.GPULayers)
	return w, nil
}

func (e *Engine) start(ctx context.Context) (*window, error) {
	program, err := e.program()
	if err != nil {
		return nil, err
	}
	command := exec.Command(program, e.config.Args...)
	command.Env = append(os.Environ(), e.config.Env...)
	p, conn, err := dial(ctx, command, e.config.Log)
	if err != nil {
		return nil, err
	}
	return newWindow(p, conn), nil
}

// program finds the worker program.
func (e *Engine) program() (string, error) {
	if e.config.Program != "" {
		return e.config.Program, nil
	}
	name := "shoal-worker"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", core.Errorf(core.CodeNoRuntime, "find worker program: %w", err).WithHint(missingHint)
	}
	return path, nil
}

// first asks the one question a fresh worker is there for. Loading cannot be stopped half way, so the worker is
// ended when ctx is.
func (w *window) first(ctx context.Context, k kind, request, reply any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return core.Errorf(core.CodeInternal, "encode request: %w", err)
	}
	unhook := context.AfterFunc(ctx, func() { _ = w.Close() })
	f, err := w.ask(context.WithoutCancel(ctx), k, kindReply, func(b []byte) ([]byte, error) { return append(b, body...), nil })
	if !unhook() {
		return core.Errorf(core.CodeCancelled, "load window: %w", context.Cause(ctx))
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(f.body, reply); err != nil {
		return core.Errorf(core.CodeEngineCrashed, "worker's reply: %w", err)
	}
	return nil
}

var _ engine.Engine = (*Engine)(nil)
