// Command shoal is Shoal with its window: the node and the screen in one process.
//
// main.go starts and ends them, wire.go is the only file where the node's types meet the screen's, window.go and
// tray.go are what the desktop sees, instance.go keeps it to one running program per data folder.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/chat/renderer"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm"
)

// Stamped by the linker.
var (
	version = "dev"
	commit  = "unknown"
)

// shutdownIn is how long the node gets to stop before the program ends without it.
const shutdownIn = 9 * time.Second

// gcPercent is how much the heap may grow before it is collected. The screen makes little garbage and sits in the
// background of games, so memory is worth more than time.
const gcPercent = 30

func main() {
	if slices.Equal(os.Args[1:], []string{renderer.Argument}) {
		os.Exit(renderer.Serve(os.Stdin, os.Stdout, os.Exit))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// options are what the command line asks for.
type options struct {
	hidden  bool
	version bool
	dataDir string
	config  string
	flags   map[string]string // settings given as flags, by key
	files   []string          // model files to import
}

// settingFlags are the flags that override a setting, with the setting's key.
var settingFlags = map[string]string{"listen": "listen", "p2p-listen": "p2p_listen", "runtime": "runtime"}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{flags: map[string]string{}}
	fs := flag.NewFlagSet("shoal", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintln(stderr, "usage: shoal [flags] [MODEL.gguf ...]")
		fs.PrintDefaults()
	}
	fs.BoolVar(&o.hidden, "hidden", false, "start in the tray, without a window")
	fs.BoolVar(&o.version, "version", false, "print the version and exit")
	fs.StringVar(&o.dataDir, "data-dir", "", "folder of the models and settings")
	fs.StringVar(&o.config, "config", "", "settings file")
	fs.String("listen", "", "host:port of the HTTP API")
	fs.String("p2p-listen", "", "host:port for other nodes")
	fs.String("runtime", "", "folder of the llama.cpp libraries")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	fs.Visit(func(f *flag.Flag) {
		if key, ok := settingFlags[f.Name]; ok {
			o.flags[key] = f.Value.String()
		}
	})
	o.files = fs.Args()
	return o, nil
}

// run is the program; it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return core.ReportOf(core.CodeInvalidRequest).Exit
	case o.version:
		fmt.Fprintln(stdout, "shoal", version, commit)
		return 0
	}
	if err := start(o, stderr); err != nil {
		fmt.Fprintln(stderr, "shoal:", err)
		if e, ok := errors.AsType[*core.Error](err); ok && e.Hint != "" {
			fmt.Fprintln(stderr, e.Hint)
		}
		return core.ReportOf(core.CodeOf(err)).Exit
	}
	return 0
}

// start runs the node and the screen until the user quits.
func start(o options, stderr io.Writer) error {
	dir, err := dataDir(o)
	if err != nil {
		return err
	}
	one, err := claim(dir, message{Files: absolute(o.files), Hidden: o.hidden})
	if err != nil || one == nil {
		return err // nil: the running program has taken the message
	}
	defer one.release()
	if err := checkDisplay(os.Getenv); err != nil {
		return err
	}
	log, level, logFile, err := openLog(dir, stderr)
	if err != nil {
		return err
	}
	defer logFile.Close()
	swarm.LogTo(log)
	debug.SetGCPercent(gcPercent)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	node, err := openNode(ctx, o, dir, log, level)
	if err != nil {
		showFailure(err)
		return err
	}
	d := newDesktop(node)
	ended := make(chan error, 1)
	go func() {
		err := node.Run(ctx)
		ended <- err
		if ctx.Err() == nil {
			d.post(func() { d.nodeEnded(err) })
		}
	}()
	go one.serve(ctx, func(m message) { d.post(func() { d.receive(m) }) })
	d.run(ctx, o)
	stop()
	return waitFor(ended, log)
}

// waitFor waits until the node has stopped, but not for ever.
func waitFor(ended <-chan error, log *slog.Logger) error {
	select {
	case err := <-ended:
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	case <-time.After(shutdownIn):
		log.Error("the node did not stop in time")
		return core.Errorf(core.CodeTimeout, "the node did not stop in %v", shutdownIn)
	}
}
