package swarm

import (
	"bufio"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// everywhere makes a node listen at every loopback address, and bounds those too: 127.0.0.2 is another PC.
func everywhere(c *Config) {
	c.Listen = "0.0.0.0:0"
	c.Limits = Limits{LimitLoopback: true}
}

// portOf is where a node listens for TCP.
func portOf(t *testing.T, n *node) int {
	t.Helper()
	for _, a := range n.current.host.Network().ListenAddresses() {
		if at, err := manet.ToNetAddr(a); err == nil {
			if tcp, ok := at.(*net.TCPAddr); ok && tcp.IP.To4() != nil {
				return tcp.Port
			}
		}
	}
	t.Fatal("no TCP port")
	return 0
}

// from dials a TCP port from an address of this PC.
func from(ip string, port int) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: 5 * time.Second}
	return d.Dial("tcp4", (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String())
}

// heap is the memory in use, in MiB.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse+m.StackInuse) / (1 << 20)
}

func TestThousandConnectionsASecondFromOneAddress(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has many loopback addresses without set-up")
	}
	a := newNode(t, "a", everywhere)
	code := newCode(t, a)
	port := portOf(t, a)
	before, routines := heap(), runtime.NumGoroutine()
	var open, lines sync.Map
	var served atomic.Int32
	var wg sync.WaitGroup
	ticks := time.NewTicker(time.Millisecond)
	defer ticks.Stop()
	for i := range 2000 {
		<-ticks.C
		wg.Go(func() {
			c, err := from("127.0.0.9", port)
			if err != nil {
				return
			}
			open.Store(i, c)
			c.SetReadDeadline(time.Now().Add(3 * time.Second))
			if line, err := bufio.NewReader(c).ReadString('\n'); err == nil || len(line) > 0 {
				served.Add(1)
			}
			lines.Store(i, true)
		})
		if i == 1000 { // in the middle of the flood somebody from elsewhere joins
			b := newNode(t, "b")
			began := time.Now()
			if _, err := b.Join(t.Context(), code.Code); err != nil {
				t.Errorf("an honest peer during the flood: %v", err)
			}
			t.Logf("honest peer in after %s", time.Since(began))
		}
	}
	during := heap()
	if n := served.Load(); n > 16+20 {
		t.Errorf("%d of 2,000 connections from one address were spoken to", n)
	}
	if during-before > 64 {
		t.Errorf("memory grew from %.0f to %.0f MiB", before, during)
	}
	wg.Wait()
	open.Range(func(_, c any) bool { c.(net.Conn).Close(); return true })
	t.Logf("%d spoken to, memory %.0f to %.0f MiB", served.Load(), before, during)
	eventually(t, "no goroutines are left", 30*time.Second, func() bool { return runtime.NumGoroutine() < routines+200 })
}

func TestSlowHandshakesAreCutOff(t *testing.T) {
	t.Parallel()
	a := newNode(t, "a")
	newCode(t, a)
	port := portOf(t, a)
	var wg sync.WaitGroup
	for range 20 {
		c, err := from("127.0.0.1", port)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(40 * time.Second))
			if _, err := io.Copy(io.Discard, c); os.IsTimeout(err) {
				t.Error("a silent connection is kept")
			}
		})
	}
	wg.Wait()
}

// A stream that drips its bytes, or says it will send a gigabyte, is over in the time of one greeting.
func TestSlowAndOversizedStreamsAreCutOff(t *testing.T) {
	a := newNode(t, "a")
	newCode(t, a)
	for _, c := range []struct {
		name string
		send []byte
		fast bool
	}{
		{"silent", nil, false},
		{"half a header", []byte{1, 0}, false},
		{"a gigabyte", []byte{0, 0, 0, 0x40, byte(frameJoin)}, true},
		{"another frame", []byte{0, 0, 0, 0, 77}, true},
		{"no message", []byte{3, 0, 0, 0, byte(frameJoin), 255, 255, 255}, true},
	} {
		p := probe(t, a, a.current.key)
		p.host.Peerstore().AddAddrs(a.current.host.ID(), a.current.host.Addrs(), time.Hour)
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := p.host.NewStream(t.Context(), a.current.host.ID(), protocol.ID(joinProtocol))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Reset()
			began := time.Now()
			if _, err := s.Write(c.send); err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, s); err == nil || n > 0 {
				t.Errorf("%d bytes came back, %v", n, err)
			}
			if d := time.Since(began); d > 2*talkFor || c.fast && d > talkFor/2 {
				t.Errorf("lasted %s", d)
			}
		})
	}
}

// A member that sends what no honest node sends is heard by nobody, and put out.
func TestBrokenGossipIsRefused(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	invited(t, a, b)
	eventually(t, "b is connected", 5*time.Second, func() bool { return connected(a, b, connectionDirect) })
	before := heap()
	topic := b.current.announceTopic
	eventually(t, "the gossip knows a", 5*time.Second, func() bool { return len(topic.ListPeers()) > 0 })
	huge := []byte(strings.Repeat("x", record.MaxSize+1000))
	for i := range 8 {
		huge[0] = byte(i) // or it counts as the same message
		if err := topic.Publish(t.Context(), append([]byte(nil), huge...)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "b is refused", 10*time.Second, func() bool { return a.current.book.refuses(b.Self()) && connected(a, b, connectionNone) })
	if grown := heap() - before; grown > 32 {
		t.Errorf("memory grew by %.0f MiB", grown)
	}
	if !a.Peers()[0].LastSeen.IsZero() && a.Peers()[0].TrustScore >= trustTooLow {
		t.Errorf("trust %v", a.Peers()[0].TrustScore)
	}
}

func TestReplayedInvitesAreCounted(t *testing.T) {
	a := newNode(t, "a")
	code := newCode(t, a)
	if _, err := newNode(t, "first").Join(t.Context(), code.Code); err != nil {
		t.Fatal(err)
	}
	thief := newNode(t, "thief")
	for range 3 {
		if _, err := thief.Join(t.Context(), code.Code); core.CodeOf(err) != core.CodeInviteUsed {
			t.Errorf("a replayed invite: %v", err)
		}
	}
	if n := a.current.members.size(); n != 2 {
		t.Errorf("%d members", n)
	}
}
