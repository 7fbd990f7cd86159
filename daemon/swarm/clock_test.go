package swarm

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// What a PC tells whose clock is wrong is heard for as long as it is told, directly and through others.
func TestPeersWithWrongClocksAreHeard(t *testing.T) {
	for _, ahead := range []time.Duration{31 * time.Second, -6 * time.Minute, time.Hour, -time.Hour} {
		for _, direct := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				who, net := newIdentity(t), record.Network{1}
				n := newNotices(net, time.Now)
				from := who.name
				if !direct {
					from = newName(t)
				}
				n.compare(who.name, ahead)
				for i := range uint64(20) {
					s, err := record.Announce(who.key, net, core.Announcement{Sequence: i + 1, Time: time.Now().Add(ahead)})
					if err != nil {
						t.Fatal(err)
					}
					if _, v := n.take(from, s, func(core.PeerID) bool { return true }); v != isNew || len(n.all()) != 1 {
						t.Fatalf("%s ahead, direct %v, announcement %d: verdict %d, %d heard of", ahead, direct, i, v, len(n.all()))
					}
					time.Sleep(time.Minute)
				}
				time.Sleep(noticeLifetime)
				if len(n.all()) != 0 {
					t.Errorf("%s ahead: a silent peer is not forgotten", ahead)
				}
			})
		}
	}
}

// An announcement that was heard before is not passed on as new when its author has been silent for long.
func TestOldAnnouncementsAreNotToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		who, other, net := newIdentity(t), newName(t), record.Network{1}
		n := newNotices(net, time.Now)
		var kept []*record.Signed
		for i := range uint64(3) {
			s, err := record.Announce(who.key, net, core.Announcement{Sequence: i + 1, Time: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, s)
		}
		everybody := func(core.PeerID) bool { return true }
		n.compare(who.name, 0)
		n.take(who.name, kept[1], everybody)
		time.Sleep(time.Hour)
		for i, s := range kept {
			if _, v := n.take(other, s, everybody); v != isOld {
				t.Errorf("announcement %d of an hour ago is taken: %d", i, v)
			}
		}
		// Its clock was put back by an hour: what it says itself is heard.
		s, err := record.Announce(who.key, net, core.Announcement{Sequence: 1, Time: time.Now().Add(-time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if _, v := n.take(who.name, s, everybody); v != isNew || len(n.all()) != 1 {
			t.Errorf("a peer whose clock was put back: %d", v)
		}
	})
}

func TestADifferentClockIsTold(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	invited(t, a, b)
	eventually(t, "connected", 5*time.Second, func() bool { return connected(a, b, connectionDirect) })
	s := a.current
	for _, c := range []struct {
		millis int64
		want   float64
	}{
		{time.Now().Add(time.Hour).UnixMilli(), 3600},
		{-1, 3600},
		{1 << 62, 3600},
		{time.Now().UnixMilli(), 0},
	} {
		s.compareClocks(b.Self(), c.millis)
		if got := a.Peers()[0].ClockOffsetS; got < c.want-5 || got > c.want+5 {
			t.Errorf("the clock of b says %d: %g s ahead, want %g", c.millis, got, c.want)
		}
	}
}
