package swarm

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/marcopolo/simnet"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// Fifty nodes in one process know of one other each, the first; in the end everybody is connected to everybody. With a
// hundred the simulated network, not the nodes, is too slow for a test.
func TestFiftyNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	const count = 50
	n := &plain{}
	first := newNode(t, "n0", n.at("1.2.0.1"))
	newCode(t, first)
	in := first.current.realm
	began := time.Now()
	nodes := []*node{first}
	for i := 1; i < count; i++ {
		node := newNode(t, fmt.Sprint("n", i), n.at(fmt.Sprintf("1.2.1.%d", i)))
		admitted, err := record.Admit(first.cfg.Identity, in.name(), node.Self(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := first.current.members.add([]*record.Signed{admitted.Record}); err != nil {
			t.Fatal(err)
		}
		data, err := record.Encode(admitted.Record)
		if err != nil {
			t.Fatal(err)
		}
		if err := node.store.SaveAdmission(t.Context(), node.Self(), data); err != nil {
			t.Fatal(err)
		}
		b := newBook(nil, node.store.SavePeer, time.Now, node.log)
		b.met(first.Self(), texts(first.current.host.Addrs()))
		b.flush(t.Context())
		if err := node.saveRealm(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		node.restart()
		nodes = append(nodes, node)
	}
	for i, node := range nodes {
		node.Announce(core.Announcement{GPU: fmt.Sprint("gpu", i)})
	}
	eventually(t, "everybody has heard of everybody", 90*time.Second, func() bool {
		for _, node := range nodes {
			if len(node.Announcements()) < count-1 {
				return false
			}
		}
		return true
	})
	t.Logf("%d nodes know each other after %s, %.0f MiB in all", count, time.Since(began), heap())
	var stopping sync.WaitGroup
	for _, node := range nodes {
		stopping.Go(node.stop)
	}
	stopping.Wait()
}

// plain is a simulated network of UDP without firewalls.
type plain struct{ internet }

func (p *plain) at(ip string) func(*Config) {
	open := p.internet.at(ip, true)
	return func(c *Config) {
		open(c)
		c.listenUDP = func(_ string, at *net.UDPAddr) (net.PacketConn, error) {
			at = &net.UDPAddr{IP: net.ParseIP(ip), Port: at.Port}
			if at.Port == 0 {
				at.Port = 30000
			}
			p.SetAddrPubliclyReachable(at)
			conn := simnet.NewSimConn(at)
			conn.SetUpPacketReceiver(p)
			p.AddNode(at, conn)
			return conn, nil
		}
		c.Limits = Limits{ConnsPerIP: 1000, RatePerIP: 1000, BurstPerIP: 1000}
		c.Log = nil
	}
}
