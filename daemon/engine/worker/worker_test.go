package worker_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest/real"
	"github.com/shoal-p2p/shoal/daemon/engine/llama"
	"github.com/shoal-p2p/shoal/daemon/engine/worker"
)

// actAs makes the test binary act as a worker program.
const actAs = "SHOAL_TEST_WORKER"

func TestMain(m *testing.M) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	switch os.Getenv(actAs) {
	case "llama":
		os.Exit(worker.Main(func(dir string) engine.Engine { return llama.New(llama.Config{Dir: dir, Log: log}) }, log))
	case "stuck":
		os.Exit(worker.Main(func(string) engine.Engine { return stuck{} }, log))
	case "node":
		os.Exit(actAsNode())
	case "dies":
		os.Stderr.WriteString("the disk is on fire\n")
		os.Exit(3)
	case "noLibffi":
		panic("libffi.so.8: cannot open shared object file: No such file or directory")
	}
	os.Exit(m.Run())
}

// newEngine starts workers that are this test binary, acting as a worker of the given kind.
func newEngine(t testing.TB, kind string) *worker.Engine {
	t.Helper()
	return worker.New(worker.Config{
		Program: os.Args[0],
		Env:     []string{actAs + "=" + kind},
		Runtime: real.Runtime(t),
		Log:     slog.New(slog.DiscardHandler),
	})
}

func load(t testing.TB, e engine.Engine, spec engine.Spec) engine.Window {
	t.Helper()
	w, err := e.Load(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// story is what a chain says after "Once upon a time".
func story(t *testing.T, chain []engine.Window) string {
	t.Helper()
	ctx := context.Background()
	last := chain[len(chain)-1]
	tokens, err := last.Tokenize(ctx, "Once upon a time", true, false)
	if err != nil {
		t.Fatal(err)
	}
	b := engine.Batch{}
	for i, tok := range tokens {
		b.Rows = append(b.Rows, engine.Row{Token: tok, Pos: int32(i), Sample: i == len(tokens)-1})
	}
	var text strings.Builder
	for i := range 40 {
		var out *engine.Output
		for _, w := range chain {
			if out, err = w.Step(ctx, &b); err != nil {
				t.Fatal(err)
			}
			b.Hidden = out.Hidden
		}
		text.Write(out.Samples[0].Piece)
		b = engine.Batch{Rows: []engine.Row{{Token: out.Samples[0].Token, Pos: int32(len(tokens) + i), Sample: true}}}
	}
	return text.String()
}

func TestWorkersTellTheSameStory(t *testing.T) {
	path, trained := real.Model(t)
	dir, shards := real.Cut(t, path)
	e := newEngine(t, "llama")
	want := ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball."
	for windows := 1; windows <= 3; windows++ {
		got := story(t, loadChain(t, e, windows, shards, engine.Spec{ModelDir: dir, Context: 512, Sequences: 4, BatchRows: 128, Threads: 1}))
		if !trained && windows == 1 {
			want = got
		}
		if got != want {
			t.Errorf("%d windows tell %q, want %q", windows, got, want)
		}
	}
}

func TestInfo(t *testing.T) {
	info, err := newEngine(t, "llama").Info(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", info)
	if info.Version != "v0.5.0" || len(info.Devices) == 0 || info.Devices[0].TotalBytes == 0 {
		t.Errorf("%+v", info)
	}
}
