package worker

import (
	"context"
	"log/slog"
	"os"

	"github.com/shoal-p2p/shoal/daemon/engine"
)

// Main is all that the worker program does, apart from naming the engine it serves. It returns the exit code.
func Main(open func(runtime string) engine.Engine, log *slog.Logger) int {
	address := os.Getenv(addressVariable)
	if address == "" {
		log.Error("this program is started by the Shoal node")
		return 2
	}
	err := Run(context.Background(), ServerConfig{
		Address: address,
		Token:   os.Stdin,
		Engine:  open,
		Lost:    func() { os.Exit(0) }, // the node is gone; nobody waits for what still runs
		Log:     log,
	})
	if err != nil {
		log.Error("worker ends", "err", err)
		return 1
	}
	return 0
}
