package swarm

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/store"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

func fixedPort(t *testing.T) func(*Config) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return func(c *Config) { c.Listen = l.Addr().String() }
}

func TestPeersAreDialledAgainAfterARestart(t *testing.T) {
	port := fixedPort(t)
	a, b := newNode(t, "a", port), newNode(t, "b")
	invited(t, a, b)
	eventually(t, "connected", 5*time.Second, func() bool { return connected(b, a, connectionDirect) })
	b.Judge(a.Self(), core.ConductGood)
	a.stop()
	eventually(t, "b notices", 5*time.Second, func() bool { return connected(b, a, connectionNone) })
	a = startNode(t, a.dir, "a", port)
	eventually(t, "b finds a again", 10*time.Second, func() bool { return connected(b, a, connectionDirect) && connected(a, b, connectionDirect) })
	b.stop()
	b = startNode(t, b.dir, "b")
	eventually(t, "b is back by itself", 10*time.Second, func() bool { return connected(b, a, connectionDirect) })
	if p := b.Peers()[0]; p.TrustScore != 0.51 || p.Nickname != "a" {
		t.Errorf("b forgot what it knew of a: %+v", p)
	}
}

func TestLeaveAndJoinAnotherSwarm(t *testing.T) {
	a, b, c := newNode(t, "a"), newNode(t, "b"), newNode(t, "c")
	invited(t, a, b)
	code := newCode(t, c)
	if _, err := b.Join(t.Context(), code.Code); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("join a second swarm: %v", err)
	}
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b is in no swarm", 5*time.Second, func() bool { _, err := b.session(); return err != nil })
	if _, err := b.Join(t.Context(), code.Code); err != nil {
		t.Fatal(err)
	}
	if !connected(b, c, connectionDirect) || len(b.Peers()) != 1 {
		t.Errorf("peers of b: %+v", b.Peers())
	}
}

// A swarm may be made while the node looks whether it is in one. Then the node hears of a change that its session
// knows already: were that closed, the first invite would name ports that are no longer open.
func TestOnlyAChangeRestarts(t *testing.T) {
	n := newNode(t, "n")
	newCode(t, n)
	first, err := n.session()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second is taken when what the first did is done
		n.wake <- struct{}{}
	}
	eventually(t, "the node looks", 10*time.Second, func() bool { return len(n.wake) == 0 })
	if now, err := n.session(); now != first {
		t.Errorf("the session was closed without a change (%v)", err)
	}
	n.restart()
	if now, err := n.await(t.Context(), first.realm); err != nil || now == first {
		t.Errorf("after a change the old session is given out (%v)", err)
	}
}

func TestAnnouncementsSpread(t *testing.T) {
	a, b, c := newNode(t, "a"), newNode(t, "b"), newNode(t, "c")
	invited(t, a, b)
	invited(t, a, c)
	model, err := core.ParseModelID("tiny")
	if err != nil {
		t.Fatal(err)
	}
	mine := core.Announcement{
		GPU: "RTX", VRAMMB: 8192, RAMMB: 100, Region: "DE", Engine: "v1", Paused: true,
		Holdings: []core.Holding{{Model: model, Manifest: core.Digest{7}, Shards: core.Bitmap{}.With(3).With(700), Loaded: core.Bitmap{}.With(3)}},
		Speeds:   []core.Speed{{Model: model, LayerTime: time.Millisecond, PrefillRow: time.Microsecond}},
		Demand:   []core.Demand{{Model: model, Requests: 4}},
	}
	b.Announce(mine)
	for _, n := range []*node{a, c} {
		eventually(t, "the others hear of b", 10*time.Second, func() bool {
			i := slices.IndexFunc(n.Announcements(), func(x core.Announcement) bool { return x.Peer == b.Self() && x.GPU == "RTX" })
			if i < 0 {
				return false
			}
			got := n.Announcements()[i]
			h := got.Holdings[0]
			if !h.Shards.Has(700) || !h.Loaded.Has(3) || h.Loaded.Has(700) || h.Manifest != mine.Holdings[0].Manifest ||
				got.Speeds[0] != mine.Speeds[0] || got.Demand[0] != mine.Demand[0] || got.Nickname != "b" || !got.Paused {
				t.Errorf("heard %+v", got)
			}
			return true
		})
	}
	m := a.NetworkMap("DE")
	r := m.Regions["DE"]
	if r.Total != 2 || r.Models["tiny"] != 1 || r.Demand["tiny"] != 4 || r.ReplicationTarget["tiny"] != 2 {
		t.Errorf("map %+v", m)
	}
	if other := m.Regions[unknownRegion]; other.Total != 1 || !slices.Equal(other.CoverageGaps, []string{"tiny"}) {
		t.Errorf("map of elsewhere %+v", other)
	}
	mine.GPU = "none"
	b.Announce(mine)
	eventually(t, "the change is told at once", 5*time.Second, func() bool {
		return slices.ContainsFunc(a.Announcements(), func(x core.Announcement) bool { return x.Peer == b.Self() && x.GPU == "none" })
	})
}

func TestAnnouncementsAgeAndAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		who := newIdentity(t)
		net := record.Network{1}
		n := newNotices(net, time.Now)
		everybody := func(core.PeerID) bool { return true }
		announce := func(sequence uint64, at time.Time) verdict {
			s, err := record.Announce(who.key, net, core.Announcement{Sequence: sequence, Time: at})
			if err != nil {
				t.Fatal(err)
			}
			_, v := n.take(core.PeerID{}, s, everybody)
			return v
		}
		for _, c := range []struct {
			name     string
			sequence uint64
			at       time.Duration
			want     verdict
		}{
			{"first", 5, 0, isNew},
			{"again", 5, 0, isOld},
			{"older", 4, 0, isOld},
			{"ahead by 31 s", 6, 31 * time.Second, isNew},
			{"6 min late", 7, -6 * time.Minute, isNew},
			{"an hour ahead", 8, time.Hour, isNew},
			{"told again after two days", 9, -48 * time.Hour, isOld},
		} {
			if got := announce(c.sequence, time.Now().Add(c.at)); got != c.want {
				t.Errorf("%s: %d, want %d", c.name, got, c.want)
			}
		}
		taken := 0
		for i := range uint64(100) {
			if announce(100+i, time.Now()) == isNew {
				taken++
			}
		}
		if taken > noticeBurst {
			t.Errorf("%d announcements of one peer in no time", taken)
		}
		time.Sleep(4 * time.Minute)
		if len(n.all()) != 1 {
			t.Error("forgotten too early")
		}
		time.Sleep(2 * time.Minute)
		if len(n.all()) != 0 {
			t.Error("not forgotten")
		}
		s, err := record.Announce(who.key, record.Network{2}, core.Announcement{Sequence: 1000, Time: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if _, v := n.take(core.PeerID{}, s, everybody); v != isBad {
			t.Error("an announcement of another swarm is taken")
		}
		if s, err = record.Announce(newIdentity(t).key, net, core.Announcement{Sequence: 1, Time: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if _, v := n.take(core.PeerID{}, s, func(core.PeerID) bool { return false }); v != isOld || len(n.all()) != 0 {
			t.Error("an announcement of a stranger is taken")
		}
	})
}

// Who is not heard of any more is dialled even by nodes with peers enough, which may all be in one part of the network.
func TestSilentPeersAreLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		who := newIdentity(t)
		n := &session{notices: newNotices(record.Network{}, time.Now)}
		e := entry{Peer: store.Peer{ID: who.name}, connection: connectionNone, heard: time.Now(), lost: time.Now()}
		if n.silent(e) || n.healthy(e) {
			t.Error("a peer that was lost just now is given up, or called healthy")
		}
		time.Sleep(healthyFor + time.Second)
		if !n.silent(e) {
			t.Error("a peer is not missed")
		}
		s, err := record.Announce(who.key, record.Network{}, core.Announcement{Sequence: 1, Time: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		n.notices.take(who.name, s, func(core.PeerID) bool { return true })
		if n.silent(e) || !n.healthy(e) {
			t.Error("a peer that announces itself is missed")
		}
		if e.lost = time.Now().Add(time.Second); n.healthy(e) {
			t.Error("a peer that does not answer is healthy because of what it announced before")
		}
	})
}

func TestTrustSinksAndPeersAreRefusedForAnHour(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	invited(t, a, b)
	eventually(t, "connected", 5*time.Second, func() bool { return connected(a, b, connectionDirect) })
	for range 2 {
		a.Judge(b.Self(), core.ConductCorrupt)
	}
	eventually(t, "b is put out", 5*time.Second, func() bool { return connected(a, b, connectionNone) })
	if err := call(t, b, a.Self()); err == nil {
		t.Error("a refused peer is served")
	}
	if _, err := a.Open(t.Context(), b.Self(), "/shoal/test/1"); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("a refused peer is dialled: %v", err)
	}
	now := time.Now()
	book := newBook(nil, nil, func() time.Time { return now }, nil)
	for range 4 {
		book.judge(b.Self(), core.ConductMalformed)
	}
	if !book.refuses(b.Self()) {
		t.Error("trust of 0.1 is welcome")
	}
	if now = now.Add(refusedFor); book.refuses(b.Self()) {
		t.Error("still refused after an hour")
	}
}

func TestBookIsBounded(t *testing.T) {
	b := newBook(nil, nil, time.Now, nil)
	for i := range maxMembers + 100 {
		id, err := core.ParsePeerID(fmt.Sprintf("peer%d", i))
		if err != nil {
			t.Fatal(err)
		}
		var many []string
		for j := range 100 {
			many = append(many, fmt.Sprint(i, j))
		}
		b.met(id, many)
	}
	if len(b.peers) > maxMembers {
		t.Errorf("%d peers", len(b.peers))
	}
	for _, e := range b.peers {
		if len(e.Addresses) > maxAddresses {
			t.Fatalf("%d addresses", len(e.Addresses))
		}
	}
}

func TestBackoffGrowsToItsBound(t *testing.T) {
	last := time.Duration(0)
	for n := 1; n < 64; n++ {
		d := backoff(n)
		if d > backoffMost || d < last*3/4 || n == 1 && d > backoffFirst {
			t.Errorf("wait %d is %s after %s", n, d, last)
		}
		last = d
	}
}

// A cable is pulled and another plugged in: what was cut is noticed and dialled again at once.
func TestChangeOfNetworkHeals(t *testing.T) {
	var mu sync.Mutex
	here := []net.Addr{&net.IPAddr{IP: net.IPv4(10, 0, 0, 1)}}
	link := &faultyLink{}
	port := fixedPort(t)
	a := newNode(t, "a", port)
	b := newNode(t, "b", func(c *Config) {
		c.interfaces = func() ([]net.Addr, error) { mu.Lock(); defer mu.Unlock(); return here, nil }
		c.options = link.options(t)
	})
	a.Handle("/shoal/test/1", echo)
	invited(t, a, b)
	eventually(t, "connected", 5*time.Second, func() bool { return connected(b, a, connectionDirect) })
	link.freeze()
	mu.Lock()
	here = []net.Addr{&net.IPAddr{IP: net.IPv4(10, 0, 0, 2)}}
	mu.Unlock()
	began := time.Now()
	before := link.dials.Load()
	eventually(t, "healed", 5*time.Second, func() bool {
		return link.dials.Load() > before && connected(b, a, connectionDirect) && call(t, b, a.Self()) == nil
	})
	t.Logf("healed in %s", time.Since(began))
}

func TestSleepIsNoticed(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		name string
		now  time.Time
		want bool
	}{
		{"a second", start.Add(time.Second), false},
		{"a busy PC", start.Add(3 * time.Second), false},
		{"no look for a minute", start.Add(time.Minute), true},
	} {
		if got := jumped(start, c.now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestSavedKeyThatIsDamagedIsReported(t *testing.T) {
	n := newNode(t, "n")
	in := firstRealm(networkKey{1}, n.Self())
	if err := n.saveRealm(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	got, err := n.loadRealm(t.Context())
	if err != nil || *got != in {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := n.cfg.Vault.Delete(t.Context(), networkSecret); err != nil {
		t.Fatal(err)
	}
	if got, err := n.loadRealm(t.Context()); got != nil || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestStoreSaysWhichInviteIsRefused(t *testing.T) {
	n := newNode(t, "n")
	now := time.Now()
	err := n.store.AddInvite(t.Context(), store.Invite{ID: "x", SecretHash: []byte("h"), Created: now, Expires: now.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	use := func(id, hash string, by core.PeerID, at time.Time) core.Code {
		return core.CodeOf(n.store.UseInvite(t.Context(), id, []byte(hash), by, "nick", at))
	}
	a, b := newIdentity(t).name, newIdentity(t).name
	got := []core.Code{
		use("y", "h", a, now), use("x", "g", a, now), use("x", "h", a, now.Add(time.Hour)),
		use("x", "h", a, now), use("x", "h", a, now), use("x", "h", b, now),
	}
	want := []core.Code{core.CodeUnauthorized, core.CodeUnauthorized, core.CodeInviteExpired, "", "", core.CodeInviteUsed}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
