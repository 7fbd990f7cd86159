package swarm

import (
	"net"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// Two PCs of one swarm that know no address of each other meet by multicast DNS.
func TestPeersMeetOnTheLocalNetwork(t *testing.T) {
	home := multicastAddress(t)
	local := func(c *Config) { c.Listen, c.NoMDNS = net.JoinHostPort(home.String(), "0"), false }
	a, b := newNode(t, "a", local), newNode(t, "b", local)
	newCode(t, a)
	in := a.current.realm
	admitted, err := record.Admit(a.cfg.Identity, in.name(), b.Self(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	data, err := record.Encode(admitted.Record)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.store.SaveAdmission(t.Context(), b.Self(), data); err != nil {
		t.Fatal(err)
	}
	if err := b.saveRealm(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	b.restart()
	eventually(t, "they find each other", 30*time.Second, func() bool {
		return connected(a, b, connectionDirect) && connected(b, a, connectionDirect)
	})
	if !a.Peers()[0].IsLANPeer || !b.Peers()[0].IsLANPeer {
		t.Error("a peer that multicast DNS found is not shown as one of the local network")
	}
}

// multicastAddress is an address of this PC on a network with multicast; where a packet to a group does not come back
// there is nothing to test.
func multicastAddress(t *testing.T) net.IP {
	t.Helper()
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Skip("no interfaces:", err)
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagMulticast == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && hearsItself(&i, n.IP) {
				return n.IP
			}
		}
	}
	t.Skip("this machine has no network on which a multicast packet comes back")
	return nil
}

// hearsItself tells whether a packet that leaves an interface for a group comes back to who listens there.
func hearsItself(i *net.Interface, from net.IP) bool {
	in, err := net.ListenMulticastUDP("udp4", i, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251)})
	if err != nil {
		return false
	}
	defer in.Close()
	out, err := net.DialUDP("udp4", &net.UDPAddr{IP: from}, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: in.LocalAddr().(*net.UDPAddr).Port})
	if err != nil {
		return false
	}
	defer out.Close()
	if _, err := out.Write([]byte("shoal")); err != nil {
		return false
	}
	in.SetReadDeadline(time.Now().Add(2 * time.Second))
	n, err := in.Read(make([]byte, 16))
	return err == nil && n == len("shoal")
}
