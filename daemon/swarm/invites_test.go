package swarm

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/store"
	"github.com/shoal-p2p/shoal/daemon/swarm/invite"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// newCode writes an invite at n.
func newCode(t *testing.T, n *node) admin.NetworkCode {
	t.Helper()
	code, err := n.NewInvite(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// altered opens a code, changes it and seals it again.
func altered(t *testing.T, code string, change func(*invite.Invite)) string {
	t.Helper()
	i, err := invite.Decode(code)
	if err != nil {
		t.Fatal(err)
	}
	change(&i)
	text, err := invite.Encode(i)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEachInviteThatIsRefusedSaysWhy(t *testing.T) {
	t.Parallel()
	a := newNode(t, "a")
	good := newCode(t, a)

	used := newCode(t, a)
	if _, err := newNode(t, "first").Join(t.Context(), used.Code); err != nil {
		t.Fatal(err)
	}
	revoked := newCode(t, a)
	if err := a.RevokeInvite(t.Context(), revoked.InviteID); err != nil {
		t.Fatal(err)
	}
	// One that the issuer calls expired although it still looks good to the other PC.
	expired, secret := invite.NewID()
	now := time.Now()
	if err := a.store.AddInvite(t.Context(), store.Invite{ID: expired, SecretHash: secret.Hash(), Created: now.Add(-time.Hour), Expires: now.Add(-time.Second)}); err != nil {
		t.Fatal(err)
	}
	nobody := multiaddr.StringCast("/ip4/127.0.0.1/tcp/1")

	for _, c := range []struct {
		name, code string
		want       core.Code
	}{
		{"no code at all", "hello", core.CodeInvalidRequest},
		{"address of nobody", "/ip4/127.0.0.1/tcp/1", core.CodeInvalidRequest},
		{"too long", "swarm://" + strings.Repeat("A", 10_000), core.CodeInvalidRequest},
		{"cut off", good.Code[:len(good.Code)-3], core.CodeCorrupt},
		{"one letter changed", flip(good.Code), core.CodeCorrupt},
		{"just expired", altered(t, good.Code, func(i *invite.Invite) { i.ID, i.Secret = expired, secret }), core.CodeInviteExpired},
		{"used", used.Code, core.CodeInviteUsed},
		{"revoked", revoked.Code, core.CodeInviteRevoked},
		{"wrong secret", altered(t, good.Code, func(i *invite.Invite) { i.Secret[0]++ }), core.CodeNotFound},
		{"wrong id", altered(t, good.Code, func(i *invite.Invite) { i.ID, _ = invite.NewID() }), core.CodeNotFound},
		{"wrong key", altered(t, good.Code, func(i *invite.Invite) { i.NetworkKey[0]++ }), core.CodeNotReady},
		{"nobody there", altered(t, good.Code, func(i *invite.Invite) { i.Addresses = []multiaddr.Multiaddr{nobody} }), core.CodeNotReady},
		{"wrong founder", altered(t, good.Code, func(i *invite.Invite) { i.Founder = newNode(t, "other").Self() }), core.CodeCorrupt},
	} {
		b := newNode(t, "b")
		_, err := b.Join(t.Context(), c.code)
		if got := core.CodeOf(err); got != c.want {
			t.Errorf("%s: code %q (%v), want %q", c.name, got, err, c.want)
		}
		if _, err := b.session(); err == nil {
			t.Errorf("%s: the node is in a swarm", c.name)
		}
	}
	if _, err := a.Join(t.Context(), good.Code); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("own invite: %v", err)
	}
}

// flip changes one character in the middle of a code.
func flip(code string) string {
	b := []byte(code)
	if i := len(b) / 2; b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

func TestOneOfTwoThatUseAnInviteAtOnceGetsIn(t *testing.T) {
	a := newNode(t, "a")
	code := newCode(t, a)
	errs := make([]error, 3)
	var wg sync.WaitGroup
	for i := range errs {
		n := newNode(t, "joiner")
		wg.Go(func() { _, errs[i] = n.Join(t.Context(), code.Code) })
	}
	wg.Wait()
	in := 0
	for _, err := range errs {
		switch core.CodeOf(err) {
		case "":
			in++
		case core.CodeInviteUsed:
		default:
			t.Error(err)
		}
	}
	if in != 1 {
		t.Errorf("%d got in", in)
	}
}

// An invite that was used tells its finder the network key. The door of the key opens, that of the members does not.
func TestFinderOfAUsedInviteIsPutOut(t *testing.T) {
	t.Parallel()
	a, b, finder := newNode(t, "a"), newNode(t, "b"), newNode(t, "finder")
	served := make(chan struct{}, 1)
	a.Handle("/shoal/test/1", func(s core.Stream) { served <- struct{}{}; echo(s) })
	code := newCode(t, a)
	if _, err := b.Join(t.Context(), code.Code); err != nil {
		t.Fatal(err)
	}
	if err := call(t, b, a.Self()); err != nil {
		t.Fatal(err)
	}
	<-served
	i, err := invite.Decode(code.Code)
	if err != nil {
		t.Fatal(err)
	}
	if err := finder.saveRealm(t.Context(), firstRealm(networkKey(i.NetworkKey), i.Founder)); err != nil {
		t.Fatal(err)
	}
	finder.restart()
	eventually(t, "the finder's host is up", 5*time.Second, func() bool { _, err := finder.session(); return err == nil })
	address := i.Addresses[0].String() + "/p2p/" + a.Self().String()
	if _, err := finder.Join(t.Context(), address); core.CodeOf(err) != core.CodeForbidden {
		t.Fatalf("join without an admission: %v", err)
	}
	if len(finder.current.host.Network().Peers()) == 0 {
		t.Error("the key opened no door at all")
	}
	if err := call(t, finder, a.Self()); err == nil {
		t.Error("a stranger's stream is served")
	}
	select {
	case <-served:
		t.Error("a stranger's stream reached the handler")
	default:
	}
	eventually(t, "the finder is put out", 2*grace, func() bool { return len(finder.current.host.Network().Peers()) == 0 })
	if _, err := finder.Join(t.Context(), address); err == nil || len(a.current.host.Network().ConnsToPeer(finder.current.host.ID())) > 0 {
		t.Error("the finder may come back at once")
	}
}

func TestMembersTakeNobodysWordForThemselves(t *testing.T) {
	founder, stranger, friend := newIdentity(t), newIdentity(t), newIdentity(t)
	net := record.Network{1}
	m := newMembership(net, founder.name, func(record.Admission) {})
	admit := func(by, who self, net record.Network) *record.Signed {
		a, err := record.Admit(by.key, net, who.name, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return a.Record
	}
	self := admit(stranger, stranger, net)
	circle := []*record.Signed{admit(stranger, friend, net), admit(friend, stranger, net), self}
	if fresh, err := m.add(circle); err != nil || len(fresh) != 0 {
		t.Errorf("a circle of strangers: %d, %v", len(fresh), err)
	}
	if _, err := m.add([]*record.Signed{admit(founder, friend, record.Network{2})}); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("an admission to another swarm: %v", err)
	}
	forged := admit(founder, friend, net)
	forged.Payload = admit(founder, stranger, net).Payload
	if _, err := m.add([]*record.Signed{forged}); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("a forged admission: %v", err)
	}
	// In any order: the friend lets the stranger in, the founder the friend.
	fresh, err := m.add([]*record.Signed{admit(friend, stranger, net), admit(founder, friend, net)})
	if err != nil || len(fresh) != 2 || !m.belongs(stranger.name) || len(m.chain(stranger.name)) != 2 {
		t.Errorf("a chain: %d, %v", len(fresh), err)
	}
}

func TestCodeIsShownAgainWhileItIsOpen(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	first, err := a.NetworkCode(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.NetworkCode(t.Context(), false)
	if err != nil || again.Code != first.Code || again.Phase != "seedling" {
		t.Errorf("another code, %v, phase %q", err, again.Phase)
	}
	if _, err := b.Join(t.Context(), first.Code); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a peer", 5*time.Second, func() bool { return a.Phase() == "established" })
	next, err := a.NetworkCode(t.Context(), false)
	if err != nil || next.Code == first.Code || next.PeerCount != 1 {
		t.Errorf("a used code is shown again, or %d peers, %v", next.PeerCount, err)
	}
	if err := a.RevokeInvite(t.Context(), first.InviteID); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("revoke a used invite: %v", err)
	}
	if err := a.RevokeInvite(t.Context(), "x"); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("revoke no invite: %v", err)
	}
}
