package swarm

import (
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// What is told about nodes is forgotten after a while by this PC's clock, counted from when it came; nobody may tell
// too often.
//
// Clocks differ, by hours where two systems on one PC disagree about the time zone, so the time in an announcement says
// little. It only keeps old ones from being told again as new: those that another peer passes on must fit the sender's
// clock, which shows when it speaks itself, or where it never did, be of about today.
const (
	noticeLifetime = 5 * time.Minute
	noticeSlack    = 24 * time.Hour // of a peer whose clock is not known
	noticeRate     = rate.Limit(1)  // a second
	noticeBurst    = 5
)

// verdict is what became of an announcement that came in.
type verdict int

const (
	isNew verdict = iota
	isOld         // known, outdated or too early after the last one
	isBad         // no honest node sends that
)

// notices holds the latest announcement of each peer.
type notices struct {
	net record.Network
	now func() time.Time

	mu      sync.Mutex
	latest  map[core.PeerID]notice
	offsets map[core.PeerID]time.Duration // how far the clocks of peers are ahead of this one
}

type notice struct {
	core.Announcement
	came  time.Time
	often *rate.Limiter
}

func newNotices(net record.Network, now func() time.Time) *notices {
	return &notices{net: net, now: now, latest: map[core.PeerID]notice{}, offsets: map[core.PeerID]time.Duration{}}
}

// take checks an announcement that came from a peer and keeps it if it is newer than the last one of its author. An
// author whose clock was put back starts to count from lower on: that is believed when it comes from itself.
func (n *notices) take(from core.PeerID, s *record.Signed, belongs func(core.PeerID) bool) (core.PeerID, verdict) {
	a, err := record.OpenAnnouncement(n.net, s)
	if err != nil {
		return core.PeerID{}, isBad
	}
	now := n.now()
	if !belongs(a.Peer) {
		return a.Peer, isOld
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	last, ok := n.latest[a.Peer]
	itself := from == a.Peer
	switch {
	case !ok && len(n.latest) >= maxMembers, ok && a.Sequence == last.Sequence:
		return a.Peer, isOld
	case !itself && (ok && a.Sequence < last.Sequence || !n.timely(a)):
		return a.Peer, isOld
	case !ok:
		last.often = rate.NewLimiter(noticeRate, noticeBurst)
	}
	if !last.often.AllowN(now, 1) {
		return a.Peer, isOld
	}
	n.latest[a.Peer] = notice{a, now, last.often}
	return a.Peer, isNew
}

// timely tells whether the time in an announcement fits its author's clock.
func (n *notices) timely(a core.Announcement) bool {
	off := a.Time.Sub(n.now())
	if known, ok := n.offsets[a.Peer]; ok {
		return (off - known).Abs() <= noticeLifetime
	}
	return off.Abs() <= noticeSlack
}

// compare notes how far a peer's clock is ahead of this one; news is true when that begins or ends to be worth telling.
func (n *notices) compare(id core.PeerID, ahead time.Duration) (news bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before, ok := n.offsets[id]
	if !ok && len(n.offsets) >= maxMembers {
		return false
	}
	n.offsets[id] = ahead
	return (before.Abs() >= admin.ClockWorthTelling) != (ahead.Abs() >= admin.ClockWorthTelling)
}

// offset tells how far a peer's clock is ahead of this one; 0 while that is not known.
func (n *notices) offset(id core.PeerID) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.offsets[id]
}

// forget drops what a peer told that belongs no more.
func (n *notices) forget(id core.PeerID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.latest, id)
	delete(n.offsets, id)
}

// all returns the announcements that are not too old, in the order of the peers' names.
func (n *notices) all() []core.Announcement {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]core.Announcement, 0, len(n.latest))
	for _, a := range n.latest {
		if !n.old(a) {
			out = append(out, a.Announcement)
		}
	}
	slices.SortFunc(out, func(a, b core.Announcement) int { return strings.Compare(a.Peer.String(), b.Peer.String()) })
	return out
}

// of returns the announcement of one peer.
func (n *notices) of(id core.PeerID) (core.Announcement, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a, ok := n.latest[id]
	if !ok || n.old(a) {
		return core.Announcement{}, false
	}
	return a.Announcement, true
}

// asked counts how often each model was asked for, here and at the others.
func (n *notices) asked(here []core.Demand) map[core.ModelID]int {
	out := map[core.ModelID]int{}
	count := func(list []core.Demand) {
		for _, d := range list {
			out[d.Model] += d.Requests
		}
	}
	count(here)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range n.latest {
		if !n.old(a) {
			count(a.Demand)
		}
	}
	return out
}

// came tells when the latest announcement of a peer came in.
func (n *notices) came(id core.PeerID) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.latest[id].came
}

func (n *notices) old(a notice) bool { return n.now().Sub(a.came) > noticeLifetime }
