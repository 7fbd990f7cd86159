package swarm

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// grace is how long a peer may be connected before it must have shown its admission.
const grace = 10 * time.Second

// expelledFor is how long a peer that showed none is kept out.
const expelledFor = time.Minute

// guard decides who may connect and whose streams are served.
type guard struct {
	ctx     context.Context // ends with the session
	members *membership
	book    *book
	now     func() time.Time
	former  func(network.Conn) bool // made with a former network key; nil is none

	mu       sync.Mutex
	expelled map[peer.ID]time.Time // until when
}

// maxExpelled bounds the list of the expelled; beyond it one of them may come back early.
const maxExpelled = 1000

func newGuard(ctx context.Context, m *membership, b *book, now func() time.Time) *guard {
	return &guard{ctx: ctx, members: m, book: b, now: now, expelled: map[peer.ID]time.Time{}}
}

// serves tells whether a peer's streams are served, and waits a moment for a new peer to show its admission.
func (g *guard) serves(id peer.ID) bool {
	name, err := nameOf(id)
	if err != nil || g.book.refuses(name) {
		return false
	}
	ctx, cancel := context.WithTimeout(g.ctx, grace)
	defer cancel()
	return g.members.await(ctx, name)
}

// wrap lets handler see the streams of members only.
func (g *guard) wrap(handler network.StreamHandler) network.StreamHandler {
	return func(s network.Stream) {
		if g.former != nil && g.former(s.Conn()) || !g.serves(s.Conn().RemotePeer()) {
			s.Reset()
			return
		}
		handler(s)
	}
}

// expel keeps a peer that is no member out for a while.
func (g *guard) expel(id peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for p, until := range g.expelled {
		if !now.Before(until) || len(g.expelled) >= maxExpelled {
			delete(g.expelled, p)
		}
	}
	g.expelled[id] = now.Add(expelledFor)
}

func (g *guard) welcome(id peer.ID) bool {
	name, err := nameOf(id)
	if err != nil || g.book.refuses(name) {
		return false
	}
	if g.members.wasPutOut(name) {
		return false
	}
	if g.members.belongs(name) {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.now().Before(g.expelled[id])
}

// InterceptPeerDial implements connmgr.ConnectionGater.
func (g *guard) InterceptPeerDial(id peer.ID) bool { return g.welcome(id) }

// InterceptAddrDial implements connmgr.ConnectionGater.
func (g *guard) InterceptAddrDial(peer.ID, multiaddr.Multiaddr) bool { return true }

// InterceptAccept implements connmgr.ConnectionGater; the resource manager bounds what one address may do.
func (g *guard) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured implements connmgr.ConnectionGater.
func (g *guard) InterceptSecured(_ network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	return g.welcome(id)
}

// InterceptUpgraded implements connmgr.ConnectionGater.
func (g *guard) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

// AllowReserve implements the relay's filter: only members get a place.
func (g *guard) AllowReserve(id peer.ID, _ multiaddr.Multiaddr) bool { return g.belongs(id) }

// AllowConnect implements the relay's filter: whoever has the network key may call a member, for a newcomer shows its
// invite that way.
func (g *guard) AllowConnect(_ peer.ID, _ multiaddr.Multiaddr, to peer.ID) bool { return g.belongs(to) }

func (g *guard) belongs(id peer.ID) bool {
	name, err := nameOf(id)
	return err == nil && g.members.belongs(name)
}

// guardedHost is a host whose handlers see the streams of members only. Kademlia and gossipsub get it.
type guardedHost struct {
	host.Host
	guard *guard
}

// SetStreamHandler implements host.Host.
func (h guardedHost) SetStreamHandler(id protocol.ID, handler network.StreamHandler) {
	h.Host.SetStreamHandler(id, h.guard.wrap(handler))
}

// SetStreamHandlerMatch implements host.Host.
func (h guardedHost) SetStreamHandlerMatch(id protocol.ID, match func(protocol.ID) bool, handler network.StreamHandler) {
	h.Host.SetStreamHandlerMatch(id, match, h.guard.wrap(handler))
}

// nameOf is the name of a libp2p peer in the rest of Shoal.
func nameOf(id peer.ID) (core.PeerID, error) { return core.ParsePeerID(id.String()) }

// peerOf is the libp2p form of a name. The error has code CodeInvalidRequest.
func peerOf(id core.PeerID) (peer.ID, error) {
	p, err := peer.Decode(id.String())
	if err != nil {
		return "", core.Errorf(core.CodeInvalidRequest, "%s is no peer id: %w", id, err)
	}
	return p, nil
}
