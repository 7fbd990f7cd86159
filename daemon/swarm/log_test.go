package swarm

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestTheLibraryIsQuiet(t *testing.T) {
	var out bytes.Buffer
	level := &slog.LevelVar{}
	library := slog.New(quiet{slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})}).With("logger", "tcp").WithGroup("g")
	library.Error("dial went wrong")
	if out.Len() > 0 {
		t.Errorf("logged %q", out.String())
	}
	level.Set(slog.LevelDebug)
	library.Error("dial went wrong", "to", "x")
	library.Info("chatter")
	if got := out.String(); !strings.Contains(got, "level=DEBUG") || !strings.Contains(got, "logger=tcp") || !strings.Contains(got, "g.to=x") || strings.Contains(got, "chatter") {
		t.Errorf("logged %q", got)
	}
}
