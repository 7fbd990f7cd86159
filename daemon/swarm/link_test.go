package swarm

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
)

// faultyLink is a way out of a node that can be cut, as if the cable were pulled, and slowed down. It carries TCP.
type faultyLink struct {
	dials atomic.Int32
	delay atomic.Int64 // one way, nanoseconds

	mu    sync.Mutex
	lines []*line
}

// options make a node use the link for all it dials.
func (l *faultyLink) options(t *testing.T) []libp2p.Option {
	t.Helper()
	dialer := func(multiaddr.Multiaddr) (tcp.ContextDialer, error) { return l, nil }
	return []libp2p.Option{libp2p.NoTransports, libp2p.Transport(tcp.NewTCPTransport, tcp.WithDialerForAddr(dialer))}
}

// DialContext implements tcp.ContextDialer.
func (l *faultyLink) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.dials.Add(1)
	made := &line{Conn: c, link: l, gone: make(chan struct{})}
	l.mu.Lock()
	l.lines = append(l.lines, made)
	l.mu.Unlock()
	return made, nil
}

// freeze makes every line fall silent for ever, without a word to either end.
func (l *faultyLink) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.lines {
		c.frozen.Store(true)
	}
}

type line struct {
	net.Conn
	link   *faultyLink
	frozen atomic.Bool
	once   sync.Once
	gone   chan struct{}
}

func (c *line) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.frozen.Load() {
		<-c.gone
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *line) Write(p []byte) (int, error) {
	if c.frozen.Load() {
		return len(p), nil
	}
	if d := time.Duration(c.link.delay.Load()); d > 0 {
		select {
		case <-time.After(d):
		case <-c.gone:
			return 0, net.ErrClosed
		}
	}
	return c.Conn.Write(p)
}

func (c *line) Close() error {
	c.once.Do(func() { close(c.gone) })
	return c.Conn.Close()
}
