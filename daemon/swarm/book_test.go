package swarm

import (
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// flood is more strangers than a swarm may have members.
const flood = 1500

// crowded is a node whose one member a was refused, and whose session hears of strangers.
func crowded(t *testing.T, strangers func(*session)) (*session, core.PeerID, core.PeerID) {
	t.Helper()
	n := newNode(t, "n")
	newCode(t, n)
	n.stop() // nothing dials in the meantime
	n = startNode(t, n.dir, "n")
	s, err := n.found(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bad, good := newIdentity(t), newIdentity(t)
	for _, who := range []self{bad, good} {
		a, err := record.Admit(n.cfg.Identity, s.net, who.name, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.members.add([]*record.Signed{a.Record}); err != nil {
			t.Fatal(err)
		}
	}
	s.book.met(bad.name, []string{"/ip4/127.0.0.1/tcp/2"})
	for range 4 {
		s.book.judge(bad.name, core.ConductMalformed)
	}
	strangers(s)
	return s, bad.name, good.name
}

// checkCrowded looks that strangers have cost the node nothing of what it knows.
func checkCrowded(t *testing.T, s *session, bad, good core.PeerID) {
	t.Helper()
	if e, ok := s.book.get(bad); !ok || !s.book.refuses(bad) || len(e.Addresses) != 1 {
		t.Errorf("a refused member is forgotten for strangers: %v %+v", ok, e)
	}
	if _, ok := s.book.get(good); !ok {
		t.Error("a member is forgotten for strangers")
	}
	if n := len(s.book.strangers); n > maxStrangers {
		t.Errorf("%d strangers are remembered, at most %d may be", n, maxStrangers)
	}
	s.book.flush(t.Context(), s.cfg.Store.DeletePeer)
	rows, err := s.cfg.Store.Peers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if !s.members.belongs(row.ID) {
			t.Fatalf("a stranger is stored, %d rows in all", len(rows))
		}
	}
}

// Anybody on the local network can answer multicast DNS.
func TestAnswersOfStrangersCostNothing(t *testing.T) {
	s, bad, good := crowded(t, func(s *session) {
		for range flood {
			id, err := peer.Decode(newName(t).String())
			if err != nil {
				t.Fatal(err)
			}
			found{s}.HandlePeerFound(peer.AddrInfo{ID: id, Addrs: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/1")}})
		}
	})
	checkCrowded(t, s, bad, good)
	s.book.update(good, func(e *entry) { e.calling, e.next = false, time.Time{} })
	list, strangers := s.due(), 0
	for i, e := range list {
		if !s.members.belongs(e.ID) {
			strangers++
		} else if i > 0 && strangers > 0 {
			t.Error("a stranger is dialled before a member")
		}
	}
	if strangers > strangersAtOnce {
		t.Errorf("%d dials to strangers are due", strangers)
	}
}

func TestWrongInvitesOfStrangersCostNothing(t *testing.T) {
	s, bad, good := crowded(t, func(s *session) {
		for range flood {
			s.judge(newName(t), core.ConductMalformed)
		}
	})
	checkCrowded(t, s, bad, good)
}

// A forged answer about a member does not replace where it was reached.
func TestAnswersAboutAMemberAreHearsay(t *testing.T) {
	b := newBook(nil, nil, time.Now, nil)
	who := newName(t)
	b.met(who, []string{"/ip4/10.0.0.1/tcp/1"})
	for range 100 {
		b.near(who, []string{"/ip4/10.6.6.6/tcp/1"})
	}
	if e, _ := b.get(who); len(e.Addresses) != 1 || e.Addresses[0] != "/ip4/10.0.0.1/tcp/1" || e.lan {
		t.Errorf("multicast DNS changed what is kept of a member: %+v", e)
	}
}

func TestRefusedStrangersAreKeptBeforeOthers(t *testing.T) {
	b := newBook(nil, nil, time.Now, nil)
	b.known = func(core.PeerID) bool { return false }
	bad := newName(t)
	for range 4 {
		b.judge(bad, core.ConductMalformed)
	}
	for range flood {
		b.near(newName(t), nil)
	}
	if !b.refuses(bad) {
		t.Error("a refused stranger may come back after others were heard of")
	}
}

// Rows that an older version stored of strangers go.
func TestRowsOfStrangersAreDeleted(t *testing.T) {
	n := newNode(t, "n")
	newCode(t, n)
	old := newBook(nil, n.store.SavePeer, time.Now, nil)
	for range 10 {
		old.met(newName(t), nil)
	}
	old.flush(t.Context(), n.store.DeletePeer)
	n.stop()
	n = startNode(t, n.dir, "n")
	if _, err := n.found(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rows are gone", 5*time.Second, func() bool {
		rows, err := n.store.Peers(t.Context())
		return err == nil && len(rows) == 0
	})
}

// newName is the name of somebody new.
func newName(t *testing.T) core.PeerID {
	t.Helper()
	key, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := record.PeerOf(key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Only the founder says who is an anchor.
func TestNobodysOwnWordMakesAnAnchor(t *testing.T) {
	s, bad, good := crowded(t, func(*session) {})
	at := "/ip4/127.0.0.1/tcp/3/p2p/" + good.String()
	for _, c := range []struct {
		who  core.PeerID
		want bool
	}{{bad, false}, {s.realm.founder, true}} {
		s.confirmAnchors(core.Announcement{Peer: c.who, Anchor: true, Anchors: []string{at, "nonsense"}})
		for _, id := range []core.PeerID{good} {
			if e, _ := s.book.get(id); e.Anchor != c.want {
				t.Errorf("%s is an anchor: %v, by the word of %s (founder %s)", id, e.Anchor, c.who, s.realm.founder)
			}
		}
		if e, _ := s.book.get(bad); e.Anchor {
			t.Error("a member is an anchor by its own word")
		}
	}
}
