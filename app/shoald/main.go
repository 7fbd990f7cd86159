// Command shoald is the Shoal node without a screen, and the command line of Shoal.
//
// `shoald serve` runs the node. Every other command talks to the node that is running on this PC, or opens the data
// folder itself when none is.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/shoal-p2p/shoal/daemon/chat/renderer"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// version and commit are stamped by the linker; see the Makefile.
var (
	version = "dev"
	commit  = "unknown"
)

// cli is the grammar of the command line. The flags stand for every command.
type cli struct {
	DataDir   string `placeholder:"DIR" env:"SHOAL_DATA_DIR" help:"Folder of models, settings and keys."`
	Config    string `placeholder:"FILE" env:"SHOAL_CONFIG" help:"Settings file; config.toml in the data folder if not given."`
	Listen    string `placeholder:"HOST:PORT" help:"Address of the HTTP API."`
	P2PListen string `name:"p2p-listen" placeholder:"HOST:PORT" help:"Address for other nodes, TCP and UDP."`
	Runtime   string `placeholder:"DIR" help:"Folder of the llama.cpp libraries."`
	JSON      bool   `name:"json" help:"Print one JSON object, errors included."`

	Serve      serveCmd      `cmd:"" help:"Run the node until it is stopped."`
	Status     statusCmd     `cmd:"" help:"Show what the running node is doing."`
	Models     modelsCmd     `cmd:"" help:"List the models on this PC."`
	Import     importCmd     `cmd:"" help:"Cut a GGUF file into shards; the file itself is left alone."`
	Export     exportCmd     `cmd:"" help:"Write a model back to the GGUF file it came from, byte for byte."`
	Load       loadCmd       `cmd:"" help:"Load a model into memory."`
	Unload     unloadCmd     `cmd:"" help:"Take a model out of memory."`
	Rm         rmCmd         `cmd:"" help:"Delete a model from this PC."`
	Invite     inviteCmd     `cmd:"" help:"Write a code that lets one PC into your swarm."`
	Members    membersCmd    `cmd:"" help:"List who belongs to your swarm."`
	PutOut     putOutCmd     `cmd:"" help:"Put a member out of your swarm."`
	Leave      leaveCmd      `cmd:"" help:"Leave your swarm."`
	Join       joinCmd       `cmd:"" help:"Join a swarm with an invite code."`
	Peers      peersCmd      `cmd:"" help:"List the other PCs of the swarm."`
	Plan       planCmd       `cmd:"" help:"Explain which PCs would run a model, and how fast."`
	Pull       pullCmd       `cmd:"" help:"Fetch a model, or some of its shards, from the swarm."`
	Downloads  downloadsCmd  `cmd:"" help:"Show what is being fetched."`
	Chat       chatCmd       `cmd:"" help:"Ask a model: one question, or a conversation when none is given."`
	Bench      benchCmd      `cmd:"" help:"Measure how fast a model reads and writes."`
	Doctor     doctorCmd     `cmd:"" help:"Check this PC and say what to do about what is wrong."`
	Settings   configCmd     `cmd:"" name:"config" help:"Show or change the settings."`
	Key        keyCmd        `cmd:"" help:"Print the API key."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print a completion script for a shell."`
}

const description = `Shoal runs GGUF language models behind an OpenAI-compatible API on this PC.

Exit codes: 0 done, 1 internal error, 2 bad usage or request, 3 key missing or not allowed, 4 not found, 5 conflict,
6 busy, 7 stopped by the user, 8 not running, engine or memory missing, 9 damaged file, 10 disk full, 11 took too long.`

func main() {
	if slices.Equal(os.Args[1:], []string{renderer.Argument}) {
		os.Exit(renderer.Serve(os.Stdin, os.Stdout, os.Exit))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program but for the process around it; it returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	t := newTerminal(in, out, errOut, wantsJSON(args))
	c := &cli{}
	exited := -1
	parser, err := kong.New(c,
		kong.Name("shoald"),
		kong.Description(description),
		kong.Writers(out, errOut),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.Exit(func(code int) { exited = code }),
	)
	if err != nil {
		return t.fail(err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // --help was asked for and printed
		return exited
	}
	if err != nil {
		return t.fail(core.Errorf(core.CodeInvalidRequest, "%w", err).WithHint("Run shoald --help."))
	}
	if err := command.Run(&session{ctx: ctx, terminal: t, cli: c}, parser); err != nil {
		return t.fail(err)
	}
	return 0
}

// wantsJSON looks for --json before the grammar does, so that an error in the grammar is JSON too.
func wantsJSON(args []string) bool {
	for _, a := range args {
		if a == "--" {
			return false
		}
		if a == "--json" || a == "--json=true" {
			return true
		}
	}
	return false
}

// session is what a command gets: the flags, the terminal and a context that ends on Ctrl-C.
type session struct {
	*terminal
	ctx context.Context
	cli *cli
}
