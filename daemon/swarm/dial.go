package swarm

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
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
	maxConnected = 128 // beyond that nobody is dialled without need
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

// dialLoop keeps the node connected to the members it knows.
func (t *session) dialLoop() {
	t.every(time.Second, t.redial, func() {
		room := min(maxAtOnce, maxConnected-len(t.host.Network().Peers()))
		for _, e := range t.due() {
			if room--; room < 0 {
				return
			}
			t.book.update(e.ID, func(e *entry) { e.next = time.Now().Add(2 * dialTimeout) }) // while it is dialled
			t.wg.Go(func() { t.redialOne(e) })
		}
	})
}

// due are the peers to dial now, those seen last first.
func (t *session) due() []entry {
	list := slices.DeleteFunc(t.book.all(), func(e entry) bool {
		return e.ID == t.self || e.connection != connectionNone || t.book.refuses(e.ID) ||
			!e.Anchor && !e.lan && !t.members.belongs(e.ID)
	})
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(b.LastSeen.Unix(), a.LastSeen.Unix()) })
	alone, n, now := len(t.host.Network().Peers()) == 0, 0, time.Now()
	return slices.DeleteFunc(list, func(e entry) bool {
		n++
		if alone && n <= alonePeers && now.Sub(e.LastSeen) < aloneFor && e.next.After(e.failed.Add(aloneEvery)) {
			e.next = e.failed.Add(aloneEvery)
		}
		return now.Before(e.next)
	})
}

func (t *session) redialOne(e entry) {
	ctx, cancel := context.WithTimeout(t.ctx, dialTimeout)
	defer cancel()
	id, err := peerOf(e.ID)
	if err != nil {
		return
	}
	err = t.dial(ctx, peer.AddrInfo{ID: id, Addrs: through(addresses(e.Addresses), t.anchorAddresses())})
	if err != nil && ctx.Err() == nil {
		err = t.lookUp(ctx, id)
	}
	if err == nil {
		return
	}
	t.book.update(e.ID, func(e *entry) {
		if e.connection == connectionNone {
			e.tries++
			e.failed = time.Now()
			e.next = e.failed.Add(backoff(e.tries))
		}
	})
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
	t.poke(t.redial)
}
