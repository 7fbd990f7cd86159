package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/shoal-p2p/shoal/daemon"
	"github.com/shoal-p2p/shoal/daemon/api"
)

// withNode calls fn with a node on an empty data folder of that name, which it runs for so long.
func withNode(ctx context.Context, p plan, name string, fn func(api.Node) error) error {
	dir := filepath.Join(p.work, name)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	n, err := daemon.New(ctx, daemon.Config{
		DataDir: dir, Flags: map[string]string{"runtime": p.runtime, "listen": "127.0.0.1:0", "p2p_listen": "127.0.0.1:0"}, Getenv: noVariables,
	})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(running) }()
	err = fn(n.API())
	stop()
	return errors.Join(err, <-ended)
}
