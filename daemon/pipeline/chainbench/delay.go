package chainbench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Slow makes networks whose streams take time: what is written at either end leaves after the delay that set gives
// all of them. It stands in for distance on one machine.
func Slow(networks []core.Network) (slow []core.Network, set func(oneWay time.Duration)) {
	delay := &atomic.Int64{}
	for _, n := range networks {
		slow = append(slow, slowNetwork{n, delay})
	}
	return slow, func(d time.Duration) { delay.Store(int64(d)) }
}

// slowNetwork is a core.Network whose streams are slow.
type slowNetwork struct {
	core.Network
	delay *atomic.Int64
}

// Open implements core.Network.
func (n slowNetwork) Open(ctx context.Context, to core.PeerID, protocol string) (core.Stream, error) {
	s, err := n.Network.Open(ctx, to, protocol)
	if err != nil {
		return nil, err
	}
	return newSlowStream(s, n.delay), nil
}

// Handle implements core.Network.
func (n slowNetwork) Handle(protocol string, handler func(core.Stream)) {
	if handler == nil {
		n.Network.Handle(protocol, nil)
		return
	}
	n.Network.Handle(protocol, func(s core.Stream) { handler(newSlowStream(s, n.delay)) })
}

// slowStream holds back what is written.
type slowStream struct {
	core.Stream
	delay *atomic.Int64
	queue chan parcel
	once  sync.Once
	ended chan struct{}
}

// parcel is what one Write sent.
type parcel struct {
	data []byte
	due  time.Time
}

func newSlowStream(s core.Stream, delay *atomic.Int64) *slowStream {
	w := &slowStream{Stream: s, delay: delay, queue: make(chan parcel, 1<<10), ended: make(chan struct{})}
	go w.deliver()
	return w
}

func (w *slowStream) deliver() {
	for {
		select {
		case p := <-w.queue:
			timer := time.NewTimer(time.Until(p.due))
			select {
			case <-timer.C:
			case <-w.ended:
				timer.Stop()
				return
			}
			if _, err := w.Stream.Write(p.data); err != nil {
				return
			}
		case <-w.ended:
			return
		}
	}
}

// Write implements io.Writer.
func (w *slowStream) Write(b []byte) (int, error) {
	d := time.Duration(w.delay.Load())
	if d == 0 {
		return w.Stream.Write(b)
	}
	select {
	case w.queue <- parcel{append([]byte(nil), b...), time.Now().Add(d)}:
		return len(b), nil
	case <-w.ended:
		return 0, core.Errorf(core.CodeNotReady, "the stream is closed")
	}
}

func (w *slowStream) end() { w.once.Do(func() { close(w.ended) }) }

// Close implements io.Closer.
func (w *slowStream) Close() error {
	w.end()
	return w.Stream.Close()
}

// Reset implements core.Stream.
func (w *slowStream) Reset() error {
	w.end()
	return w.Stream.Reset()
}
