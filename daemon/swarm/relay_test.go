package swarm

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/invite"
)

// internet is a simulated network of UDP in which every node stands behind a firewall that only lets in who was
// called before, as the routers of homes do; the address of an anchor is open.
type internet struct {
	simnet.SimpleFirewallRouter
	strict atomic.Bool // routers that never let two homes talk to each other
}

// RecvPacket implements simnet.PacketReceiver.
func (n *internet) RecvPacket(p *simnet.Packet) {
	if n.strict.Load() && atHome(p.From) && atHome(p.To) {
		return
	}
	n.SimpleFirewallRouter.RecvPacket(p)
}

// atHome tells whether an address is of a home: 2.2.0.x; anchors are elsewhere.
func atHome(a net.Addr) bool { return a.(*net.UDPAddr).IP.To4()[0] == 2 }

// source makes every packet of a node leave from its address.
type source net.IP

// PreferredSourceIPForDestination implements quicreuse.SourceIPSelector.
func (s source) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) { return net.IP(s), nil }

// at puts a node at an address of the internet.
func (n *internet) at(ip string, open bool) func(*Config) {
	home := net.ParseIP(ip)
	var next atomic.Int32
	return func(c *Config) {
		c.Listen = net.JoinHostPort(ip, "8810")
		c.options = []libp2p.Option{libp2p.DisableIdentifyAddressDiscovery()}
		c.behindNAT = !open
		c.quicOptions = []quicreuse.Option{quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) {
			return source(home), nil
		})}
		c.listenUDP = func(_ string, at *net.UDPAddr) (net.PacketConn, error) {
			at = &net.UDPAddr{IP: home, Port: at.Port}
			if at.Port == 0 {
				at.Port = 20000 + int(next.Add(1))
			}
			if open {
				n.SetAddrPubliclyReachable(at)
			}
			conn := simnet.NewBlockingSimConn(at)
			conn.SetUpPacketReceiver(n)
			n.AddNode(at, conn)
			return conn, nil
		}
	}
}

func anchor(c *Config) { c.Anchor = true }

func TestTwoHomesMeetThroughAnAnchorAndThenDirectly(t *testing.T) {
	n := &internet{}
	vps := newNode(t, "vps", n.at("1.2.0.1", true), anchor)
	a, b := newNode(t, "a", n.at("2.2.0.1", false)), newNode(t, "b", n.at("2.2.0.2", false))
	b.Handle("/shoal/test/1", echo)
	invited(t, vps, a)
	eventually(t, "a knows the anchor", 10*time.Second, func() bool {
		i, err := invite.Decode(newCode(t, a).Code)
		return err == nil && len(i.Anchors) > 0
	})
	eventually(t, "a has a place at the anchor", 20*time.Second, func() bool { return hasCircuit(a) })
	invited(t, a, b)
	eventually(t, "the hole is punched", 30*time.Second, func() bool {
		return connected(a, b, connectionDirect) && connected(b, a, connectionDirect)
	})
	if err := call(t, a, b.Self()); err != nil {
		t.Fatal(err)
	}
}

func TestTwoHomesThatNeverReachEachOtherAreRelayed(t *testing.T) {
	n := &internet{}
	n.strict.Store(true)
	vps := newNode(t, "vps", n.at("1.2.0.1", true), anchor)
	a, b := newNode(t, "a", n.at("2.2.0.1", false)), newNode(t, "b", n.at("2.2.0.2", false))
	b.Handle("/shoal/test/1", echo)
	invited(t, vps, a)
	eventually(t, "a has a place at the anchor", 20*time.Second, func() bool { return hasCircuit(a) })
	invited(t, a, b)
	eventually(t, "relayed, and shown so", 20*time.Second, func() bool {
		return connected(a, b, connectionRelayed) && connected(b, a, connectionRelayed) && connected(b, vps, connectionDirect)
	})
	if err := call(t, a, b.Self()); err != nil {
		t.Fatal(err)
	}
	if p := b.Peers(); !p[0].Anchor && !p[1].Anchor {
		t.Error("nobody is shown as an anchor")
	}
}

func hasCircuit(n *node) bool {
	s, err := n.session()
	if err != nil {
		return false
	}
	for _, a := range s.host.Addrs() {
		if isCircuit(a) {
			return true
		}
	}
	return false
}

func TestRoundTripIsMeasuredAgain(t *testing.T) {
	link := &faultyLink{}
	a := newNode(t, "a")
	b := newNode(t, "b", func(c *Config) { c.options = link.options(t) })
	invited(t, a, b)
	var before time.Duration
	eventually(t, "first measured", 5*time.Second, func() (ok bool) { before, ok = b.PeerRTT(a.Self()); return ok })
	link.delay.Store(int64(60 * time.Millisecond))
	s := b.current
	id, err := peerOf(a.Self())
	if err != nil {
		t.Fatal(err)
	}
	s.pathChanged(id)
	eventually(t, "measured again", 5*time.Second, func() bool {
		now, ok := b.PeerRTT(a.Self())
		return ok && now >= 60*time.Millisecond && now > before
	})
	p := b.Peers()[0]
	if p.LatencyMS < 60 || !p.IsLANPeer || !p.Healthy {
		t.Errorf("shown as %+v", p)
	}
	link.freeze()
	s.host.Network().ClosePeer(id)
	if _, err := b.Open(t.Context(), core.PeerID{}, "/x"); core.CodeOf(err) != core.CodeInvalidRequest {
		t.Errorf("open to nobody: %v", err)
	}
}
