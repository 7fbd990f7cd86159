// Package swarmtest is a swarm inside one process, for tests of what runs over one: several named peers with streams
// between them, whose links can be slow or cut and who can vanish. It works in a bubble of testing/synctest.
package swarmtest

import (
	"context"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Network is the wires between the peers. The zero value is none; use New.
type Network struct {
	mu      sync.Mutex // guards all below
	peers   map[core.PeerID]*Peer
	delay   map[pair]time.Duration
	cut     map[pair]bool
	all     time.Duration
	streams map[*line]pair
	changed chan struct{} // closed when a link is cut or healed
}

// pair is a link in one direction.
type pair struct{ from, to core.PeerID }

// New makes a network without peers and without delay.
func New() *Network {
	return &Network{
		peers: map[core.PeerID]*Peer{}, delay: map[pair]time.Duration{}, cut: map[pair]bool{},
		streams: map[*line]pair{}, changed: make(chan struct{}),
	}
}

// ID is the identity of a peer with a name of letters and digits; it panics for another.
func ID(name string) core.PeerID {
	id, err := core.ParsePeerID(name)
	if err != nil {
		panic(err)
	}
	return id
}

// Peer is one node's side of the network: a core.Network.
type Peer struct {
	net  *Network
	self core.PeerID

	mu       sync.Mutex // guards the rest
	handlers map[string]func(core.Stream)
	dead     bool
	count    int // streams taken since the start
}

// Join adds a peer, or brings one back that was killed.
func (n *Network) Join(name string) *Peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := &Peer{net: n, self: ID(name), handlers: map[string]func(core.Stream){}}
	n.peers[p.self] = p
	return p
}

// SetDelay makes every link take that long in each direction.
func (n *Network) SetDelay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = d
}

// SetLinkDelay makes one link, in both directions, take that long.
func (n *Network) SetLinkDelay(a, b string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay[pair{ID(a), ID(b)}], n.delay[pair{ID(b), ID(a)}] = d, d
}

// Cut holds back everything between two peers, in silence, until Heal.
func (n *Network) Cut(a, b string) {
	n.setCut(true, func(p pair) bool { return p.between(ID(a), ID(b)) }, pair{ID(a), ID(b)})
}

// Heal lets flow again what Cut held back.
func (n *Network) Heal(a, b string) {
	n.setCut(false, func(p pair) bool { return p.between(ID(a), ID(b)) }, pair{ID(a), ID(b)})
}

// Stall holds back everything from and to a peer, in silence, as if it were suspended.
func (n *Network) Stall(name string) {
	id := ID(name)
	n.mu.Lock()
	var links []pair
	for other := range n.peers {
		links = append(links, pair{id, other})
	}
	n.mu.Unlock()
	n.setCut(true, func(p pair) bool { return p.from == id || p.to == id }, links...)
}

func (p pair) between(a, b core.PeerID) bool { return p == pair{a, b} || p == pair{b, a} }

func (n *Network) setCut(cut bool, match func(pair) bool, links ...pair) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range links {
		n.cut[p], n.cut[pair{p.to, p.from}] = cut, cut
	}
	for l, p := range n.streams {
		if match(p) {
			l.hold(cut)
		}
	}
	close(n.changed)
	n.changed = make(chan struct{})
}

// Kill takes a peer away: its streams break at once and it cannot be reached.
func (n *Network) Kill(name string) {
	id := ID(name)
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[id]; p != nil {
		p.mu.Lock()
		p.dead = true
		p.mu.Unlock()
	}
	delete(n.peers, id)
	for l, p := range n.streams { // the dead do not comment on their end, not even while some streams are whole
		if p.from == id {
			l.hold(true)
		}
	}
	for l, p := range n.streams {
		if p.from == id || p.to == id {
			l.reset()
		}
	}
}

// Self implements core.Network.
func (p *Peer) Self() core.PeerID { return p.self }

// Handle implements core.Network.
func (p *Peer) Handle(protocol string, handler func(core.Stream)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handlers[protocol] = handler
}

// Handles tells whether the peer takes streams of a protocol.
func (p *Peer) Handles(protocol string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handlers[protocol] != nil
}

// Streams is how many streams the peer has taken from others so far.
func (p *Peer) Streams() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// Open implements core.Network. It takes the time of a round trip.
func (p *Peer) Open(ctx context.Context, to core.PeerID, protocol string) (core.Stream, error) {
	there, back := pair{p.self, to}, pair{to, p.self}
	target, err := p.net.reach(ctx, p, there)
	if err != nil {
		return nil, err
	}
	handler := target.take(protocol)
	if handler == nil {
		return nil, core.Errorf(core.CodeUnsupported, "peer %s does not speak %s", to, protocol)
	}
	out, in := newLine(), newLine()
	near := &stream{net: p.net, peer: to, in: in, out: out}
	far := &stream{net: p.net, peer: p.self, in: out, out: in}
	p.net.mu.Lock()
	p.net.streams[out], p.net.streams[in] = there, back
	out.delay, in.delay = p.net.delayOf(there), p.net.delayOf(back)
	p.net.mu.Unlock()
	go handler(far)
	return near, nil
}

// take counts a stream of a peer and returns who handles it; nil where nobody does.
func (p *Peer) take(protocol string) func(core.Stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.handlers[protocol] != nil {
		p.count++
	}
	return p.handlers[protocol]
}

// reach waits until a link can be used, and for as long as a round trip takes.
func (n *Network) reach(ctx context.Context, from *Peer, link pair) (*Peer, error) {
	for {
		n.mu.Lock()
		target, changed := n.peers[link.to], n.changed
		cut := n.cut[link]
		wait := n.delayOf(link) + n.delayOf(pair{link.to, link.from})
		n.mu.Unlock()
		from.mu.Lock()
		dead := from.dead
		from.mu.Unlock()
		if target == nil || dead {
			return nil, core.Errorf(core.CodeNotReady, "peer %s cannot be reached", link.to)
		}
		if !cut {
			return target, pause(ctx, wait)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, core.Errorf(core.CodeNotReady, "peer %s does not answer: %w", link.to, ctx.Err())
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return core.Errorf(core.CodeNotReady, "open stream: %w", ctx.Err())
	}
}

func (n *Network) delayOf(p pair) time.Duration {
	if d, ok := n.delay[p]; ok {
		return d
	}
	return n.all
}

// forget drops a line that has ended.
func (n *Network) forget(l *line) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.streams, l)
}

var _ core.Network = (*Peer)(nil)
