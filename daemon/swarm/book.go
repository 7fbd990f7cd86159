package swarm

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/store"
)

// What a peer does changes how far this node trusts it. Trust is first-hand and never told to others.
const (
	trustAtFirst   = 0.5
	trustTooLow    = 0.2 // below it a peer is refused
	refusedFor     = time.Hour
	maxAddresses   = 16 // kept of one peer
	forgottenAfter = 30 * 24 * time.Hour
)

// weight is how much one act of a peer changes its trust.
func weight(act core.Conduct) float64 {
	switch act {
	case core.ConductGood:
		return +0.01
	case core.ConductCorrupt:
		return -0.20
	default:
		return -0.10
	}
}

// entry is what is known of one peer: what is kept, and what is only true now.
type entry struct {
	store.Peer
	rtt        time.Duration // round trip; 0 until it is measured
	heard      time.Time     // when it last answered; at first, when this node began to listen
	lan        bool          // its connection stays on the local network
	near       []string      // where multicast DNS says it is: hearsay, so it is neither kept nor told
	connection string        // "direct", "relayed" or "none"
	tries      int           // dials that failed since the last connection
	failed     time.Time     // when the last of them ended
	next       time.Time     // when it is dialled again
	calling    bool          // it is being dialled
	lost       time.Time     // when it was last seen to be gone
	dirty      bool          // differs from the store
}

// book is the list of known peers, at most maxMembers: members and anchors. Of strangers, whom anybody can make up in
// any number, it remembers a few for a few minutes; they are not stored.
type book struct {
	now   func() time.Time
	log   *slog.Logger
	save  func(context.Context, store.Peer) error
	known func(core.PeerID) bool // a member or an anchor; nil for a book that takes everybody

	mu        sync.Mutex
	peers     map[core.PeerID]*entry
	strangers map[core.PeerID]*entry
	gone      []core.PeerID // whose rows are to be deleted
}

// What is remembered of strangers.
const (
	maxStrangers   = 64
	strangerFor    = 5 * time.Minute
	maxNear        = 8 // addresses that multicast DNS told of one peer
	nearAgainAfter = 5 * time.Second
)

func newBook(list []store.Peer, save func(context.Context, store.Peer) error, now func() time.Time, log *slog.Logger) *book {
	b := &book{now: now, log: log, save: save, peers: map[core.PeerID]*entry{}, strangers: map[core.PeerID]*entry{}}
	for _, p := range list {
		if len(b.peers) < maxMembers && now().Sub(p.LastSeen) < forgottenAfter {
			b.peers[p.ID] = &entry{Peer: p, connection: connectionNone, heard: now()}
		} else {
			b.gone = append(b.gone, p.ID)
		}
	}
	return b
}

// tidy forgets the peers that are neither members nor anchors, for example those that an older version has stored.
func (b *book) tidy() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, e := range b.peers {
		if !e.Anchor && b.known != nil && !b.known(id) {
			delete(b.peers, id)
			b.gone = append(b.gone, id)
		}
	}
}

// The ways to be connected to a peer.
const (
	connectionNone    = admin.ConnectionNone
	connectionDirect  = admin.ConnectionDirect
	connectionRelayed = admin.ConnectionRelayed
)

// update changes what is known of a peer. A stranger is remembered apart; once it is a member it moves over.
func (b *book) update(id core.PeerID, change func(*entry)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.peers[id]
	if ok {
		change(e)
		e.dirty = true
		return
	}
	if e = b.strangers[id]; e == nil {
		e = &entry{Peer: store.Peer{ID: id, Trust: trustAtFirst, LastSeen: b.now()}, connection: connectionNone, heard: b.now()}
	}
	change(e)
	e.dirty = true
	if b.known != nil && !b.known(id) {
		b.remember(e)
		return
	}
	delete(b.strangers, id)
	b.peers[id] = e
	if len(b.peers) > maxMembers {
		b.drop(oldest(b.peers, id, func(e *entry) bool { return e.connection == connectionNone && !b.refused(e) }))
	}
}

// remember keeps a stranger for a while. A refused one is not forgotten for one that is not.
func (b *book) remember(e *entry) {
	for id, s := range b.strangers {
		if b.now().Sub(s.LastSeen) > strangerFor && !b.refused(s) {
			delete(b.strangers, id)
		}
	}
	b.strangers[e.ID] = e
	if len(b.strangers) <= maxStrangers {
		return
	}
	out := oldest(b.strangers, e.ID, func(s *entry) bool { return !b.refused(s) })
	if out == nil {
		out = e
	}
	delete(b.strangers, out.ID)
}

func (b *book) refused(e *entry) bool { return b.now().Before(e.RefusedUntil) }

// drop forgets a peer, and its row too.
func (b *book) drop(e *entry) {
	if e != nil {
		delete(b.peers, e.ID)
		b.gone = append(b.gone, e.ID)
	}
}

// forget drops what is known of a peer that belongs no more.
func (b *book) forget(id core.PeerID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(b.peers[id])
	delete(b.strangers, id)
}

// oldest is the entry that was not seen for longest among those that may go, except one; nil when there is none.
func oldest(list map[core.PeerID]*entry, except core.PeerID, mayGo func(*entry) bool) (found *entry) {
	for _, e := range list {
		if e.ID != except && mayGo(e) && (found == nil || e.LastSeen.Before(found.LastSeen)) {
			found = e
		}
	}
	return found
}

// near notes where multicast DNS says a peer is. Anybody on the local network can say so, hence what is known of the
// peer otherwise stays as it is.
func (b *book) near(id core.PeerID, addresses []string) {
	b.update(id, func(e *entry) {
		e.near = addresses[:min(len(addresses), maxNear)]
		if b.now().Sub(e.failed) > nearAgainAfter {
			e.next = time.Time{}
		}
	})
}

// nearStrangers returns copies of the strangers that multicast DNS tells of, the last ones first, and how many of
// them are being dialled.
func (b *book) nearStrangers() (list []entry, calling int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.strangers {
		switch {
		case e.calling:
			calling++
		case len(e.near) > 0 && !b.refused(e) && b.now().Sub(e.LastSeen) < strangerFor && !b.now().Before(e.next):
			list = append(list, *e)
		}
	}
	slices.SortFunc(list, func(x, y entry) int { return y.LastSeen.Compare(x.LastSeen) })
	return list, calling
}

// at returns what is known of a peer or stranger, or nil.
func (b *book) at(id core.PeerID) *entry {
	if e, ok := b.peers[id]; ok {
		return e
	}
	return b.strangers[id]
}

// get returns a copy of what is known of a peer.
func (b *book) get(id core.PeerID) (entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.at(id)
	if e == nil {
		return entry{}, false
	}
	return *e, true
}

// all returns copies of the entries, in no order.
func (b *book) all() []entry { return b.some(func(*entry) bool { return true }) }

// some returns copies of the entries that are wanted, in no order.
func (b *book) some(wanted func(*entry) bool) (out []entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for e := range maps.Values(b.peers) {
		if wanted(e) {
			out = append(out, *e)
		}
	}
	return out
}

// met notes addresses at which a peer was reached or says it can be reached.
func (b *book) met(id core.PeerID, addresses []string) {
	b.update(id, func(e *entry) {
		merged := slices.Concat(addresses, e.Addresses)
		seen := map[string]bool{}
		merged = slices.DeleteFunc(merged, func(a string) bool {
			known := seen[a]
			seen[a] = true
			return known
		})
		e.Addresses = merged[:min(len(merged), maxAddresses)]
	})
}

// judge changes the trust of a peer; refused is true when it has just sunk too low.
func (b *book) judge(id core.PeerID, act core.Conduct) (refused bool) {
	b.update(id, func(e *entry) {
		e.Trust = max(0, min(1, e.Trust+weight(act)))
		if e.Trust < trustTooLow && !b.now().Before(e.RefusedUntil) {
			e.RefusedUntil = b.now().Add(refusedFor)
			refused = true
		}
	})
	return refused
}

// refuses tells whether a peer is not welcome now. When its hour is over it starts again just above the bar.
func (b *book) refuses(id core.PeerID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.at(id)
	switch {
	case e == nil || e.RefusedUntil.IsZero():
		return false
	case b.now().Before(e.RefusedUntil):
		return true
	}
	e.RefusedUntil, e.Trust, e.dirty = time.Time{}, trustTooLow, true
	return false
}

// flush keeps what changed since the last time. It leaves the rows of those that are gone to erase.
func (b *book) flush(ctx context.Context, erase func(context.Context, core.PeerID) error) {
	b.mu.Lock()
	gone := b.gone
	b.gone = nil
	var dirty []store.Peer
	for _, e := range b.peers {
		if e.dirty {
			e.dirty = false
			p := e.Peer
			p.Addresses = slices.Clone(p.Addresses)
			dirty = append(dirty, p)
		}
	}
	b.mu.Unlock()
	for _, id := range gone {
		if err := erase(ctx, id); err != nil {
			b.log.Warn("forget a peer", "peer", id, "err", err)
			return
		}
	}
	for _, p := range dirty {
		if err := b.save(ctx, p); err != nil {
			b.log.Warn("keep a peer", "peer", p.ID, "err", err)
			return
		}
	}
}
