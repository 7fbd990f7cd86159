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
	lan        bool          // found on the local network
	connection string        // "direct", "relayed" or "none"
	tries      int           // dials that failed since the last connection
	failed     time.Time     // when the last of them ended
	next       time.Time     // when it is dialled again
	calling    bool          // it is being dialled
	lost       time.Time     // when it was last seen to be gone
	dirty      bool          // differs from the store
}

// book is the list of known peers, at most maxMembers.
type book struct {
	now  func() time.Time
	log  *slog.Logger
	save func(context.Context, store.Peer) error

	mu    sync.Mutex
	peers map[core.PeerID]*entry
}

func newBook(list []store.Peer, save func(context.Context, store.Peer) error, now func() time.Time, log *slog.Logger) *book {
	b := &book{now: now, log: log, save: save, peers: map[core.PeerID]*entry{}}
	for _, p := range list {
		if len(b.peers) < maxMembers && now().Sub(p.LastSeen) < forgottenAfter {
			b.peers[p.ID] = &entry{Peer: p, connection: connectionNone, heard: now()}
		}
	}
	return b
}

// The ways to be connected to a peer.
const (
	connectionNone    = admin.ConnectionNone
	connectionDirect  = admin.ConnectionDirect
	connectionRelayed = admin.ConnectionRelayed
)

// update changes what is known of a peer; a new one takes the place of the one that was not seen for longest.
func (b *book) update(id core.PeerID, change func(*entry)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.peers[id]
	if !ok {
		b.makeRoom()
		e = &entry{Peer: store.Peer{ID: id, Trust: trustAtFirst, LastSeen: b.now()}, connection: connectionNone, heard: b.now()}
		b.peers[id] = e
	}
	change(e)
	e.dirty = true
}

// makeRoom forgets the disconnected peer that was not seen for longest when the book is full. A refused peer stays.
func (b *book) makeRoom() {
	if len(b.peers) < maxMembers {
		return
	}
	var oldest *entry
	for _, e := range b.peers {
		if e.connection == connectionNone && (oldest == nil || e.LastSeen.Before(oldest.LastSeen)) {
			oldest = e
		}
	}
	if oldest != nil {
		delete(b.peers, oldest.ID)
	}
}

// get returns a copy of what is known of a peer.
func (b *book) get(id core.PeerID) (entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.peers[id]
	if !ok {
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
	e, ok := b.peers[id]
	switch {
	case !ok || e.RefusedUntil.IsZero():
		return false
	case b.now().Before(e.RefusedUntil):
		return true
	}
	e.RefusedUntil, e.Trust, e.dirty = time.Time{}, trustTooLow, true
	return false
}

// flush keeps what changed since the last time.
func (b *book) flush(ctx context.Context) {
	b.mu.Lock()
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
	for _, p := range dirty {
		if err := b.save(ctx, p); err != nil {
			b.log.Warn("keep a peer", "peer", p.ID, "err", err)
			return
		}
	}
}
