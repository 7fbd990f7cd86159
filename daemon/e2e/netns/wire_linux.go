package netns

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Wire is a cable between two namespaces that can be cut, slowed down and made to lose packets, as often as wanted.
// This program carries every packet from one end to the other.
type Wire struct {
	ends  [2]*os.File
	work  sync.WaitGroup
	delay atomic.Int64 // nanoseconds one way
	loss  atomic.Int64 // lost packets of a million
	cut   atomic.Bool
}

// NewWire puts a wire between two namespaces. The interfaces are down, and have no address.
func NewWire(a *Namespace, nameA string, b *Namespace, nameB string) (*Wire, error) {
	w := &Wire{}
	var err error
	if w.ends[0], err = a.tap(nameA); err != nil {
		return nil, err
	}
	if w.ends[1], err = b.tap(nameB); err != nil {
		return nil, errors.Join(err, w.ends[0].Close())
	}
	w.work.Go(func() { w.carry(w.ends[0], w.ends[1]) })
	w.work.Go(func() { w.carry(w.ends[1], w.ends[0]) })
	return w, nil
}

// tap makes an interface of Ethernet whose packets come out of the file.
func (n *Namespace) tap(name string) (file *os.File, err error) {
	err = n.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		request, err := unix.NewIfreq(name)
		if err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return errors.Join(fmt.Errorf("make interface %s: %w", name, err), unix.Close(fd))
		}
		file = os.NewFile(uintptr(fd), name)
		return nil
	})
	return file, err
}

// Close removes the wire and its interfaces.
func (w *Wire) Close() error {
	err := errors.Join(w.ends[0].Close(), w.ends[1].Close())
	w.work.Wait()
	return err
}

// Delay makes every packet take this long, in either direction.
func (w *Wire) Delay(oneWay time.Duration) { w.delay.Store(int64(oneWay)) }

// Lose makes a share of the packets disappear.
func (w *Wire) Lose(share float64) { w.loss.Store(int64(share * 1e6)) }

// Cut makes every packet disappear, or ends that. Neither end can see it from its interface.
func (w *Wire) Cut(cut bool) { w.cut.Store(cut) }

// packet is a packet on its way.
type packet struct {
	data []byte
	due  time.Time
}

// The longest packet, and how many may be under way in one direction; the next ones are lost, as in a router.
const (
	maxPacket  = 2048
	maxWaiting = 4096
)

// carry takes packets from one end to the other until the wire is closed.
func (w *Wire) carry(from, to *os.File) {
	under := make(chan packet, maxWaiting)
	w.work.Go(func() { deliver(under, to) })
	defer close(under)
	buf := make([]byte, maxPacket)
	for {
		n, err := from.Read(buf)
		switch {
		case err != nil: // closed, or the namespace is gone
			return
		case w.cut.Load() || rand.Int64N(1e6) < w.loss.Load():
			continue
		}
		select {
		case under <- packet{append([]byte(nil), buf[:n]...), time.Now().Add(time.Duration(w.delay.Load()))}:
		default:
		}
	}
}

func deliver(under <-chan packet, to *os.File) {
	for p := range under {
		if wait := time.Until(p.due); wait > 0 {
			time.Sleep(wait)
		}
		_, _ = to.Write(p.data) // lost when the interface is down
	}
}
