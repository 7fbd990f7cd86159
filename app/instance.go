package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// message is what a second start of the program tells the first.
type message struct {
	Token  string   `json:"token"`
	Files  []string `json:"files"`  // absolute paths of model files to import
	Hidden bool     `json:"hidden"` // do not show the window
}

// endpoint is the content of ui.json: where the running program listens, and the secret that proves that a caller may
// read the data folder.
type endpoint struct {
	Address string `json:"address"`
	Token   string `json:"token"`
}

const (
	maxMessage     = 64 << 10
	messageTimeout = 3 * time.Second
)

// instance is the right to be the one running program of a data folder.
type instance struct {
	lock   *flock.Flock
	listen net.Listener
	file   string
	token  string
}

// claim makes this the running program. Where another one is, it gets the message and claim returns nil. The kernel
// frees the lock when a program dies, so that a crash never leaves the user outside.
func claim(dir string, m message) (*instance, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, core.Errorf(core.CodeInternal, "make the data folder: %w", err)
	}
	file := filepath.Join(dir, "ui.json")
	lock := flock.New(filepath.Join(dir, "ui.lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, core.Errorf(core.CodeInternal, "lock the data folder: %w", err)
	}
	if !locked {
		return nil, tell(file, m)
	}
	one := &instance{lock: lock, file: file, token: rand.Text()}
	if err := one.open(); err != nil {
		one.release()
		return nil, err
	}
	return one, nil
}

// open starts to listen on loopback and writes down where.
func (i *instance) open() (err error) {
	if i.listen, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return core.Errorf(core.CodeInternal, "listen for further starts: %w", err)
	}
	body, err := json.Marshal(endpoint{i.listen.Addr().String(), i.token})
	if err != nil {
		return err
	}
	// The old file may be readable by others or a link; a new one is neither.
	_ = os.Remove(i.file)
	if err := os.WriteFile(i.file, body, 0o600); err != nil {
		return core.Errorf(core.CodeInternal, "write %s: %w", filepath.Base(i.file), err)
	}
	return nil
}

// release lets another program run. It may be called while serve runs, which then ends.
func (i *instance) release() {
	if i.listen != nil {
		_ = i.listen.Close()
	}
	_ = os.Remove(i.file)
	_ = i.lock.Unlock()
}

// serve calls receive for each message that knows the token, until ctx ends or the instance is released.
func (i *instance) serve(ctx context.Context, receive func(message)) {
	defer context.AfterFunc(ctx, func() { _ = i.listen.Close() })()
	for {
		conn, err := i.listen.Accept()
		if err != nil {
			return
		}
		if m, ok := i.read(conn); ok {
			receive(m)
		}
	}
}

// read takes one message and answers it.
func (i *instance) read(conn net.Conn) (m message, ok bool) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(messageTimeout)); err != nil {
		return m, false
	}
	if err := json.NewDecoder(io.LimitReader(conn, maxMessage)).Decode(&m); err != nil {
		return m, false
	}
	if subtle.ConstantTimeCompare([]byte(m.Token), []byte(i.token)) != 1 {
		return m, false
	}
	_, err := io.WriteString(conn, "ok\n")
	return m, err == nil
}

// tell gives the running program a message.
func tell(file string, m message) error {
	const hint = "Quit the running Shoal, or end its process, and start again."
	body, err := readSoon(file)
	if err != nil {
		return core.Errorf(core.CodeConflict, "shoal runs already and cannot be reached: %w", err).WithHint(hint)
	}
	var e endpoint
	if err := json.Unmarshal(body, &e); err != nil {
		return core.Errorf(core.CodeConflict, "shoal runs already and cannot be reached: %w", err).WithHint(hint)
	}
	m.Token = e.Token
	if err := send(e.Address, m); err != nil {
		return core.Errorf(core.CodeConflict, "shoal runs already and does not answer: %w", err).WithHint(hint)
	}
	return nil
}

// readSoon reads a file that another process is about to write, if it is not there yet.
func readSoon(file string) ([]byte, error) {
	deadline := time.Now().Add(messageTimeout)
	for {
		body, err := os.ReadFile(file)
		if err == nil || time.Now().After(deadline) {
			return body, err
		}
		<-time.After(50 * time.Millisecond)
	}
}

func send(address string, m message) error {
	conn, err := net.DialTimeout("tcp", address, messageTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(messageTimeout)); err != nil {
		return err
	}
	if err := json.NewEncoder(conn).Encode(m); err != nil {
		return err
	}
	answer := make([]byte, 3)
	_, err = io.ReadFull(conn, answer)
	return err
}

// absolute makes paths that mean the same in another working folder.
func absolute(files []string) []string {
	paths := make([]string, 0, len(files))
	for _, f := range files {
		if p, err := filepath.Abs(f); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}
