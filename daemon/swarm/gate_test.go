package swarm

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// self is an identity and its name.
type self struct {
	key  *identity.Identity
	name core.PeerID
}

func newIdentity(t *testing.T) self {
	t.Helper()
	key, err := identity.Open(filepath.Join(t.TempDir(), "k"))
	if err != nil {
		t.Fatal(err)
	}
	name, err := record.PeerOf(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return self{key, name}
}

// probe is a host with a key of the network that is not the node's own business.
func probe(t *testing.T, n *node, key networkKey) *session {
	t.Helper()
	cfg := n.cfg
	cfg.Identity = newIdentity(t).key
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.newSession(t.Context(), firstRealm(key, n.current.realm.founder))
	if err != nil {
		t.Fatal(err)
	}
	if p.host, err = p.newHost(nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func TestWrongKeyNeverCompletesAHandshake(t *testing.T) {
	a := newNode(t, "a")
	newCode(t, a)
	right := a.current.key
	wrong := right
	wrong[31] ^= 1
	for _, protocol := range []int{multiaddr.P_TCP, multiaddr.P_QUIC_V1} {
		var at []multiaddr.Multiaddr
		for _, addr := range a.current.host.Addrs() {
			if _, err := addr.ValueForProtocol(protocol); err == nil {
				at = append(at, addr)
			}
		}
		if len(at) == 0 {
			t.Fatalf("no address of protocol %d in %v", protocol, a.current.host.Addrs())
		}
		for _, c := range []struct {
			key networkKey
			ok  bool
		}{{right, true}, {wrong, false}} {
			p := probe(t, a, c.key)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			err := p.host.Connect(ctx, peer.AddrInfo{ID: a.current.host.ID(), Addrs: at})
			cancel()
			if (err == nil) != c.ok {
				t.Errorf("%v with the right key %v: %v", at, c.ok, err)
			}
			if saw := len(a.current.host.Network().ConnsToPeer(p.host.ID())) > 0; saw && !c.ok {
				t.Errorf("%v: the node has a connection to a stranger", at)
			}
		}
	}
}

func TestDatagramsOfStrangersAreDropped(t *testing.T) {
	a, b := udp(t), udp(t)
	sealed, err := sealPackets(networkKey{1}, a)
	if err != nil {
		t.Fatal(err)
	}
	other, err := sealPackets(networkKey{2}, b)
	if err != nil {
		t.Fatal(err)
	}
	friend, err := sealPackets(networkKey{1}, udp(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, send := range []func() (int, error){
		func() (int, error) { return other.WriteTo([]byte("stranger"), a.LocalAddr()) },
		func() (int, error) { return b.WriteTo([]byte("plain"), a.LocalAddr()) },
		func() (int, error) { return b.WriteTo(nil, a.LocalAddr()) },
		func() (int, error) { return b.WriteTo(make([]byte, 4000), a.LocalAddr()) },
		func() (int, error) { return friend.WriteTo([]byte("friend"), a.LocalAddr()) },
	} {
		if _, err := send(); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 1500)
	a.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, _, err := sealed.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "friend" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
}

func udp(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func FuzzDatagram(f *testing.F) {
	c, err := sealPackets(networkKey{1}, nil)
	if err != nil {
		f.Fatal(err)
	}
	nonce := make([]byte, c.aead.NonceSize())
	f.Add(c.aead.Seal(nonce, nonce, []byte("hello"), nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		if plain, ok := c.open(data); ok {
			nonce := before[:c.aead.NonceSize()]
			if !bytes.Equal(c.aead.Seal(bytes.Clone(nonce), nonce, plain, nil), before) {
				t.Fatal("what opens is not what was sealed")
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	c, err := sealPackets(networkKey{1}, sink)
	if err != nil {
		b.Fatal(err)
	}
	packet, buf := make([]byte, 1280), make([]byte, 1500)
	b.SetBytes(int64(len(packet)))
	for b.Loop() {
		c.WriteTo(packet, sink.LocalAddr())
		if _, _, err := c.ReadFrom(buf); err != nil {
			b.Fatal(err)
		}
	}
}
