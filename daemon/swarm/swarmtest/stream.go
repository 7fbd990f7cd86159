package swarmtest

import (
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// lineSize is how many bytes may be under way in one direction of a stream before a Write waits.
const lineSize = 1 << 20

// stream is one end of two lines.
type stream struct {
	net     *Network
	peer    core.PeerID
	in, out *line
}

// Peer implements core.Stream.
func (s *stream) Peer() core.PeerID { return s.peer }

// Read implements io.Reader.
func (s *stream) Read(b []byte) (int, error) { return s.in.read(b) }

// Write implements io.Writer.
func (s *stream) Write(b []byte) (int, error) { return s.out.write(b) }

// CloseWrite implements core.Stream.
func (s *stream) CloseWrite() error {
	s.out.close()
	return nil
}

// Close implements io.Closer: it ends the writing, and what still comes is dropped.
func (s *stream) Close() error {
	s.out.close()
	s.in.reset()
	s.drop()
	return nil
}

// Reset implements core.Stream.
func (s *stream) Reset() error {
	s.out.reset()
	s.in.reset()
	s.drop()
	return nil
}

func (s *stream) drop() {
	s.net.forget(s.in)
	s.net.forget(s.out)
}

// SetReadDeadline implements core.Stream.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.in.setDeadline(&s.in.readBy, t)
	return nil
}

// SetWriteDeadline implements core.Stream.
func (s *stream) SetWriteDeadline(t time.Time) error {
	s.out.setDeadline(&s.out.writeBy, t)
	return nil
}

// line carries bytes one way, each after a delay.
type line struct {
	delay time.Duration

	mu      sync.Mutex // guards the rest
	changed chan struct{}
	chunks  []chunk
	size    int
	held    bool // nothing arrives
	closed  bool
	broken  bool
	readBy  time.Time
	writeBy time.Time
}

// chunk is what one Write sent.
type chunk struct {
	data []byte
	at   time.Time // when it arrives
}

func newLine() *line { return &line{changed: make(chan struct{})} }

// wake lets everyone look again. The mutex is held.
func (l *line) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *line) do(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.wake()
}

func (l *line) hold(held bool) { l.do(func() { l.held = held }) }
func (l *line) close()         { l.do(func() { l.closed = true }) }
func (l *line) reset()         { l.do(func() { l.broken, l.chunks, l.size = true, nil, 0 }) }

func (l *line) setDeadline(which *time.Time, t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A deadline that only moves on wakes nobody: who waits has a timer for the old one and looks again then.
	if earlier := !t.IsZero() && (which.IsZero() || t.Before(*which)); earlier {
		defer l.wake()
	}
	*which = t
}

func (l *line) read(b []byte) (int, error) {
	for {
		l.mu.Lock()
		now := time.Now()
		switch {
		case l.broken:
			l.mu.Unlock()
			return 0, syscall.ECONNRESET
		case len(b) == 0:
			l.mu.Unlock()
			return 0, nil
		case !l.held && len(l.chunks) > 0 && !l.chunks[0].at.After(now):
			n := l.take(b, now)
			l.mu.Unlock()
			return n, nil
		case !l.held && l.closed && len(l.chunks) == 0:
			l.mu.Unlock()
			return 0, io.EOF
		case past(l.readBy, now):
			l.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
		until := l.readBy
		if !l.held && len(l.chunks) > 0 && (until.IsZero() || l.chunks[0].at.Before(until)) {
			until = l.chunks[0].at
		}
		l.wait(until)
	}
}

// take moves what has arrived to b. The mutex is held.
func (l *line) take(b []byte, now time.Time) (n int) {
	for len(l.chunks) > 0 && n < len(b) && !l.chunks[0].at.After(now) {
		m := copy(b[n:], l.chunks[0].data)
		n += m
		if l.chunks[0].data = l.chunks[0].data[m:]; len(l.chunks[0].data) == 0 {
			l.chunks = l.chunks[1:]
		}
	}
	l.size -= n
	l.wake()
	return n
}

func (l *line) write(b []byte) (n int, err error) {
	for {
		l.mu.Lock()
		switch {
		case l.broken || l.closed:
			l.mu.Unlock()
			return n, syscall.EPIPE
		case len(b) == 0:
			l.mu.Unlock()
			return n, nil
		case past(l.writeBy, time.Now()):
			l.mu.Unlock()
			return n, os.ErrDeadlineExceeded
		case l.size < lineSize:
			m := min(len(b), lineSize-l.size)
			l.chunks = append(l.chunks, chunk{append([]byte(nil), b[:m]...), time.Now().Add(l.delay)})
			l.size += m
			l.wake()
			l.mu.Unlock()
			n, b = n+m, b[m:]
			continue
		}
		l.wait(l.writeBy)
	}
}

// wait returns after a change or at a time, and unlocks the mutex.
func (l *line) wait(until time.Time) {
	changed := l.changed
	l.mu.Unlock()
	if until.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

func past(deadline, now time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }

var _ core.Stream = (*stream)(nil)
