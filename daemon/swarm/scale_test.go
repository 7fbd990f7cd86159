package swarm

import (
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// A hundred PCs live in a simulated network and under a simulated clock: they join by invites, hear
// of each other and call each other.
func TestAHundredNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(200)) // most of the work would be to look at 50,000 stacks again and again
	began := time.Now()
	synctest.Test(t, liveTogether)
	t.Logf("all that took %s", time.Since(began).Round(time.Second))
}

// What a swarm of a hundred may cost: a node connects to 12 by itself, and is called by newcomers.
const (
	hosts       = 100
	mostAverage = 40 // connections of a node
	mostMemory  = 1000
)

func liveTogether(t *testing.T) {
	n := newEarth(20 * time.Millisecond)
	t.Cleanup(func() { time.Sleep(time.Minute) }) // what libp2p leaves behind ends by its own time limits
	t.Cleanup(n.close)
	n.began = time.Now()
	nodes := n.populate(t, hosts)
	n.await(t, "everybody has heard of everybody", 2*time.Minute, func() bool { return heard(nodes, nodes, "") })
	if c := connections(nodes); c > mostAverage {
		t.Errorf("a node has %d connections on average", c)
	}
	if m := heap(); m > mostMemory {
		t.Errorf("%.0f MiB in all", m)
	}
	n.callAStranger(t, nodes)
}

// Forty of them, more than are all connected to each other, live on for a quarter of an hour: some leave without a word,
// the network falls apart and heals, and the anchor is started again.
func TestSwarmHeals(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(200))
	synctest.Test(t, fallApart)
}

func fallApart(t *testing.T) {
	n := newEarth(20 * time.Millisecond)
	t.Cleanup(func() { time.Sleep(time.Minute) })
	t.Cleanup(n.close)
	n.began = time.Now()
	nodes := n.populate(t, 40)
	n.await(t, "everybody has heard of everybody", 2*time.Minute, func() bool { return heard(nodes, nodes, "") })

	stay, gone := nodes[:30], nodes[30:]
	n.cut.Store(&cut{func(i int) int { return i / 30 }})
	stopAll(gone)
	n.await(t, "those who left are forgotten", noticeLifetime+2*time.Minute, func() bool { return heard(stay, stay, "") })

	n.cut.Store(&cut{func(i int) int { return i % 2 }})
	time.Sleep(3 * time.Minute)
	announce(stay, "healed")
	if heard(stay, stay, "healed") {
		t.Error("the network did not fall apart")
	}
	n.cut.Store(nil)
	n.await(t, "the network heals", 3*time.Minute, func() bool { return heard(stay, stay, "healed") })

	stay[0].stop()
	stay[0] = startNode(t, stay[0].dir, "n0", n.at(0), anchor)
	announce(stay[:1], "back")
	n.await(t, "everybody hears of the anchor again", 2*time.Minute, func() bool { return heard(stay[1:], stay[:1], "back") })
	n.await(t, "the anchor hears of everybody", 2*time.Minute, func() bool { return heard(stay[:1], stay, "") })
}

// callAStranger has a node open a stream to one that it is not connected to.
func (n *earth) callAStranger(t *testing.T, nodes []*node) {
	t.Helper()
	last := nodes[len(nodes)-1]
	for _, other := range nodes {
		if other == last || !connected(last, other, connectionNone) {
			continue
		}
		other.Handle("/shoal/test/1", echo)
		if err := call(t, last, other.Self()); err != nil {
			t.Errorf("call somebody who is only heard of: %v", err)
		}
		if !connected(last, other, connectionDirect) {
			t.Error("not connected after a call")
		}
		return
	}
	t.Error("the last node is connected to everybody")
}

// earth is a simulated network of UDP with one latency, which can fall apart.
type earth struct {
	router simnet.VariableLatencyRouter
	stop   chan struct{}
	wg     sync.WaitGroup
	began  time.Time
	cut    atomic.Pointer[cut]
}

// cut says in which part of a network that fell apart the i-th node is.
type cut struct{ part func(i int) int }

// loses tells whether a packet goes from one part to another.
func (c *cut) loses(from, to net.IP) bool {
	return c != nil && c.part(int(from.To4()[3])-1) != c.part(int(to.To4()[3])-1)
}

func newEarth(latency time.Duration) *earth {
	n := &earth{stop: make(chan struct{})}
	n.router.LatencyFunc, n.router.CloseSignal = simnet.StaticLatency(latency), n.stop
	n.router.Start(&n.wg)
	return n
}

func (n *earth) close() {
	close(n.stop)
	n.wg.Wait()
}

// RecvPacket implements simnet.PacketReceiver.
func (n *earth) RecvPacket(p *simnet.Packet) {
	to := *p.To.(*net.UDPAddr)
	if n.cut.Load().loses(p.From.(*net.UDPAddr).IP, to.IP) {
		return
	}
	to.IP = to.IP.To4() // the router compares the bytes
	p.To = &to
	n.router.RecvPacket(p)
}

// at puts the i-th node at its address.
func (n *earth) at(i int) func(*Config) {
	ip := place(i)
	var next atomic.Int32
	return func(c *Config) {
		c.Listen = net.JoinHostPort(ip.String(), "8810")
		c.Log = nil
		// Asking peers for the own address keeps a goroutine running that a simulated clock cannot wait for.
		c.options = []libp2p.Option{libp2p.DisableIdentifyAddressDiscovery()}
		c.interfaces = func() ([]net.Addr, error) { return []net.Addr{&net.IPAddr{IP: ip}}, nil }
		c.quicOptions = []quicreuse.Option{quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) {
			return source(ip), nil
		})}
		c.listenUDP = func(_ string, at *net.UDPAddr) (net.PacketConn, error) {
			at = &net.UDPAddr{IP: ip, Port: at.Port}
			if at.Port == 0 {
				at.Port = 20000 + int(next.Add(1))
			}
			conn := simnet.NewBlockingSimConn(at)
			conn.SetUpPacketReceiver(n)
			n.router.AddNode(at, conn)
			return conn, nil
		}
	}
}

// place is the address of the i-th node.
func place(i int) net.IP { return net.IPv4(1, 2, 3, byte(i+1)).To4() }

// populate makes nodes that join one after the other, each by an invite of one that is there already.
func (n *earth) populate(t *testing.T, count int) []*node {
	t.Helper()
	nodes := []*node{newNode(t, "n0", n.at(0), anchor)}
	for i := 1; i < count; i++ {
		node := newNode(t, fmt.Sprint("n", i), n.at(i))
		invited(t, nodes[(i-1)/4], node)
		nodes = append(nodes, node)
	}
	return nodes
}

// await looks once a second whether ok is true.
func (n *earth) await(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	began := time.Now()
	for ; !ok(); time.Sleep(time.Second) {
		if time.Since(began) > within {
			t.Fatalf("%s: not within %s", what, within)
		}
	}
	t.Logf("%s after %s; it is minute %.1f, %.0f MiB in all", what, time.Since(began).Round(time.Second), time.Since(n.began).Minutes(), heap())
}

func announce(nodes []*node, gpu string) {
	for _, n := range nodes {
		n.Announce(core.Announcement{GPU: gpu})
	}
}

func stopAll(nodes []*node) {
	var stopping sync.WaitGroup
	for _, n := range nodes {
		stopping.Go(n.stop)
	}
	stopping.Wait()
}

// heard tells whether some nodes have the latest announcement of each of others; those who are said to tell nothing in
// particular may tell anything, but then nobody else is known.
func heard(some, others []*node, gpu string) bool {
	for _, s := range some {
		told := map[core.PeerID]string{s.Self(): gpu}
		for _, a := range s.Announcements() {
			told[a.Peer] = a.GPU
		}
		if gpu == "" && len(told) != len(others) {
			return false
		}
		for _, o := range others {
			if has, ok := told[o.Self()]; !ok || gpu != "" && has != gpu {
				return false
			}
		}
	}
	return true
}

// connections counts the connections of a node on average.
func connections(nodes []*node) (all int) {
	for _, n := range nodes {
		all += len(n.current.host.Network().Conns())
	}
	return all / len(nodes)
}
