package api

import (
	"net"
	"sync"
	"time"
)

// boundListener bounds how many connections are open, and gives each a deadline for every write, so that a client
// which does not read cannot hold a goroutine and its buffers.
type boundListener struct {
	net.Listener
	stall  time.Duration
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func bound(ln net.Listener, connections int, stall time.Duration) *boundListener {
	return &boundListener{Listener: ln, stall: stall, slots: make(chan struct{}, connections), closed: make(chan struct{})}
}

// Accept waits for a free slot, then for a connection.
func (l *boundListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &boundConn{Conn: c, stall: l.stall, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close implements net.Listener.
func (l *boundListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type boundConn struct {
	net.Conn
	stall time.Duration
	free  func()
}

// Close implements net.Conn and frees the slot.
func (c *boundConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}

// CloseWrite lets net/http end a connection so that the client can still read the reply, for example to a body
// that is too large.
func (c *boundConn) CloseWrite() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}

// stallChunk is how much must be taken within one stall timeout.
const stallChunk = 64 << 10

// Write writes p in pieces, each with its own deadline.
func (c *boundConn) Write(p []byte) (n int, err error) {
	for {
		piece := p[n:min(len(p), n+stallChunk)]
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
			return n, err
		}
		wrote, err := c.Conn.Write(piece)
		n += wrote
		if err != nil || n == len(p) {
			return n, err
		}
	}
}
