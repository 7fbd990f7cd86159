package swarm

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// A peer that cannot be reached is dialled again after 1 s, then after twice as long each time, up to 5 min.
const (
	backoffFirst = time.Second
	backoffMost  = 5 * time.Minute

	// In a swarm of at most small members everybody is connected to everybody. In a larger one a node dials until it has
	// enough peers, hears of the others from them, and calls those when it needs them: a connection costs a handshake,
	// some 200 KiB at each end and pings, and there would be n² of them.
	small       = 25
	enough      = 12
	lonely      = 3 // with fewer peers a node asks Kademlia where others are, else it waits for them to announce it
	dialsAtOnce = 8

	// Strangers that multicast DNS tells of are dialled last, and never fill the slots.
	strangersAtOnce = 2
)

// A node without any connection may have been cut off somewhere that it cannot see, so it dials those that it saw last
// at this pace for an hour, whatever their wait.
const (
	aloneEvery = 4 * time.Second
	alonePeers = 4
	aloneFor   = time.Hour
)

// backoff is the wait after the n-th dial that failed, spread a little so that peers do not dial in step.
func backoff(n int) time.Duration {
	d := min(backoffMost, backoffFirst<<min(n-1, 10))
	return d - time.Duration(rand.Int64N(int64(d/5)))
}

// dialLoop keeps the node connected to the anchors and to enough of the members it knows, and looks for the silent.
func (t *session) dialLoop() {
	var underWay atomic.Int32
	t.every(time.Second, t.redial, func() {
		dialling := int(underWay.Load())
		room := dialsAtOnce - dialling
		peers := len(t.host.Network().Peers())
		wanted := t.wanted() - dialling - peers
		if room <= 0 {
			return
		}
		for _, e := range t.due() {
			if room <= 0 {
				return
			}
			if wanted <= 0 && !e.Anchor && !t.silent(e) || peers >= lonely && len(e.Addresses)+len(e.near) == 0 {
				continue
			}
			room, wanted = room-1, wanted-1
			t.book.update(e.ID, func(e *entry) { e.calling = true })
			underWay.Add(1)
			t.wg.Go(func() {
				t.redialOne(e)
				t.book.update(e.ID, func(e *entry) { e.calling = false })
				if underWay.Add(-1) == dialsAtOnce-1 {
					t.redial.Ring()
				}
			})
		}
	})
}

// wanted is how many peers this node likes to be connected to.
func (t *session) wanted() int {
	if t.members.size() > small {
		return enough
	}
	return small
}

// silent tells whether nothing was heard of a peer for so long that the swarm may have fallen apart. Then it is dialled
// by those too who have enough peers: they may all be on one side.
func (t *session) silent(e entry) bool {
	now := time.Now()
	return now.Sub(e.heard) > healthyFor && now.Sub(t.notices.came(e.ID)) > healthyFor
}

// due are the peers that may be dialled now: the anchors, then the members seen last, then a few strangers.
func (t *session) due() []entry {
	list := t.book.some(func(e *entry) bool {
		return e.ID != t.self && e.connection == connectionNone && !e.calling
	})
	list = slices.DeleteFunc(list, func(e entry) bool {
		return t.book.refuses(e.ID) || !e.Anchor && !t.knows(e.ID)
	})
	set := t.setAnchors()
	for i, e := range list {
		_, ok := set[e.ID]
		list[i].Anchor = e.Anchor || ok
	}
	slices.SortFunc(list, func(a, b entry) int {
		switch {
		case a.Anchor && !b.Anchor:
			return -1
		case b.Anchor && !a.Anchor:
			return 1
		}
		return cmp.Compare(b.LastSeen.Unix(), a.LastSeen.Unix())
	})
	alone, n, now := len(t.host.Network().Peers()) == 0, 0, time.Now()
	list = slices.DeleteFunc(list, func(e entry) bool {
		n++
		if alone && n <= alonePeers && now.Sub(e.LastSeen) < aloneFor && e.next.After(e.failed.Add(aloneEvery)) {
			e.next = e.failed.Add(aloneEvery)
		}
		return now.Before(e.next)
	})
	strangers, calling := t.book.nearStrangers()
	return append(list, strangers[:max(0, min(len(strangers), strangersAtOnce-calling))]...)
}

func (t *session) redialOne(e entry) {
	id, err := peerOf(e.ID)
	if err != nil {
		return
	}
	// A look-up connects this node to many; one at a time is enough.
	asking := len(t.host.Network().Peers()) < lonely && t.asking.CompareAndSwap(false, true)
	_ = t.call(t.ctx, id, e.ID, asking) // the book has the next try
	if asking {
		t.asking.Store(false)
	}
}

// call connects to a peer where it was last or announces to be, or if asking helps where the others know it to be.
func (t *session) call(caller context.Context, id peer.ID, name core.PeerID, asking bool) error {
	ctx, cancel := context.WithTimeout(caller, dialTimeout)
	defer cancel()
	known, _ := t.book.get(name)
	err := t.dial(ctx, peer.AddrInfo{ID: id, Addrs: through(addresses(slices.Concat(known.Addresses, known.near)), t.anchorAddresses())})
	if err != nil && ctx.Err() == nil && asking && t.dht != nil && !t.book.refuses(name) {
		err = t.lookUp(ctx, id)
	}
	if err == nil || caller.Err() != nil {
		return err
	}
	t.book.update(name, func(e *entry) {
		if e.connection == connectionNone {
			e.tries++
			e.failed = time.Now()
			e.lost, e.next = e.failed, e.failed.Add(backoff(e.tries))
		}
	})
	return err
}

// dial connects to a peer at the addresses given and those that libp2p knows. The wait between dials is this
// package's affair, so libp2p's own is cleared.
func (t *session) dial(ctx context.Context, info peer.AddrInfo) error {
	if s, ok := t.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(info.ID)
	}
	info.Addrs = slices.DeleteFunc(slices.Clone(info.Addrs), func(a multiaddr.Multiaddr) bool {
		_, last := multiaddr.SplitLast(a)
		return last != nil && last.Protocol().Code == multiaddr.P_P2P && last.Value() == info.ID.String()
	})
	return t.host.Connect(network.WithAllowLimitedConn(ctx, "shoal"), info)
}

// lookUp asks the others where a peer is now, and dials it there.
func (t *session) lookUp(ctx context.Context, id peer.ID) error {
	info, err := t.dht.FindPeer(ctx, id)
	if err != nil {
		return err
	}
	return t.dial(ctx, info)
}

// hurry dials everybody at once and closes the connections that the change of network has cut.
func (t *session) hurry() {
	t.dialAll()
	t.eachConnected(func(ctx context.Context, id peer.ID, name core.PeerID) {
		t.check(ctx, id, answerAfterChange)
		t.measure(ctx, id, name)
	})
}

// dialAll ends the waits of those that could not be reached.
func (t *session) dialAll() {
	for _, e := range t.book.all() {
		if e.connection == connectionNone {
			t.book.update(e.ID, func(e *entry) { e.tries, e.next = 0, time.Time{} })
		}
	}
	t.redial.Ring()
}
