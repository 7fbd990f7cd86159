package transfer

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// piece is what is sent or taken at once while a cap holds, in bytes.
const piece = 16 << 10

// limit is a cap in bytes a second that may change at any time; 0 is none.
type limit struct {
	perSecond func() int64

	mu   sync.Mutex // guards the rest
	set  int64
	rate *rate.Limiter
}

func newLimit(perSecond func() int64) *limit { return &limit{perSecond: perSecond} }

// on tells whether the cap holds now.
func (l *limit) on() bool { return l != nil && l.perSecond != nil && l.perSecond() > 0 }

// wait returns when n more bytes may flow; n is at most piece.
func (l *limit) wait(ctx context.Context, n int) error {
	now := l.perSecond()
	if now <= 0 {
		return nil
	}
	l.mu.Lock()
	if l.rate == nil || l.set != now {
		l.set, l.rate = now, rate.NewLimiter(rate.Limit(now), 4*piece)
		l.rate.AllowN(time.Now(), 4*piece) // a new cap starts without savings
	}
	r := l.rate
	l.mu.Unlock()
	return r.WaitN(ctx, n)
}

// capped is a stream under a cap. Waiting for the cap does not count as a stall of the peer.
type capped struct {
	core.Stream
	ctx  context.Context
	up   *limit
	down *limit
}

// Write implements io.Writer.
func (c capped) Write(b []byte) (n int, err error) {
	for n < len(b) {
		next := b[n:]
		if c.up.on() {
			next = next[:min(len(next), piece)]
			if err := c.up.wait(c.ctx, len(next)); err != nil {
				return n, err
			}
			if err := c.Stream.SetWriteDeadline(time.Now().Add(stallTime)); err != nil {
				return n, err
			}
		}
		m, err := c.Stream.Write(next)
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// Read implements io.Reader.
func (c capped) Read(b []byte) (int, error) {
	if !c.down.on() {
		return c.Stream.Read(b)
	}
	n, err := c.Stream.Read(b[:min(len(b), piece)])
	if n > 0 {
		if wait := c.down.wait(c.ctx, n); wait != nil && err == nil {
			err = wait
		}
	}
	return n, err
}
