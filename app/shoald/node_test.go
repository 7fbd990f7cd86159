package main

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// story is a small trained model; it is not part of the repository.
func story(t *testing.T) string {
	t.Helper()
	shared := os.Getenv("SHOAL_SHARED")
	if shared == "" {
		shared = "../../../shared"
	}
	path := filepath.Join(shared, "models", "stories260K-f32.gguf")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the test model %s is absent", path)
	}
	return path
}

func TestModelFromImportToDeletion(t *testing.T) {
	u := newUser(t)
	u.needRuntime()
	file, exported := story(t), filepath.Join(u.home, "again.gguf")
	if v := u.object(0, "import", file, "--windows", "2"); v["id"] != "stories260k-f32" || v["windows"] != 2.0 {
		t.Fatalf("import: %v", v)
	}
	if v := u.object(0, "import", file); v["windows"] != 2.0 {
		t.Errorf("a second import must find the model there and keep its windows: %v", v)
	}
	if out := u.ok("models"); !strings.Contains(out, "stories260k-f32") {
		t.Errorf("models: %s", out)
	}
	if v := u.object(0, "bench", "stories260k-f32", "--prompt", "20", "--tokens", "8", "--rounds", "1"); v["decode_tokens_per_second"].(float64) <= 0 {
		t.Errorf("bench: %v", v)
	}
	u.ok("export", "stories260k-f32", exported)
	want, _ := os.ReadFile(file)
	if got, err := os.ReadFile(exported); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the exported file differs: %v", err)
	}
	u.ok("rm", "stories260k-f32")
	if v := u.object(4, "rm", "stories260k-f32"); failureCode(v) != "not_found" {
		t.Errorf("second rm: %v", v)
	}
}

func TestChatOnceAndFromPipe(t *testing.T) {
	u := newUser(t)
	u.needRuntime()
	if out := u.ok("chat", "What is Shoal?", "--temperature", "0"); !strings.Contains(out, "Shoal") {
		t.Errorf("chat: %q", out)
	}
	if r := u.runIn("What is Shoal?\n", "chat", "--temperature", "0"); r.code != 0 || !strings.Contains(r.out, "Shoal") {
		t.Errorf("chat from a pipe: %+v", r)
	}
	if r := u.runIn(" \n", "chat"); r.code != 2 {
		t.Errorf("empty question: %+v", r)
	}
	if v := u.object(4, "chat", "hello", "--model", "nobody"); failureCode(v) != "not_found" {
		t.Errorf("unknown model: %v", v)
	}
}

func TestDoctor(t *testing.T) {
	u := newUser(t)
	u.needRuntime()
	if v := u.object(0, "doctor"); v["ok"] != true {
		t.Errorf("doctor: %v", v)
	}
	empty := t.TempDir()
	r := u.run("doctor", "--runtime", empty)
	if r.code != 8 || !strings.Contains(r.out, "FAIL") || !strings.Contains(r.out, empty) {
		t.Errorf("doctor without libraries: %+v", r)
	}
}

// server is a node started with shoald serve.
type server struct {
	cmd   *exec.Cmd
	url   string
	curl  string        // the line for curl that it printed
	ended chan struct{} // closed when it has exited
}

func serve(t *testing.T, u user) *server {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "serve", "--data-dir", u.dataDir(), "--listen", "127.0.0.1:0", "--p2p-listen", "127.0.0.1:0")
	cmd.Env = u.environ()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 60 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: cmd, ended: make(chan struct{})}
	lines := bufio.NewScanner(out)
	for s.curl == "" && lines.Scan() {
		if url := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(lines.Text()); url != "" && s.url == "" {
			s.url = url
		}
		if i := strings.Index(lines.Text(), "curl "); i >= 0 {
			s.curl = lines.Text()[i:]
		}
	}
	go func() {
		defer close(s.ended)
		for lines.Scan() { // drained so that the node never waits for its reader
		}
		_ = cmd.Wait() // the exit code is read from cmd.ProcessState
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		<-s.ended
	})
	if s.url == "" || s.curl == "" {
		t.Fatalf("serve printed no address or no line for curl\n%s", log.String())
	}
	return s
}

func TestServe(t *testing.T) {
	u := newUser(t)
	u.needRuntime()
	s := serve(t, u)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	curl := exec.CommandContext(ctx, "bash", "-c", s.curl)
	curl.Env = append(u.environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	if reply, err := curl.Output(); err != nil || !bytes.Contains(reply, []byte(`"choices"`)) {
		t.Errorf("%s\n%v: %s", s.curl, err, reply)
	}
	address := strings.TrimPrefix(s.url, "http://")
	if v := u.object(0, "status", "--listen", address); v["running"] != true {
		t.Errorf("status: %v", v)
	}
	if v := u.object(0, "chat", "What is Shoal?", "--listen", address); v["finish_reason"] == "" {
		t.Errorf("chat with the running node: %v", v)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.ended:
	case <-time.After(time.Minute):
		t.Fatal("the node did not stop")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("serve ended with exit code %d", code)
	}
}
