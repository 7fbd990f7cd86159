package swarm

import (
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// What is told about nodes is forgotten after a while; a clock may run ahead by a little; nobody may tell too often.
const (
	noticeLifetime = 5 * time.Minute
	noticeAhead    = 30 * time.Second
	noticeRate     = rate.Limit(1) // a second
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

	mu     sync.Mutex
	latest map[core.PeerID]notice
}

type notice struct {
	core.Announcement
	came  time.Time
	often *rate.Limiter
}

func newNotices(net record.Network, now func() time.Time) *notices {
	return &notices{net: net, now: now, latest: map[core.PeerID]notice{}}
}

// take checks an announcement and keeps it if it is newer than the last one of that peer.
func (n *notices) take(s *record.Signed, belongs func(core.PeerID) bool) (core.PeerID, verdict) {
	a, err := record.OpenAnnouncement(n.net, s)
	if err != nil {
		return core.PeerID{}, isBad
	}
	now := n.now()
	if !belongs(a.Peer) || a.Time.After(now.Add(noticeAhead)) || a.Time.Before(now.Add(-noticeLifetime)) {
		return a.Peer, isOld
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	last, ok := n.latest[a.Peer]
	switch {
	case !ok && len(n.latest) >= maxMembers, ok && a.Sequence <= last.Sequence:
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

// all returns the announcements that are not too old, in the order of the peers' names.
func (n *notices) all() []core.Announcement {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forgetOld()
	out := make([]core.Announcement, 0, len(n.latest))
	for _, a := range n.latest {
		out = append(out, a.Announcement)
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
		count(a.Demand)
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

func (n *notices) forgetOld() {
	for id, a := range n.latest {
		if n.old(a) {
			delete(n.latest, id)
		}
	}
}
