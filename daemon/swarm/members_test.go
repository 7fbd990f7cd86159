package swarm

import (
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/secret"
	"github.com/shoal-p2p/shoal/daemon/store"
	"github.com/shoal-p2p/shoal/daemon/swarm/invite"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// number is the number of the last change that a node knows, and whether it has the key of that change.
func number(n *node) (uint64, bool) {
	s, err := n.session()
	if err != nil {
		return 0, false
	}
	last, ok := s.changes.last()
	return last.Number, ok && record.HashKey(s.key) == last.KeyHash
}

func knows(n *node, want uint64) func() bool {
	return func() bool { got, ok := number(n); return ok && got == want }
}

func TestMemberIsPutOut(t *testing.T) {
	t.Parallel()
	port := fixedPort(t)
	a, b, c, away := newNode(t, "a", port), newNode(t, "b"), newNode(t, "c"), newNode(t, "away")
	for _, n := range []*node{b, c, away} {
		invited(t, a, n)
	}
	for _, n := range []*node{a, b} {
		eventually(t, "all know each other", 10*time.Second, func() bool { return len(n.Members()) == 4 })
	}
	old := newCode(t, a)
	away.stop()
	if err := b.PutOut(t.Context(), c.Self()); core.CodeOf(err) != core.CodeForbidden {
		t.Errorf("a member puts another out: %v", err)
	}
	if err := a.PutOut(t.Context(), a.Self()); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("the founder puts itself out: %v", err)
	}
	if err := a.PutOut(t.Context(), c.Self()); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node{a, b} {
		eventually(t, "the change is known", 10*time.Second, knows(n, 1))
	}
	eventually(t, "the others are connected again", 15*time.Second, func() bool { return connected(a, b, connectionDirect) })
	a.Handle("/shoal/test/1", echo)
	if err := call(t, b, a.Self()); err != nil {
		t.Errorf("a member that remains: %v", err)
	}
	if err := call(t, c, a.Self()); err == nil {
		t.Error("who was put out is served")
	}
	if _, err := newNode(t, "finder").Join(t.Context(), old.Code); err == nil {
		t.Error("an invite of before lets somebody in")
	}
	away = startNode(t, away.dir, "away")
	eventually(t, "who was away learns it", 15*time.Second, knows(away, 1))
	eventually(t, "who was away is connected", 15*time.Second, func() bool { return connected(away, a, connectionDirect) })
	newcomer := newNode(t, "newcomer")
	invited(t, b, newcomer)
	eventually(t, "who came later knows it", 15*time.Second, knows(newcomer, 1))
	for _, n := range []*node{a, b, away, newcomer} {
		if slices.ContainsFunc(n.Members(), func(m admin.Member) bool { return m.NodeID == c.Self() }) {
			t.Error("who was put out is listed as a member")
		}
	}
	b.stop()
	b = startNode(t, b.dir, "b")
	eventually(t, "a restart keeps it", 10*time.Second, knows(b, 1))
}

// Of twenty nodes five are away while one is put out; each learns it at its next contact.
func TestTwentyNodesAgreeOnWhoIsPutOut(t *testing.T) {
	t.Parallel()
	founder := newNode(t, "founder", fixedPort(t))
	nodes := []*node{founder}
	for i := range 19 {
		change := []func(*Config){}
		if i < 9 { // they are found again where they were
			change = append(change, fixedPort(t))
		}
		n := newNode(t, strconv.Itoa(i), change...)
		invited(t, founder, n)
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		eventually(t, "all know each other", 20*time.Second, func() bool { return len(n.Members()) == len(nodes) })
	}
	victim, here, gone := nodes[1], nodes[2:15], nodes[15:]
	for _, n := range gone {
		n.stop()
	}
	if err := founder.PutOut(t.Context(), victim.Self()); err != nil {
		t.Fatal(err)
	}
	for _, n := range append(slices.Clone(here), founder) {
		eventually(t, "those who are here agree", 20*time.Second, knows(n, 1))
	}
	for i, n := range gone {
		gone[i] = startNode(t, n.dir, "back")
	}
	for _, n := range gone {
		eventually(t, "who was away agrees", 20*time.Second, knows(n, 1))
	}
	if _, err := victim.Open(t.Context(), founder.Self(), "/shoal/test/1"); err == nil {
		t.Error("who was put out can open a stream")
	}
}

// rowOf makes a row of changes.
func rowOf(t *testing.T, net record.Network, steps ...func(*record.Alteration) self) []*record.Change {
	t.Helper()
	var out []*record.Change
	var last [32]byte
	for i, step := range steps {
		a := record.Alteration{Number: uint64(i + 1), Previous: last, Time: time.Unix(int64(i), 0)}
		by := step(&a)
		a, err := record.Alter(by.key, net, a, [32]byte{byte(i)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		last, out = a.Hash, append(out, a.Record)
	}
	return out
}

// merge has a row taken if it is better than the one known.
func merge(c *changes, list []*record.Change) (better bool, err error) {
	row, _, err := c.better(list)
	if row != nil {
		c.take(row)
	}
	return row != nil, err
}

// apart is a session without a host, of a node in the swarm of somebody else.
func apart(t *testing.T, founder self) *session {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(t.Context(), filepath.Join(dir, "shoal.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	me := newIdentity(t)
	s, err := New(Config{
		Identity: me.key, Store: db,
		Vault: secret.Open(t.Context(), secret.Config{Dir: dir, Owner: "test", Getenv: func(string) string { return "" }}),
	})
	if err != nil {
		t.Fatal(err)
	}
	in := firstRealm(networkKey{1}, founder.name)
	if err := s.saveRealm(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	ses, err := s.newSession(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ses.close)
	for _, id := range []core.PeerID{me.name, newName(t)} {
		a, err := record.Admit(founder.key, ses.net, id, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ses.members.add([]*record.Signed{a.Record}); err != nil {
			t.Fatal(err)
		}
	}
	return ses
}

// putOutOf makes the change by which the founder puts the other member of apart out.
func putOutOf(t *testing.T, ses *session, founder self) (who core.PeerID, row []*record.Change) {
	t.Helper()
	for _, id := range ses.members.names() {
		if id != founder.name && id != ses.self {
			who = id
		}
	}
	a := record.Alteration{Number: 1, Out: who, Time: time.Now()}
	a, err := record.Alter(founder.key, ses.net, a, networkKey{2}, []core.PeerID{founder.name, ses.self})
	if err != nil {
		t.Fatal(err)
	}
	return who, []*record.Change{a.Record}
}

// A change comes from every peer that a node meets while it takes it up; the key is changed once.
func TestAChangeToldByManyIsTakenOnce(t *testing.T) {
	founder := newIdentity(t)
	ses := apart(t, founder)
	renewed := make(chan struct{}, 100)
	ses.renew = func() { renewed <- struct{}{} }
	open := store.Invite{ID: "0011223344556677", SecretHash: invite.Secret{}.Hash(), Created: time.Now(), Expires: time.Now().Add(time.Hour)}
	if err := ses.cfg.Store.AddInvite(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	_, row := putOutOf(t, ses, founder)
	var told sync.WaitGroup
	for range 20 {
		told.Go(func() {
			if err := ses.takeChanges(row, nil); err != nil {
				t.Error(err)
			}
		})
	}
	told.Wait()
	text, err := ses.cfg.Vault.Get(t.Context(), networkSecret)
	if err != nil {
		t.Fatal(err)
	}
	in, ok := parseRealm(text.Reveal())
	if !ok || in.key != (networkKey{2}) || len(in.formerKeys()) != 1 || in != ses.saved {
		t.Errorf("kept after the change: key %x, %d former ones", in.key[:4], len(in.formerKeys()))
	}
	if kept, err := ses.cfg.Store.Invites(t.Context()); err != nil || len(kept) != 1 || !kept[0].Revoked {
		t.Errorf("invites of before: %+v, %v", kept, err)
	}
	ses.wg.Wait()
	if len(renewed) != 1 {
		t.Errorf("the session is renewed %d times", len(renewed))
	}
}

// A second change before the session has ended keeps the key between the two.
func TestTwoChangesInOneSession(t *testing.T) {
	founder := newIdentity(t)
	ses := apart(t, founder)
	renewed := make(chan struct{}, 2)
	ses.renew = func() { renewed <- struct{}{} }
	_, row := putOutOf(t, ses, founder)
	if err := ses.takeChanges(row, nil); err != nil {
		t.Fatal(err)
	}
	last, _ := ses.changes.last()
	next, err := record.Alter(founder.key, ses.net, record.Alteration{Number: 2, Previous: last.Hash, Out: newName(t), Time: time.Now()},
		networkKey{3}, []core.PeerID{ses.self})
	if err != nil {
		t.Fatal(err)
	}
	if err := ses.takeChanges(append(row, next.Record), nil); err != nil {
		t.Fatal(err)
	}
	if got := ses.saved.formerKeys(); ses.saved.key != (networkKey{3}) || !slices.Equal(got, []networkKey{{2}, {1}}) {
		t.Errorf("%d former keys", len(got))
	}
	if ses.nextKey() != (networkKey{3}) {
		t.Error("the key of the change before is handed over")
	}
	ses.wg.Wait()
	if len(renewed) != 1 {
		t.Errorf("the session is renewed %d times", len(renewed))
	}
}

// Whoever sees a change sees the members that it leaves.
func TestAChangeAndItsMembersAreSeenTogether(t *testing.T) {
	founder := newIdentity(t)
	ses := apart(t, founder)
	ses.renew = func() {}
	who, row := putOutOf(t, ses, founder)
	ses.members.mu.Lock()
	done := make(chan error, 1)
	go func() { done <- ses.takeChanges(row, nil) }()
	eventually(t, "the change is saved", 5*time.Second, func() bool {
		kept, err := ses.cfg.Store.Changes(t.Context())
		return err == nil && len(kept) == 1
	})
	seen := false
	for end := time.Now().Add(50 * time.Millisecond); !seen && time.Now().Before(end); runtime.Gosched() { // it waits for the members now
		_, seen = ses.changes.last()
	}
	ses.members.mu.Unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if seen || ses.members.belongs(who) {
		t.Errorf("the change is seen before the members %v, who was put out belongs %v", seen, ses.members.belongs(who))
	}
}

func TestForksAreSettledAlike(t *testing.T) {
	founder, one, two, x, y := newIdentity(t), newIdentity(t), newIdentity(t), newIdentity(t), newIdentity(t)
	net := record.Network{1}
	name := func(by, whom self) func(*record.Alteration) self {
		return func(a *record.Alteration) self { a.Delegate = whom.name; return by }
	}
	out := func(by, whom self) func(*record.Alteration) self {
		return func(a *record.Alteration) self { a.Out = whom.name; return by }
	}
	base := rowOf(t, net, name(founder, one), name(founder, two))
	after := func(steps ...func(*record.Alteration) self) []*record.Change {
		row := slices.Clone(base)
		a, err := record.OpenChange(net, base[1])
		if err != nil {
			t.Fatal(err)
		}
		last := a.Hash
		for i, step := range steps {
			n := record.Alteration{Number: uint64(i + 3), Previous: last, Time: time.Now()}
			by := step(&n)
			if n, err = record.Alter(by.key, net, n, [32]byte{9}, nil); err != nil {
				t.Fatal(err)
			}
			last, row = n.Hash, append(row, n.Record)
		}
		return row
	}
	for _, c := range []struct {
		name string
		a, b []*record.Change
	}{
		{"two delegates", after(out(one, x)), after(out(two, y))},
		{"the founder against more by a delegate", after(out(founder, one)), after(out(one, x), out(one, y))},
	} {
		ab, ba := &changes{net: net, founder: founder.name}, &changes{net: net, founder: founder.name}
		for _, order := range []struct {
			at   *changes
			rows [][]*record.Change
		}{{ab, [][]*record.Change{c.a, c.b}}, {ba, [][]*record.Change{c.b, c.a}}} {
			for _, row := range order.rows {
				if _, err := merge(order.at, row); err != nil {
					t.Fatal(err)
				}
			}
		}
		if string(ab.head()) != string(ba.head()) {
			t.Errorf("%s: two nodes that know the same disagree", c.name)
		}
		if _, gone := ab.standing().out[one.name]; c.name[0:3] == "the" && !gone {
			t.Errorf("%s: who the founder put out comes back", c.name)
		}
	}
	for _, c := range []struct {
		name string
		row  []*record.Change
	}{
		{"a member puts out", rowOf(t, net, out(x, y))},
		{"a delegate names", after(name(one, x))},
		{"a delegate puts out a delegate", after(out(one, two))},
		{"a delegate puts out the founder", after(out(one, founder))},
		{"who was put out acts", after(out(founder, one), out(one, x))},
		{"one is put out twice", after(out(founder, x), out(founder, x))},
		{"one is left out", base[1:]},
	} {
		at := &changes{net: net, founder: founder.name}
		if better, err := merge(at, c.row); err == nil || better {
			t.Errorf("%s: taken", c.name)
		}
	}
	at := &changes{net: net, founder: founder.name}
	merge(at, base)
	if better, err := merge(at, base[:1]); err != nil || better {
		t.Errorf("a row is rolled back: %v", err)
	}
}

// Who was put out cannot let anybody in by dating an admission back.
func TestWhoIsPutOutVouchesForNobodyNew(t *testing.T) {
	founder, bad, friend, late := newIdentity(t), newIdentity(t), newIdentity(t), newIdentity(t)
	net := record.Network{1}
	m := newMembership(net, founder.name, func(record.Admission) {})
	for _, step := range [][2]self{{founder, bad}, {bad, friend}} {
		a, err := record.Admit(step[0].key, net, step[1].name, time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.add([]*record.Signed{a.Record}); err != nil {
			t.Fatal(err)
		}
	}
	m.putOut(map[core.PeerID]func(core.PeerID) bool{bad.name: func(id core.PeerID) bool { return id == friend.name }})
	a, err := record.Admit(bad.key, net, late.name, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.add([]*record.Signed{a.Record}); err != nil {
		t.Fatal(err)
	}
	if m.belongs(bad.name) || !m.belongs(friend.name) || m.belongs(late.name) || m.size() != 2 {
		t.Errorf("out %v, friend %v, late %v, %d members", m.belongs(bad.name), m.belongs(friend.name), m.belongs(late.name), m.size())
	}
}

func TestAMemberLetsInSoMany(t *testing.T) {
	founder, busy := newIdentity(t), newIdentity(t)
	net := record.Network{1}
	m := newMembership(net, founder.name, func(record.Admission) {})
	admit := func(by self, whom core.PeerID) {
		a, err := record.Admit(by.key, net, whom, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.add([]*record.Signed{a.Record}); err != nil {
			t.Fatal(err)
		}
	}
	admit(founder, busy.name)
	for range maxAdmitted + 10 {
		admit(busy, newName(t))
	}
	if m.size() != 2+maxAdmitted {
		t.Errorf("one member made it %d members", m.size())
	}
}

func TestRealmIsKept(t *testing.T) {
	in := firstRealm(networkKey{1}, newName(t))
	in.former, in.key = string(in.key[:]), networkKey{2}
	if got, ok := parseRealm(in.text()); !ok || got != in || len(got.formerKeys()) != 1 {
		t.Errorf("kept as %+v", got)
	}
	for _, text := range []string{"", "x y", in.text() + "0", in.text() + " 1"} {
		if _, ok := parseRealm(text); ok {
			t.Errorf("%q is taken for a realm", text)
		}
	}
}
