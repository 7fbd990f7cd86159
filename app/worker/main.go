// Program shoal-worker runs one window of a model for the Shoal node, which starts and ends it.
package main

import (
	"log/slog"
	"os"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/llama"
	"github.com/shoal-p2p/shoal/daemon/engine/worker"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	os.Exit(worker.Main(func(dir string) engine.Engine {
		return llama.New(llama.Config{Dir: dir, Log: log})
	}, log))
}
