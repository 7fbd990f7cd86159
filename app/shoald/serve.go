package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/shoal-p2p/shoal/daemon"
	"github.com/shoal-p2p/shoal/daemon/access"
	"github.com/shoal-p2p/shoal/daemon/swarm"
)

type serveCmd struct {
	Anchor bool `help:"Be an anchor: help other nodes to find each other and relay for them, and run no models."`
	NoDemo bool `name:"no-demo" help:"Do not bring the small demo model when there is no other."`
}

// welcome is what serve prints when the node can be reached.
type welcome struct {
	URL      string `json:"url"`
	KeyPlace string `json:"key_place"`
	Curl     string `json:"curl"`
}

// Run runs the node until a signal, a call of the API or a failure stops it. The log goes to the error output.
func (*serveCmd) Run(s *session) error {
	level := &slog.LevelVar{}
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level}))
	swarm.LogTo(log)
	n, err := daemon.New(s.ctx, s.cli.serverConfig(log, level))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	select {
	case err := <-ended: // the address is taken, for example
		return err
	case <-n.Started():
	}
	if err := s.greet(n); err != nil {
		stop()
		return errors.Join(err, <-ended)
	}
	return <-ended
}

// greet prints how to reach the node.
func (s *session) greet(n *daemon.Node) error {
	place, err := s.access()
	if err != nil {
		return err
	}
	place.URL = n.URL()
	v := welcome{URL: place.URL + "/v1", KeyPlace: place.Place, Curl: place.Curl(s.keyCommand())}
	return s.show(v, func(w io.Writer) {
		fmt.Fprintf(w, "Shoal is running. Ctrl-C stops it.\n\nAPI\t%s\nKey\t%s\nTry\t%s\n\n", v.URL, v.KeyPlace, v.Curl)
	})
}

// keyCommand is a command that prints the key of this data folder.
func (s *session) keyCommand() string {
	program, err := os.Executable()
	if err != nil {
		program = "shoald"
	}
	command := access.ShellWord(program) + " key"
	if s.cli.DataDir != "" {
		command += " --data-dir " + access.ShellWord(s.cli.paths().data)
	}
	return command
}
