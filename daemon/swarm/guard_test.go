package swarm

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// guarded is a guard that has stopped waiting, with a member, a member that is refused, and a stranger.
func guarded(t *testing.T) (g *guard, member, refused, stranger peer.ID) {
	t.Helper()
	founder := newIdentity(t)
	ses := apart(t, founder)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g = newGuard(ctx, ses.members, ses.book, time.Now)
	ids := map[core.PeerID]peer.ID{}
	bad, good, nobody := ses.self, founder.name, newName(t)
	for _, name := range []core.PeerID{bad, good, nobody} {
		id, err := peerOf(name)
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = id
	}
	ses.book.update(bad, func(e *entry) { e.RefusedUntil = time.Now().Add(time.Hour) })
	return g, ids[good], ids[bad], ids[nobody]
}

// An anchor relays for members, and gives places to members only.
func TestRelayingIsForMembers(t *testing.T) {
	g, member, _, stranger := guarded(t)
	at := multiaddr.StringCast("/ip4/192.0.2.1/tcp/1")
	if !g.AllowReserve(member, at) || g.AllowReserve(stranger, at) {
		t.Error("who is no member gets a place at an anchor")
	}
	if !g.AllowConnect(stranger, at, member) {
		t.Error("a newcomer cannot show its invite")
	}
	if g.AllowConnect(member, at, stranger) {
		t.Error("an anchor relays to who is no member")
	}
}

// incoming is a stream as its handler sees it.
type incoming struct {
	network.Stream
	from  peer.ID
	reset bool
}

func (s *incoming) Conn() network.Conn { return remote{peer: s.from} }

func (s *incoming) Reset() error { s.reset = true; return nil }

type remote struct {
	network.Conn
	peer peer.ID
}

func (c remote) RemotePeer() peer.ID { return c.peer }

func TestOnlyMembersAreServed(t *testing.T) {
	g, member, refused, stranger := guarded(t)
	for _, c := range []struct {
		name   string
		from   peer.ID
		former bool
		served bool
	}{
		{"a member", member, false, true},
		{"a member over a connection with a former key", member, true, false},
		{"a member that is refused", refused, false, false},
		{"a stranger", stranger, false, false},
	} {
		g.former = func(network.Conn) bool { return c.former }
		served, s := false, &incoming{from: c.from}
		g.wrap(func(network.Stream) { served = true })(s)
		if served != c.served || s.reset == c.served {
			t.Errorf("%s: served %v, reset %v", c.name, served, s.reset)
		}
	}
}

// However slowly they come, connections from one address are few.
func TestConnectionsOfOneAddressAreCounted(t *testing.T) {
	limits, err := resources(Limits{LimitLoopback: true, RatePerIP: 1e6, BurstPerIP: 1e6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { limits.Close() })
	open := func(ip string) (n int) {
		for i := range 40 {
			at := multiaddr.StringCast("/ip4/" + ip + "/tcp/" + strconv.Itoa(1000+i))
			if _, err := limits.OpenConnection(network.DirInbound, false, at); err == nil {
				n++
			}
		}
		return n
	}
	if n := open("192.0.2.7"); n != 8 {
		t.Errorf("%d of 40 connections from one address", n)
	}
	if n := open("192.0.2.8"); n != 8 {
		t.Errorf("%d of 40 connections from another address", n)
	}
}

// Who holds the network key, from a code that was used, ran out or was taken back, is told nothing of this node.
func TestHolderOfAnOldCodeIsToldNothing(t *testing.T) {
	a := newNode(t, "a")
	newCode(t, a)
	eventually(t, "the node has something to tell", 5*time.Second, func() bool {
		s := a.current
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.own != nil
	})
	p := probe(t, a, a.current.key)
	p.host.Peerstore().AddAddrs(a.current.host.ID(), a.current.host.Addrs(), time.Hour)
	s, err := p.host.NewStream(t.Context(), a.current.host.ID(), protocol.ID(memberProtocol))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	line := stream{s, a.Self()}
	if err := wire.NewWriter(line, talkFor).Send(frameGreeting, &record.Greeting{Clock: time.Now().UnixMilli()}); err != nil {
		t.Fatal(err)
	}
	in := wire.NewReader(line, talkFor, 1)
	for {
		kind, body, err := in.Next()
		if err != nil {
			break
		}
		if kind != frameGreeting {
			t.Errorf("a frame of kind %d, %d bytes, for who is no member", kind, len(body))
		}
	}
}
