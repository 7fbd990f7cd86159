package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/adrg/xdg"

	"github.com/shoal-p2p/shoal/assets"
	"github.com/shoal-p2p/shoal/daemon"
	"github.com/shoal-p2p/shoal/daemon/access"
	"github.com/shoal-p2p/shoal/daemon/chat/renderer"
	"github.com/shoal-p2p/shoal/daemon/client"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// node is the node that the screen shows: the one of this program or, where `shoald serve` runs on the same data
// folder, that one.
type node struct {
	backend
	run func(context.Context) error
}

// Run runs the node until ctx ends or the node is shut down.
func (n *node) Run(ctx context.Context) error { return n.run(ctx) }

// openNode opens the node of the data folder dir.
func openNode(ctx context.Context, o options, dir string, log *slog.Logger, level *slog.LevelVar) (*node, error) {
	cfg := daemon.Config{
		DataDir: dir, ConfigFile: o.config, Environ: os.Environ(), Flags: o.flags, Version: version, Commit: commit,
		Demo: assets.Demo, DemoName: assets.DemoName, Log: log, SetLevel: level.Set,
		Renderer: renderer.NewProcess(renderer.ProcessConfig{Command: renderer.OwnCommand(), Log: log}),
	}
	own, err := daemon.New(ctx, cfg)
	if err == nil {
		go greet(ctx, own, cfg)
		return &node{backend: backend{node: own.API(), url: ownURL(own)}, run: own.Run}, nil
	}
	if core.CodeOf(err) != core.CodeConflict {
		return nil, err
	}
	running, attachErr := attach(ctx, cfg)
	if attachErr != nil {
		return nil, err // the conflict says more than that nobody answered
	}
	log.Info("showing the node of another process")
	return running, nil
}

// greet prints how to reach the node, for who started the window from a terminal.
func greet(ctx context.Context, n *daemon.Node, cfg daemon.Config) {
	select {
	case <-n.Started():
	case <-ctx.Done():
		return
	}
	place, err := access.Of(ctx, cfg.DataDir, cfg.Getenv)
	if err != nil {
		return // the screen shows the same, and says why when it cannot
	}
	place.URL = n.URL()
	fmt.Printf("Shoal is running.\n\nAPI  %s/v1\nKey  %s\nTry  %s\n\n", place.URL, place.Place, place.Curl("shoald key --data-dir "+access.ShellWord(cfg.DataDir)))
}

// ownURL tells where the node's API is, once it listens.
func ownURL(n *daemon.Node) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		select {
		case <-n.Started():
			return n.URL(), nil
		case <-ctx.Done():
			return "", core.Errorf(core.CodeNotReady, "the API does not listen yet: %w", ctx.Err())
		}
	}
}

// attach reaches the node that has the data folder open in another process.
func attach(ctx context.Context, cfg daemon.Config) (*node, error) {
	place, err := access.Of(ctx, cfg.DataDir, cfg.Getenv)
	if err != nil {
		return nil, err
	}
	c := client.New(client.Config{URL: place.URL, Key: place.Key.Reveal()})
	if err := c.Alive(ctx); err != nil {
		return nil, err
	}
	return &node{
		backend: backend{node: c, url: func(context.Context) (string, error) { return place.URL, nil }},
		run: func(ctx context.Context) error {
			defer c.Close()
			<-ctx.Done()
			return nil
		},
	}, nil
}

// dataDir is where the models and settings are: the flag, SHOAL_DATA_DIR, or the platform's usual place.
func dataDir(o options) (string, error) {
	dir := o.dataDir
	if dir == "" {
		dir = os.Getenv("SHOAL_DATA_DIR")
	}
	if dir == "" {
		dir = filepath.Join(xdg.DataHome, "shoal")
	}
	return filepath.Abs(dir)
}
