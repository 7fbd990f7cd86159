package swarmtest_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
)

// echo makes a peer that sends back what it gets.
func echo(n *swarmtest.Network, name string) {
	n.Join(name).Handle("/echo", func(s core.Stream) {
		defer s.Close()
		_, _ = io.Copy(s, s)
	})
}

func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := swarmtest.New()
		a := n.Join("a")
		echo(n, "b")
		n.SetDelay(50 * time.Millisecond)
		s, err := a.Open(t.Context(), swarmtest.ID("b"), "/echo")
		if err != nil || s.Peer() != swarmtest.ID("b") {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := s.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		_ = s.CloseWrite()
		got, err := io.ReadAll(s)
		if took := time.Since(begin); string(got) != "hello" || err != nil || took != 100*time.Millisecond {
			t.Errorf("got %q, %v after %s", got, err, took)
		}
		_ = s.Close()
		if _, err := a.Open(t.Context(), swarmtest.ID("b"), "/other"); core.CodeOf(err) != core.CodeUnsupported {
			t.Errorf("unknown protocol: %v", err)
		}
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := swarmtest.New()
		a := n.Join("a")
		echo(n, "b")
		s, err := a.Open(t.Context(), swarmtest.ID("b"), "/echo")
		if err != nil {
			t.Fatal(err)
		}
		one := make([]byte, 1)
		n.Cut("a", "b")
		_, _ = s.Write([]byte("x"))
		_ = s.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := s.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("over a cut link: %v", err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Open(short, swarmtest.ID("b"), "/echo"); core.CodeOf(err) != core.CodeNotReady {
			t.Errorf("open over a cut link: %v", err)
		}
		n.Heal("a", "b")
		_ = s.SetReadDeadline(time.Time{})
		if _, err := s.Read(one); err != nil || one[0] != 'x' {
			t.Errorf("after the cut: %q, %v", one, err)
		}
		n.Kill("b")
		if _, err := s.Read(one); err == nil {
			t.Error("a killed peer's stream gives no error")
		}
		if _, err := a.Open(t.Context(), swarmtest.ID("b"), "/echo"); core.CodeOf(err) != core.CodeNotReady {
			t.Errorf("open to a killed peer: %v", err)
		}
	})
}

func TestNetworkConforms(t *testing.T) {
	n := swarmtest.New()
	swarmtest.Conform(t, n.Join("a"), n.Join("b"), swarmtest.ID("nobody"))
}
