package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/shoal-p2p/shoal/daemon"
)

type serveCmd struct{}

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
		<-ended
		return err
	}
	return <-ended
}

// greet prints how to reach the node.
func (s *session) greet(n *daemon.Node) error {
	_, place, err := s.apiKey()
	if err != nil {
		return err
	}
	v := welcome{URL: n.URL() + "/v1", KeyPlace: place, Curl: s.curl(n.URL(), place)}
	return s.show(v, func(w io.Writer) {
		fmt.Fprintf(w, "Shoal is running. Ctrl-C stops it.\n\nAPI\t%s\nKey\t%s\nTry\t%s\n\n", v.URL, v.KeyPlace, v.Curl)
	})
}

// curl is a command that works as it stands: it reads the key where it is kept, so that the key itself appears neither
// on the screen nor in a log.
func (s *session) curl(url, place string) string {
	key := "$(cat " + shellWord(place) + ")"
	if !filepath.IsAbs(place) {
		key = "$(" + s.keyCommand() + ")"
	}
	return "curl " + url + `/v1/chat/completions -H "Authorization: Bearer ` + key + `" -H "Content-Type: application/json" ` +
		`-d '{"model":"auto","temperature":0,"messages":[{"role":"user","content":"` + demoQuestion + `"}]}'`
}

// keyCommand is a command that prints the key of this data folder.
func (s *session) keyCommand() string {
	program, err := os.Executable()
	if err != nil {
		program = "shoald"
	}
	command := shellWord(program) + " key"
	if s.cli.DataDir != "" {
		command += " --data-dir " + shellWord(s.cli.paths().data)
	}
	return command
}

// shellWord quotes a path for a POSIX shell where it must be.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
