// Package e2e tests the whole node: the API in front, stock llama.cpp in worker processes behind, and a real model.
package e2e

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon"
	"github.com/shoal-p2p/shoal/daemon/api/apitest"
	"github.com/shoal-p2p/shoal/daemon/api/goclient"
	"github.com/shoal-p2p/shoal/daemon/api/jsclient"
	"github.com/shoal-p2p/shoal/daemon/client"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// libraries is the folder of the llama.cpp libraries; without them the test is skipped.
func libraries(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SHOAL_RUNTIME")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skip("no cache folder, so no llama.cpp libraries")
		}
		dir = filepath.Join(cache, "shoal", "runtime", "llama.cpp-v0.5.0-linux-x64-cpu")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no llama.cpp libraries in %s; make test installs them", dir)
	}
	return dir
}

// buildWorker compiles the engine process.
func buildWorker(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "shoal-worker")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../app/worker").CombinedOutput(); err != nil {
		t.Fatalf("build the worker: %v\n%s", err, out)
	}
	return program
}

// node is a running node and a client of it.
type node struct {
	*client.Client
	target apitest.Target
}

// start runs a node on an empty data folder with the demo model.
func start(t *testing.T) *node {
	t.Helper()
	flags := map[string]string{"listen": "127.0.0.1:0", "runtime": libraries(t), "worker": buildWorker(t)}
	demo, err := os.ReadFile("../../assets/demo/shoal-demo.gguf")
	if err != nil {
		t.Fatal(err)
	}
	n, err := daemon.New(t.Context(), daemon.Config{
		DataDir: t.TempDir(), Flags: flags, Getenv: func(string) string { return "" }, Version: "test",
		Demo: demo, DemoName: "shoal-demo.gguf", Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-n.Started():
	case <-time.After(10 * time.Second):
		t.Fatal("the API does not listen after 10 s")
	}
	target := apitest.Target{URL: n.URL(), Key: n.APIKey(), Model: "shoal-demo"}
	c := client.New(client.Config{URL: target.URL, Key: target.Key})
	t.Cleanup(c.Close)
	return &node{c, target}
}

func TestOfficialClientsOnTheDemoModel(t *testing.T) {
	n := start(t)
	goclient.Run(t, n.target)
	jsclient.Run(t, n.target)
}

// shared is a file that comes with the project's workplace and not with its source.
func shared(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("SHOAL_SHARED")
	if dir == "" {
		dir = "../../../shared"
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not here", name)
	}
	return path
}

// complete asks for a continuation at temperature 0.
func (n *node) complete(t *testing.T, model, prompt string, tokens int) string {
	t.Helper()
	req := &core.GenerateRequest{Model: model, Prompt: prompt, MaxTokens: tokens}
	reply, err := n.Generate(t.Context(), req, func(core.Delta) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return reply.Message.Content
}

func TestWindowsGiveTheSameText(t *testing.T) {
	file := shared(t, "models/stories260K-f32.gguf")
	n := start(t)
	var texts []string
	for windows := 1; windows <= 3; windows++ {
		m, err := n.Import(t.Context(), file, windows, nil)
		if err != nil {
			t.Fatal(err)
		}
		id, err := core.ParseModelID(m.ID)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := n.Load(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if loaded.Windows != windows {
			t.Errorf("%d windows, want %d", loaded.Windows, windows)
		}
		texts = append(texts, n.complete(t, m.ID, "Once upon a time", 64))
		unloaded, err := n.Unload(t.Context(), id)
		if err != nil || unloaded.SegmentsRemoved < windows {
			t.Errorf("%+v, %v", unloaded, err)
		}
		if err := n.DeleteModel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if len(texts[0]) < 64 || len(slices.Compact(slices.Clone(texts))) != 1 {
		t.Errorf("the texts differ:\n%s", strings.Join(texts, "\n"))
	}
	const stock = ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball."
	if !strings.HasPrefix(texts[0], stock) {
		t.Errorf("stock llama.cpp says something else: %q", texts[0])
	}
}

func TestTheOriginalComesBack(t *testing.T) {
	n := start(t)
	id, err := core.ParseModelID(n.target.Model)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "back.gguf")
	if err := n.Export(t.Context(), id, path, nil); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../assets/demo/shoal-demo.gguf")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Error("the exported file is another")
	}
}

func TestBadFilesAndLongPrompts(t *testing.T) {
	n := start(t)
	bad := filepath.Join(t.TempDir(), "bad.gguf")
	if err := os.WriteFile(bad, []byte("GGUF\x03\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Import(t.Context(), bad, 0, nil); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("a damaged file: %v", err)
	}
	long := &core.GenerateRequest{Model: n.target.Model, Messages: []core.Message{{Role: "user", Content: strings.Repeat("What is Shoal? ", 20_000)}}}
	_, err := n.Generate(t.Context(), long, func(core.Delta) error { return nil })
	if core.CodeOf(err) != core.CodeContextTooLong {
		t.Errorf("a long prompt: %v", err)
	}
	if text := n.complete(t, "auto", "What is Shoal?", 8); text == "" {
		t.Error("no answer after the errors")
	}
}

func TestMetadataOfTheDemoModel(t *testing.T) {
	n := start(t)
	response, err := http.Get(n.target.URL + "/api/admin/models/shoal-demo/metadata") // open on this PC
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var m core.Metadata
	if err := json.NewDecoder(response.Body).Decode(&m); err != nil || m.General.Architecture != "llama" || m.Model.BlockCount < 4 || len(m.Raw) == 0 {
		t.Errorf("%+v, %v", m.General, err)
	}
}

// endless is a request whose reply ends only with the context: a grammar lets it say nothing but "a".
func (n *node) endless(tokens int) *core.GenerateRequest {
	return &core.GenerateRequest{
		Model: n.target.Model, Prompt: "What is Shoal?", MaxTokens: tokens, Format: core.Format{Kind: "grammar", GBNF: `root ::= "a" root`},
	}
}

func TestWorkerThatIsKilledInTheMiddleOfAReply(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("finds the worker in /proc")
	}
	n := start(t)
	var killed time.Time
	_, err := n.Generate(t.Context(), n.endless(0), func(core.Delta) error {
		if killed.IsZero() {
			killWorkers(t)
			killed = time.Now()
		}
		return nil
	})
	if core.CodeOf(err) != core.CodeEngineCrashed {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(killed); took > time.Second {
		t.Errorf("the error came after %v", took)
	}
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(100 * time.Millisecond); ; <-tick.C {
		reply, err := n.Generate(t.Context(), n.endless(4), func(core.Delta) error { return nil })
		if err == nil && reply.Usage.CompletionTokens == 4 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no answer 20 s after the crash: %v", err)
		}
	}
}

// killWorkers sends SIGKILL to the workers that this process started.
func killWorkers(t *testing.T) {
	t.Helper()
	children, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Error(err)
	}
	for _, file := range children {
		pids, _ := os.ReadFile(file) // the thread may have ended
		for _, pid := range strings.Fields(string(pids)) {
			number, err := strconv.Atoi(pid)
			if err != nil {
				t.Error(err)
				continue
			}
			if process, err := os.FindProcess(number); err == nil {
				_ = process.Kill() // it may have ended
			}
		}
	}
}

func TestClientThatLeavesFreesTheNode(t *testing.T) {
	n := start(t)
	ctx, leave := context.WithCancel(t.Context())
	var left time.Time
	_, err := n.Generate(ctx, n.endless(0), func(core.Delta) error {
		if left.IsZero() {
			leave()
			left = time.Now()
		}
		return nil
	})
	if core.CodeOf(err) != core.CodeCancelled {
		t.Fatalf("got %v", err)
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for n.Stats(t.Context()).ActiveRequests > 0 {
		if time.Since(left) > 5*time.Second {
			t.Fatal("the request still runs")
		}
		<-tick.C
	}
	t.Logf("free after %v", time.Since(left))
}
