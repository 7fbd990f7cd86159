package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/worker"
	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/pipeline/chainbench"
	"github.com/shoal-p2p/shoal/daemon/secret"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/store"
	"github.com/shoal-p2p/shoal/daemon/swarm"
)

// chains measures the imported model over real nodes of a swarm on loopback, near and far.
func chains(ctx context.Context, p plan, modelDir string) (rows []row, err error) {
	model, err := shard.Open(modelDir)
	if err != nil {
		return nil, err
	}
	err = withSwarm(ctx, p.work, 3, func(networks []core.Network) error {
		networks, setDelay := chainbench.Slow(networks)
		figures, err := chainbench.Run(ctx, chainbench.Config{
			Engine: worker.New(worker.Config{Runtime: p.runtime, Log: slog.New(slog.DiscardHandler)}),
			Dir:    modelDir, Shards: len(model.Manifest.Shards), Networks: networks, SetDelay: setDelay, Rounds: p.rounds,
			Progress: func(s string) { fmt.Println(s) },
		})
		for _, f := range figures {
			name := strings.Replace(f.Name, ".remotes2", "", 1) // two remote nodes are the usual case
			rows = append(rows, row{name, f.Value, f.Reference, f.Value / f.Reference, "tokens/s"})
		}
		return err
	})
	return rows, err
}

// withSwarm calls fn with the hosts of n nodes that have joined one swarm.
func withSwarm(ctx context.Context, dir string, n int, fn func([]core.Network) error) error {
	dir, err := os.MkdirTemp(dir, "swarm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	running, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	var hosts []*swarm.Swarm
	var networks []core.Network
	for i := range n {
		host, db, err := newHost(ctx, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		group.Go(func() {
			defer db.Close()
			_ = host.Run(running)
		})
		hosts, networks = append(hosts, host), append(networks, host)
	}
	for _, h := range hosts[1:] {
		code, err := hosts[0].NewInvite(ctx, time.Hour)
		if err != nil {
			return err
		}
		if _, err := h.Join(ctx, code.Code); err != nil {
			return err
		}
	}
	return fn(networks)
}

func newHost(ctx context.Context, dir string) (*swarm.Swarm, *store.Store, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, nil, err
	}
	id, err := identity.Open(filepath.Join(dir, "identity.key"))
	if err != nil {
		return nil, nil, err
	}
	db, err := store.Open(ctx, filepath.Join(dir, "shoal.db"))
	if err != nil {
		return nil, nil, err
	}
	host, err := swarm.New(swarm.Config{
		Identity: id, Store: db, Listen: "127.0.0.1:0", Version: "bench", NoMDNS: true, NoPortMap: true, Log: slog.New(slog.DiscardHandler),
		Vault: secret.Open(ctx, secret.Config{Dir: dir, Owner: "bench", Getenv: noVariables}),
	})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return host, db, nil
}

// noVariables keeps what a measurement makes out of the user's keyring.
func noVariables(string) string { return "" }
