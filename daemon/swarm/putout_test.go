package swarm

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// intruder is a host with an identity and a network key, at the address of no node.
func intruder(t *testing.T, at *node, who *identity.Identity, in realm) *session {
	t.Helper()
	cfg := at.cfg
	cfg.Identity = who
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.newSession(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if p.host, err = p.newHost(nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func peerIDOf(t *testing.T, name core.PeerID) peer.ID {
	t.Helper()
	id, err := peerOf(name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// isQUIC tells whether an address is one where a datagram with a former key gets no answer.
func isQUIC(a multiaddr.Multiaddr) bool { return !isTCP(a) }

// knock connects to a node and asks for a protocol; heard is what came back.
func knock(t *testing.T, p *session, to *node, name string) (heard []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	host := to.current.host
	if err := p.host.Connect(ctx, peer.AddrInfo{ID: host.ID(), Addrs: slices.DeleteFunc(host.Addrs(), isQUIC)}); err != nil {
		return nil
	}
	s, err := p.host.NewStream(ctx, host.ID(), protocol.ID(name))
	if err != nil {
		return nil
	}
	defer s.Reset()
	s.SetDeadline(time.Now().Add(3 * time.Second))
	s.Write([]byte("give"))
	heard = make([]byte, 1000)
	n, _ := s.Read(heard)
	return heard[:n]
}

// Who was put out kept its key, its admission and its old codes, and has a friend outside. Nothing of that helps.
func TestWhoIsPutOutHearsNothing(t *testing.T) {
	t.Parallel()
	a, b, c := newNode(t, "a", fixedPort(t)), newNode(t, "b"), newNode(t, "c")
	invited(t, a, b)
	invited(t, a, c)
	eventually(t, "both know c", 10*time.Second, func() bool { return len(a.Members()) == 3 && len(b.Members()) == 3 })
	before, chain, bad := a.current.realm, c.current.members.chain(c.Self()), c.cfg.Identity
	c.stop()
	if err := a.PutOut(t.Context(), c.Self()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the change is known", 10*time.Second, func() bool { return knows(a, 1)() && knows(b, 1)() })
	for _, n := range []*node{a, b} {
		n.Handle("/shoal/shard/1", func(s core.Stream) { s.Write([]byte("a byte of a model")); s.Close() })
	}
	row := a.current.changes.row
	if _, ok := row[0].Key(bad); ok {
		t.Error("the new key is sealed to who was put out")
	}
	var knocks sync.WaitGroup
	for _, n := range []*node{a, b} {
		p := intruder(t, n, bad, before)
		for _, name := range []string{"/shoal/shard/1", memberProtocol, joinProtocol, handoverProtocol, "/meshsub/1.1.0"} {
			knocks.Go(func() {
				if heard := knock(t, p, n, name); len(heard) > 0 {
					t.Errorf("%s tells who was put out %d bytes", name, len(heard))
				}
			})
		}
	}
	knocks.Wait()
	if g := a.current.guard; g.InterceptSecured(network.DirInbound, peerIDOf(t, c.Self()), nil) {
		t.Error("the connection of who was put out is accepted")
	}
	friend := newIdentity(t)
	vouched, err := record.Admit(bad, before.name(), friend.name, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	p := intruder(t, a, friend.key, before)
	var mu sync.Mutex
	told, asked := []record.Handover(nil), make(chan struct{}, 8)
	p.host.SetStreamHandler(handoverProtocol, func(s network.Stream) {
		defer s.Reset()
		line := stream{s, a.Self()}
		wire.NewWriter(line, talkFor).Send(frameHandover, &record.Handover{Chain: append([]*record.Signed{vouched.Record}, chain...)})
		in := wire.NewReader(line, talkFor, 1)
		for {
			var m record.Handover
			if err := receive(in, frameHandover, &m); err != nil {
				break
			}
			mu.Lock()
			told = append(told, record.Handover{Key: m.Key, Change: m.Change})
			mu.Unlock()
		}
		asked <- struct{}{}
	})
	for _, name := range []string{"/shoal/shard/1", memberProtocol, joinProtocol} {
		knocks.Go(func() {
			if heard := knock(t, p, a, name); len(heard) > 0 {
				t.Errorf("%s tells the friend of who was put out %d bytes", name, len(heard))
			}
		})
	}
	knocks.Wait()
	select {
	case <-asked:
	case <-time.After(2 * talkFor):
		t.Error("the friend is not even asked who it is")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) > 0 {
		t.Errorf("the friend of who was put out hears of %d changes", len(told))
	}
}

// agree waits until nodes follow the same row of so many changes, with its key.
func agree(t *testing.T, changes uint64, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		eventually(t, "the changes are known", 10*time.Second, knows(n, changes))
	}
	first := nodes[0].current
	for _, n := range nodes[1:] {
		if s := n.current; !bytes.Equal(s.changes.head(), first.changes.head()) || s.key != first.key {
			t.Error("two nodes follow different rows")
		}
	}
}

// The founder and whom it named each put somebody out, neither knowing of the other's change. Both changes hold.
func TestTwoChangesAtOnceBothHold(t *testing.T) {
	t.Parallel()
	founder, delegate := newNode(t, "founder", fixedPort(t)), newNode(t, "delegate")
	x, y, z := newNode(t, "x"), newNode(t, "y"), newNode(t, "z")
	all := []*node{founder, delegate, x, y, z}
	for _, n := range all[1:] {
		invited(t, founder, n)
	}
	for _, n := range all {
		eventually(t, "all know each other", 10*time.Second, func() bool { return len(n.Members()) == len(all) })
	}
	if err := founder.Delegate(t.Context(), delegate.Self()); err != nil {
		t.Fatal(err)
	}
	agree(t, 1, all...)
	var both sync.WaitGroup
	founder.current.changing.Lock() // what the delegate tells comes too late
	delegate.current.changing.Lock()
	for _, c := range []struct{ by, whom *node }{{founder, x}, {delegate, y}} {
		both.Go(func() {
			if err := c.by.current.change(c.whom.Self(), core.PeerID{}); err != nil {
				t.Error(err)
			}
			c.by.current.changing.Unlock()
		})
	}
	both.Wait()
	agree(t, 3, founder, delegate, z)
	for _, n := range []*node{founder, delegate, z} {
		if len(n.Members()) != 3 {
			t.Errorf("%d members after two were put out", len(n.Members()))
		}
	}
}

// Without its founder a swarm goes on, and whom it named can still put members out.
func TestTheFounderLeaves(t *testing.T) {
	t.Parallel()
	founder, delegate, x, z := newNode(t, "founder"), newNode(t, "delegate", fixedPort(t)), newNode(t, "x"), newNode(t, "z")
	invited(t, founder, delegate)
	if err := founder.Delegate(t.Context(), delegate.Self()); err != nil {
		t.Fatal(err)
	}
	invited(t, delegate, x)
	invited(t, delegate, z)
	agree(t, 1, founder, delegate, x, z)
	if err := founder.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := delegate.PutOut(t.Context(), founder.Self()); core.CodeOf(err) != core.CodeForbidden {
		t.Errorf("the founder is put out: %v", err)
	}
	if err := delegate.PutOut(t.Context(), x.Self()); err != nil {
		t.Fatal(err)
	}
	agree(t, 2, delegate, z)
	delegate.Handle("/shoal/test/1", echo)
	if err := call(t, z, delegate.Self()); err != nil {
		t.Errorf("those who remain: %v", err)
	}
	invited(t, z, newNode(t, "newcomer"))
	if _, err := founder.session(); err == nil {
		t.Error("the founder is still in its swarm")
	}
}
