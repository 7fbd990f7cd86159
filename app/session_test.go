//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
)

// session is a running program of ours.
type session struct {
	t       *testing.T
	cmd     *exec.Cmd
	dataDir string
	done    chan struct{}
	err     error // of Wait, once done is closed

	mu  sync.Mutex
	out bytes.Buffer // stdout and stderr; guarded by mu
}

// start starts shoal on the test's data folder.
func (d *desk) start(args ...string) *session {
	d.t.Helper()
	return d.launch("shoal", append([]string{"-data-dir", filepath.Join(d.dir, "data")}, args...)...)
}

// launch starts one of the programs.
func (d *desk) launch(program string, args ...string) *session {
	d.t.Helper()
	s := &session{t: d.t, dataDir: filepath.Join(d.dir, "data"), done: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(d.dir, program), args...)
	s.cmd.Env = d.env
	s.cmd.Stdout, s.cmd.Stderr = s, s
	if err := s.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() { defer close(s.done); s.err = s.cmd.Wait() }()
	d.t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.done
		if strings.Contains(s.log(), "Error in Fyne call thread") {
			d.t.Errorf("the screen was changed from a wrong goroutine:\n%s", s.log())
		}
	})
	return s
}

// run starts the program once more and returns its exit code.
func (d *desk) run(dataDir string, args ...string) int {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(d.dir, "shoal"), append([]string{"-data-dir", dataDir}, args...)...)
	cmd.Env = d.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Logf("%v: %s", err, out)
	}
	return cmd.ProcessState.ExitCode()
}

// Write implements io.Writer for the program's output.
func (s *session) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *session) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

func (s *session) until(what string, cond func() bool) { s.t.Helper(); poll(s.t, what, cond, s.log) }

func (s *session) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (s *session) interrupt() { _ = s.cmd.Process.Signal(syscall.SIGTERM) }

// waitForEnd waits until the program has ended by itself, which may take as long as a user waits, 10 s.
func (s *session) waitForEnd(code int) {
	s.t.Helper()
	start := time.Now()
	select {
	case <-s.done:
		s.t.Logf("the program took %v to end", time.Since(start).Round(time.Millisecond))
		if got := s.cmd.ProcessState.ExitCode(); got != code {
			s.t.Errorf("it ended with %d (%v)\n%s", got, s.err, s.log())
		}
	case <-time.After(10 * time.Second):
		s.t.Errorf("it did not end in 10 s\n%s", s.log())
	}
}

// get asks the program's own API, as a script of the user would.
func (s *session) get(path string, into any) bool {
	address, err := os.ReadFile(filepath.Join(s.dataDir, "address"))
	if err != nil {
		return false
	}
	response, err := http.Get(strings.TrimSpace(string(address)) + path)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return err == nil && response.StatusCode == http.StatusOK && json.Unmarshal(body, into) == nil
}

func (s *session) stats() (st admin.Stats) { s.get("/api/admin/stats", &st); return st }

func (s *session) version() (v admin.Version) { s.get("/api/admin/version", &v); return v }

// hasModel tells whether a model is on the disk, whole.
func (s *session) hasModel(id string) bool {
	var raw json.RawMessage
	if !s.get("/api/admin/models", &raw) {
		return false
	}
	var list struct{ Models []admin.ModelInfo }
	if json.Unmarshal(raw, &list) != nil || list.Models == nil {
		_ = json.Unmarshal(raw, &list.Models)
	}
	for _, m := range list.Models {
		if m.ID == id && (m.Status == admin.StatusReady || m.Status == admin.StatusLoaded) {
			return true
		}
	}
	return false
}

// workers are the processes that run shoal-worker out of the test's folder.
func (s *session) workers() (pids []string) {
	program := filepath.Join(filepath.Dir(s.dataDir), "shoal-worker")
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == program {
			pids = append(pids, filepath.Base(filepath.Dir(link)))
		}
	}
	return pids
}
