package api

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// maxIdle is how many connections of one address may wait for their next request, and maxForeign how many an address
// that is not this PC may have open in all.
const (
	maxIdle    = 64
	maxForeign = 256
)

// boundListener bounds how many connections are open, and gives each a deadline for every write, so that a client
// which does not read cannot hold a goroutine and its buffers. A connection that waits for its next request costs
// nobody anything to lose: the oldest of them goes when an address has too many, and when places run short.
type boundListener struct {
	net.Listener
	stall  time.Duration
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex // guards what follows
	open map[netip.Prefix]int
	idle []*boundConn // wait for a request, their first too; oldest first
}

func bound(ln net.Listener, connections int, stall time.Duration) *boundListener {
	return &boundListener{
		Listener: ln, stall: stall, slots: make(chan struct{}, connections), closed: make(chan struct{}), open: map[netip.Prefix]int{},
	}
}

// Accept waits for a free slot, then for a connection.
func (l *boundListener) Accept() (net.Conn, error) {
	for {
		select {
		case l.slots <- struct{}{}:
		case <-l.closed:
			return nil, net.ErrClosed
		}
		raw, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		if c := l.admit(raw); c != nil {
			return c, nil
		}
		raw.Close()
		<-l.slots
	}
}

// admit counts a new connection; it is nil when its address has too many.
func (l *boundListener) admit(raw net.Conn) *boundConn {
	from, _ := netip.ParseAddrPort(raw.RemoteAddr().String())
	c := &boundConn{Conn: raw, listener: l, from: household(from.Addr().Unmap())}
	c.free = sync.OnceFunc(func() { l.forget(c) })
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[c.from] >= maxForeign && !from.Addr().Unmap().IsLoopback() {
		return nil
	}
	l.open[c.from]++
	l.idle = append(l.idle, c)
	if len(l.slots)*10 >= cap(l.slots)*9 {
		l.drop(func(old *boundConn) bool { return old != c })
	}
	return c
}

// forget frees the place of a connection that is closed.
func (l *boundListener) forget(c *boundConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[c.from]--; l.open[c.from] == 0 {
		delete(l.open, c.from)
	}
	l.remove(c)
	<-l.slots
}

// state follows what net/http does with a connection.
func (l *boundListener) state(conn net.Conn, state http.ConnState) {
	c, ok := conn.(*boundConn)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch state {
	case http.StateActive:
		l.remove(c)
	case http.StateIdle:
		l.idle, c.served = append(l.idle, c), true
		same := func(old *boundConn) bool { return old.from == c.from && old.served }
		if l.waiting(same) > maxIdle {
			l.drop(same)
		}
	}
}

func (l *boundListener) waiting(which func(*boundConn) bool) (n int) {
	for _, c := range l.idle {
		if which(c) {
			n++
		}
	}
	return n
}

// drop closes the connection that has waited longest for a request, of those that are meant. The mutex is held.
func (l *boundListener) drop(which func(*boundConn) bool) {
	i := slices.IndexFunc(l.idle, which)
	if i < 0 {
		return
	}
	old := l.idle[i]
	l.idle = slices.Delete(l.idle, i, i+1)
	old.Conn.Close() // net/http meets the end of it, and closes it as its own
}

func (l *boundListener) remove(c *boundConn) {
	if i := slices.Index(l.idle, c); i >= 0 {
		l.idle = slices.Delete(l.idle, i, i+1)
	}
}

// Close implements net.Listener.
func (l *boundListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type boundConn struct {
	net.Conn
	listener *boundListener
	from     netip.Prefix
	served   bool // it had a request; guarded by the listener's mutex
	free     func()
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
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.listener.stall)); err != nil {
			return n, err
		}
		wrote, err := c.Conn.Write(piece)
		n += wrote
		if err != nil || n == len(p) {
			return n, err
		}
	}
}
