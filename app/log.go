package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// maxLog is the size at which a log is put aside at the next start; the one before it goes.
const maxLog = 8 << 20

// openLog writes the log to the terminal and, because a program started from a menu has none, to logs/shoal.log in
// the data folder. The caller closes the file.
func openLog(dir string, stderr io.Writer) (*slog.Logger, *slog.LevelVar, io.Closer, error) {
	path := filepath.Join(dir, "logs", "shoal.log")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, nil, core.Errorf(core.CodeForbidden, "make the log folder: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		_ = os.Rename(path, path+".1") // one that cannot be put aside grows on
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, nil, core.Errorf(core.CodeForbidden, "open the log: %w", err)
	}
	level := &slog.LevelVar{}
	handler := slog.NewTextHandler(io.MultiWriter(file, stderr), &slog.HandlerOptions{Level: level})
	return slog.New(handler), level, file, nil
}
