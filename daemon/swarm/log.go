package swarm

import (
	"context"
	"log/slog"

	"github.com/libp2p/go-libp2p/gologshim"
)

// LogTo gives libp2p's own messages, which would go to the error output, to a log at level Debug: what it calls an error
// is mostly another PC's doing, and what matters comes back to us as errors. It holds for the whole process, which is why
// a program calls it, before its first Swarm.
func LogTo(log *slog.Logger) { gologshim.SetDefaultHandler(quiet{log.Handler()}) }

// quiet turns warnings and errors into debug messages and drops the rest.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
