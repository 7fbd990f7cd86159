package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/adrg/xdg"

	"github.com/shoal-p2p/shoal/assets"
	"github.com/shoal-p2p/shoal/daemon"
	"github.com/shoal-p2p/shoal/daemon/access"
	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/chat/renderer"
	"github.com/shoal-p2p/shoal/daemon/client"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/runtime"
	"github.com/shoal-p2p/shoal/daemon/engine/worker"
	"github.com/shoal-p2p/shoal/daemon/hardware"
)

// This is the only file where the node's concrete types are made: the commands see api.Node.

// locations are where a node keeps its things.
type locations struct{ data, config string }

// paths are the flags', or the platform's usual places.
func (c *cli) paths() locations {
	p := locations{data: c.DataDir, config: c.Config}
	if p.data == "" {
		p.data = filepath.Join(xdg.DataHome, "shoal")
	}
	if absolute, err := filepath.Abs(p.data); err == nil {
		p.data = absolute
	}
	if p.config == "" {
		p.config = filepath.Join(p.data, "config.toml")
	}
	return p
}

// settingFlags are the flags that override a setting, by its key.
func (c *cli) settingFlags() map[string]string {
	flags := map[string]string{"listen": c.Listen, "p2p_listen": c.P2PListen, "runtime": c.Runtime}
	for key, value := range flags {
		if value == "" {
			delete(flags, key)
		}
	}
	if c.Serve.Anchor {
		flags["anchor"] = "true"
	}
	return flags
}

func (c *cli) settings() (*config.Manager, error) {
	return config.Load(config.Options{File: c.paths().config, Environ: os.Environ(), Flags: c.settingFlags()})
}

// nodeConfig is a node on the flags' data folder, without the demo model and without a log.
func (c *cli) nodeConfig() daemon.Config {
	p := c.paths()
	return daemon.Config{
		DataDir: p.data, ConfigFile: p.config, Environ: os.Environ(), Flags: c.settingFlags(),
		Version: version, Commit: commit,
		Renderer: renderer.NewProcess(renderer.ProcessConfig{Command: renderer.OwnCommand(), Log: slog.Default()}),
	}
}

// serverConfig is the node that shoald serve runs.
func (c *cli) serverConfig(log *slog.Logger, level *slog.LevelVar) daemon.Config {
	cfg := c.nodeConfig()
	cfg.Log, cfg.SetLevel = log, level.Set
	if !c.Serve.NoDemo && !c.Serve.Anchor {
		cfg.Demo, cfg.DemoName = assets.Demo, assets.DemoName
	}
	return cfg
}

// running returns the node that runs on this PC: the one at --listen, or the one that has the data folder. It is nil
// when there is none.
func (s *session) running() (api.Node, error) {
	place, err := s.access()
	if err != nil {
		return nil, err
	}
	for _, url := range []string{listenURL(s.cli.Listen), place.URL} {
		if url == "" {
			continue
		}
		n := client.New(client.Config{URL: url, Key: place.Key.Reveal()})
		if n.Alive(s.ctx) == nil {
			return n, nil
		}
		n.Close()
	}
	return nil, nil
}

func listenURL(listen string) string {
	if listen == "" {
		return ""
	}
	return "http://" + listen
}

// inProcess calls fn with a node of this process on the data folder. It does not run: models stay on the disk, so that
// a list of them costs no memory.
func (s *session) inProcess(fn func(context.Context, api.Node) error) error {
	cfg := s.cli.nodeConfig()
	cfg.NoAPI = true
	n, err := daemon.New(s.ctx, cfg)
	if err != nil {
		return err
	}
	defer n.Close()
	return fn(s.ctx, n.API())
}

// inProcessWithDemo calls fn with a node of this process that runs, so that it can answer.
func (s *session) inProcessWithDemo(fn func(context.Context, api.Node) error) error {
	cfg := s.cli.nodeConfig()
	cfg.NoAPI, cfg.Demo, cfg.DemoName = true, assets.Demo, assets.DemoName
	return runNode(s.ctx, cfg, func(ctx context.Context, n *daemon.Node) error { return fn(ctx, n.API()) })
}

// runNode runs a node for as long as fn takes.
func runNode(ctx context.Context, cfg daemon.Config, fn func(context.Context, *daemon.Node) error) error {
	n, err := daemon.New(ctx, cfg)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- n.Run(running) }()
	err = fn(ctx, n)
	stop()
	return errors.Join(err, <-ended)
}

// access tells how to reach the node of the data folder.
func (s *session) access() (access.Access, error) {
	cfg := s.cli.nodeConfig()
	return access.Of(s.ctx, cfg.DataDir, cfg.Getenv)
}

func (s *session) apiKey() (key, place string, err error) {
	a, err := s.access()
	return a.Key.Reveal(), a.Place, err
}

// freeDisk is the free space where the data folder is, in bytes.
func (c *cli) freeDisk(ctx context.Context) (int64, error) {
	m := hardware.New(hardware.Config{DataDir: c.paths().data, Region: func() string { return "" }})
	return m.Snapshot(ctx).AvailableDiskMB << 20, nil
}

// engineConfig names the llama.cpp libraries and the worker program, found as the node finds them.
func (c *cli) engineConfig() (worker.Config, error) {
	m, err := c.settings()
	if err != nil {
		return worker.Config{}, err
	}
	set := m.Get()
	dir, err := runtime.Find(set.RuntimeDir, c.paths().data)
	return worker.Config{Program: set.WorkerPath, Runtime: dir, Log: slog.New(slog.DiscardHandler)}, err
}

// runtimeInfo asks a worker what the libraries are and which devices they see.
func (c *cli) runtimeInfo(ctx context.Context) (engine.RuntimeInfo, error) {
	cfg, err := c.engineConfig()
	if err != nil {
		return engine.RuntimeInfo{}, err
	}
	return worker.New(cfg).Info(ctx)
}

// demoQuestion is what the built-in model is asked, demoAnswer a part of the one right answer.
const demoQuestion, demoAnswer = "What is Shoal?", "gaming PCs"

// askDemo puts a question to the built-in model, on a node and data folder of its own.
func (c *cli) askDemo(ctx context.Context, question string) (answer string, err error) {
	dir, err := os.MkdirTemp("", "shoal-doctor-*")
	if err != nil {
		return "", core.Errorf(core.CodeInternal, "make a folder for the self-test: %w", err)
	}
	defer os.RemoveAll(dir)
	parts, err := c.engineConfig()
	if err != nil {
		return "", err
	}
	cfg := c.nodeConfig()
	cfg.Flags["runtime"] = parts.Runtime // the one in the user's data folder counts too
	cfg.DataDir, cfg.NoAPI, cfg.Demo, cfg.DemoName = dir, true, assets.Demo, assets.DemoName
	cfg.Getenv = func(string) string { return "" } // its key is worth nothing: keep it out of the keyring
	err = runNode(ctx, cfg, func(ctx context.Context, n *daemon.Node) error {
		reply, err := n.API().Generate(ctx, &core.GenerateRequest{
			Model: "auto", Requester: "doctor", Messages: []core.Message{{Role: "user", Content: question}}, MaxTokens: 128,
		}, func(core.Delta) error { return nil })
		if err == nil {
			answer = reply.Message.Content
		}
		return err
	})
	return answer, err
}
