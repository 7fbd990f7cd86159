package swarmtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// patience is how long a step may take on a busy PC.
const patience = 20 * time.Second

// Conform checks what core.Network promises at two members that can reach each other. nobody is a peer that cannot be
// reached.
func Conform(t *testing.T, a, b core.Network, nobody core.PeerID) {
	t.Helper()
	t.Run("a stream carries both ways and ends", func(t *testing.T) { carries(t, a, b) })
	t.Run("a reset ends it", func(t *testing.T) { resets(t, a, b) })
	t.Run("a deadline ends a read", func(t *testing.T) { times(t, a, b) })
	t.Run("who cannot be reached, and what is not spoken", func(t *testing.T) { refuses(t, a, b, nobody) })
}

// open starts a stream that must open.
func open(t *testing.T, from, to core.Network, protocol string) core.Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := from.Open(ctx, to.Self(), protocol)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Reset() })
	if s.Peer() != to.Self() {
		t.Errorf("opened to %s, the stream says %s", to.Self(), s.Peer())
	}
	return s
}

func carries(t *testing.T, a, b core.Network) {
	t.Helper()
	from := make(chan core.PeerID, 1)
	b.Handle("/shoal/conform-echo/1", func(s core.Stream) {
		from <- s.Peer()
		_, _ = io.Copy(s, s)
		_ = s.Close()
	})
	defer b.Handle("/shoal/conform-echo/1", nil)
	s, want := open(t, a, b, "/shoal/conform-echo/1"), bytes.Repeat([]byte("shoal"), 100_000)
	_ = s.SetReadDeadline(time.Now().Add(patience))
	sent := make(chan error, 1)
	go func() {
		_, err := s.Write(want)
		sent <- errors.Join(err, s.CloseWrite())
	}()
	got, err := io.ReadAll(s)
	if err := errors.Join(err, <-sent); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes came back, %v", len(got), len(want), err)
	}
	if who := <-from; who != a.Self() {
		t.Errorf("the handler is told that %s called", who)
	}
}

func resets(t *testing.T, a, b core.Network) {
	t.Helper()
	b.Handle("/shoal/conform-reset/1", func(s core.Stream) {
		_, _ = s.Read(make([]byte, 1))
		_ = s.Reset()
	})
	defer b.Handle("/shoal/conform-reset/1", nil)
	s := open(t, a, b, "/shoal/conform-reset/1")
	_ = s.SetReadDeadline(time.Now().Add(patience))
	if _, err := s.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v from a stream that was reset", n, err)
	}
}

func times(t *testing.T, a, b core.Network) {
	t.Helper()
	done := make(chan struct{})
	b.Handle("/shoal/conform-silent/1", func(s core.Stream) { <-done; _ = s.Reset() })
	defer b.Handle("/shoal/conform-silent/1", nil)
	defer close(done)
	s := open(t, a, b, "/shoal/conform-silent/1")
	if _, err := s.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	_ = s.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
}

func refuses(t *testing.T, a, b core.Network, nobody core.PeerID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b.Handle("/shoal/conform-gone/1", func(s core.Stream) { _ = s.Close() })
	b.Handle("/shoal/conform-gone/1", nil)
	for _, protocol := range []string{"/shoal/conform-never/1", "/shoal/conform-gone/1"} {
		if _, err := a.Open(ctx, b.Self(), protocol); core.CodeOf(err) != core.CodeUnsupported {
			t.Errorf("%s, which nobody takes: %v", protocol, err)
		}
	}
	if _, err := a.Open(ctx, nobody, "/shoal/conform-echo/1"); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("a peer that cannot be reached: %v", err)
	}
}
