package main

import (
	"context"
	"errors"
	"os"

	"github.com/shoal-p2p/shoal/daemon"
	"github.com/shoal-p2p/shoal/daemon/api"
)

// withNode calls fn with a node on an empty data folder, which it runs for so long.
func withNode(ctx context.Context, p plan, fn func(api.Node) error) error {
	if err := os.RemoveAll(dataDir(p)); err != nil {
		return err
	}
	n, err := daemon.New(ctx, daemon.Config{
		DataDir: dataDir(p), Flags: map[string]string{"runtime": p.runtime}, NoAPI: true,
		Getenv: func(string) string { return "" },
	}) // no keyring for a node that ends with the run
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(running) }()
	err = fn(n)
	stop()
	return errors.Join(err, <-ended)
}
