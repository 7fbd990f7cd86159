package api

import (
	"net"
	"time"
)

// stallListener gives its connections a deadline for every write, so that a client which does not read cannot
// hold a goroutine and its buffers.
type stallListener struct {
	net.Listener
	stall time.Duration
}

func (l stallListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &stallConn{c, l.stall}, nil
}

type stallConn struct {
	net.Conn
	stall time.Duration
}

// stallChunk is how much must be taken within one stall timeout.
const stallChunk = 64 << 10

// Write writes p in pieces, each with its own deadline.
func (c *stallConn) Write(p []byte) (n int, err error) {
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
