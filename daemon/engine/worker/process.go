package worker

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

const (
	startTimeout = 20 * time.Second       // from the start of a worker to its first frame
	reapTimeout  = 500 * time.Millisecond // from the end of its connection to the end of its process
	maxTail      = 4 << 10                // bytes of what a worker printed last
)

// process is a running worker program.
type process struct {
	command *exec.Cmd
	tail    *tail
	done    chan struct{} // closed when the process has ended
	err     error         // how it ended; valid once done is closed
}

// startProcess runs command. The thread that starts a process must outlive it where the system ties the two
// (see bind), so one goroutine keeps it until the end. The thread is given back then, not ended: ending one that
// ever ran a callback from C crashed the process.
func startProcess(command *exec.Cmd, log *slog.Logger) (*process, error) {
	p := &process{command: command, tail: &tail{log: log}, done: make(chan struct{})}
	command.Stdout, command.Stderr = p.tail, p.tail
	command.WaitDelay = reapTimeout
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		release, err := bind(command)
		started <- err
		if err == nil {
			p.err = command.Wait()
			release()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, core.Errorf(core.CodeNoRuntime, "start worker: %w", err).WithHint(missingHint)
	}
	return p, nil
}

// kill ends the process and waits until it has.
func (p *process) kill() {
	_ = p.command.Process.Kill() // it may have ended by itself
	<-p.done
}

// died is the error of calls that a worker's end cut off. It waits a moment for the process's last words, which go to
// the log only.
func (p *process) died() error {
	select {
	case <-p.done:
	case <-time.After(reapTimeout):
		return core.Errorf(core.CodeEngineCrashed, "the worker closed its connection")
	}
	how := "it ended"
	if p.err != nil {
		how = p.err.Error()
	}
	words := p.tail.String()
	if strings.Contains(words, "libffi") {
		return core.Errorf(core.CodeNoRuntime, "worker: libffi is missing").
			WithHint("Install libffi, on Debian and Ubuntu with `sudo apt install libffi8`.")
	}
	if words == "" {
		return core.Errorf(core.CodeEngineCrashed, "worker: %s", how)
	}
	p.tail.log.Warn("worker ended", "how", how, "lastWords", words) // they may hold stacks and paths: not for a client
	return core.Errorf(core.CodeEngineCrashed, "worker: %s; its last words are in the log", how)
}

// tail keeps the last bytes that a worker printed and logs its lines.
type tail struct {
	log *slog.Logger

	mu   sync.Mutex // guards the rest
	last []byte
	line []byte
}

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, b...)
	t.last = t.last[max(0, len(t.last)-maxTail):]
	for _, c := range b {
		if c != '\n' && len(t.line) < maxTail {
			t.line = append(t.line, c)
			continue
		}
		if c == '\n' {
			t.log.Debug("worker says", "line", string(t.line))
			t.line = t.line[:0]
		}
	}
	return len(b), nil
}

// String is the last lines.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.last))
}

// dial starts the worker program and takes its connection. Only a program that knows the token gets through.
func dial(ctx context.Context, command *exec.Cmd, log *slog.Logger) (_ *process, conn net.Conn, err error) {
	listener, address, err := listen()
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	var token [32]byte
	_, _ = rand.Read(token[:]) // never fails
	text := hex.EncodeToString(token[:])
	command.Stdin = strings.NewReader(text + "\n")
	command.Env = append(command.Environ(), addressVariable+"="+address, "GGML_NO_BACKTRACE=1")
	p, err := startProcess(command, log)
	if err != nil {
		return nil, nil, err
	}
	conn, err = accept(ctx, listener, p, text)
	if err != nil {
		p.kill()
		return nil, nil, err
	}
	return p, conn, nil
}

// accept waits for the worker, until ctx or the process ends.
func accept(ctx context.Context, listener net.Listener, p *process, token string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		select {
		case <-ctx.Done():
		case <-p.done:
		}
		_ = listener.Close()
	}()
	defer func() { cancel(); <-watching }()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return nil, startError(ctx, p)
		}
		if greets(conn, token) {
			return conn, nil
		}
		_ = conn.Close()
	}
}

func startError(ctx context.Context, p *process) error {
	select {
	case <-p.done:
		return p.died()
	default:
	}
	if ctx.Err() == context.DeadlineExceeded {
		return core.Errorf(core.CodeEngineCrashed, "the worker did not answer in %s", startTimeout)
	}
	return core.Errorf(core.CodeCancelled, "start worker: %w", ctx.Err())
}

// greets tells whether the first frame is the token.
func greets(conn net.Conn, token string) bool {
	_ = conn.SetReadDeadline(time.Now().Add(startTimeout))
	f, err := readFrame(conn, nil, maxHello)
	_ = conn.SetReadDeadline(time.Time{})
	return err == nil && f.kind == kindHello && subtle.ConstantTimeCompare(f.body, []byte(token)) == 1
}

// listen opens a socket that only this user can reach.
func listen() (net.Listener, string, error) {
	if runtime.GOOS == "windows" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, "", core.Errorf(core.CodeInternal, "listen for worker: %w", err)
		}
		return l, "tcp:" + l.Addr().String(), nil
	}
	dir, err := os.MkdirTemp("", "shoal-") // mode 0700
	if err != nil {
		return nil, "", core.Errorf(core.CodeInternal, "folder for worker socket: %w", err)
	}
	path := filepath.Join(dir, "worker")
	l, err := net.Listen("unix", path)
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, "", core.Errorf(core.CodeInternal, "listen for worker: %w", err)
	}
	return &tempListener{l, dir}, "unix:" + path, nil
}

// tempListener removes its folder when it closes. A connection once made does not need it.
type tempListener struct {
	net.Listener
	dir string
}

// Close implements net.Listener.
func (l *tempListener) Close() error {
	err := l.Listener.Close()
	_ = os.RemoveAll(l.dir)
	return err
}

var _ io.Writer = (*tail)(nil)
