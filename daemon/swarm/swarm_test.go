package swarm

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/secret"
	"github.com/shoal-p2p/shoal/daemon/store"
)

func TestMain(m *testing.M) {
	// libp2p lets the dial of a NAT probe end by its own time limit when the host closes.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/libp2p/go-libp2p/p2p/host/autonat.(*autoNATService).doDial"))
}

// node is a Swarm of a test, with the folder it can be started again from.
type node struct {
	*Swarm
	dir   string
	store *store.Store
	stop  func()
}

// newNode starts a node on loopback. The configuration can be changed before it is used.
func newNode(t *testing.T, name string, change ...func(*Config)) *node {
	t.Helper()
	return startNode(t, t.TempDir(), name, change...)
}

func startNode(t *testing.T, dir, name string, change ...func(*Config)) *node {
	t.Helper()
	id, err := identity.Open(filepath.Join(dir, "identity.key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), filepath.Join(dir, "shoal.db"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Identity: id, Store: db, Listen: "127.0.0.1:0", Version: "test", NoMDNS: true, NoPortMap: true,
		Vault:    secret.Open(t.Context(), secret.Config{Dir: dir, Owner: "test", Getenv: func(string) string { return "" }}),
		Nickname: func() string { return name },
		Log:      slog.New(slog.NewTextHandler(t.Output(), nil)).With("node", name),
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	n := &node{Swarm: s, dir: dir, store: db}
	n.stop = func() {
		cancel()
		<-done
		db.Close()
	}
	t.Cleanup(func() { n.stop() })
	return n
}

// eventually polls until ok is true. A quiet PC gets there within the time, a busy one gets four times as long.
func eventually(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.After(4 * within)
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if ok() {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s", what, 4*within)
		}
	}
}

// invited writes an invite at a and joins b with it.
func invited(t *testing.T, a, b *node) {
	t.Helper()
	code, err := a.NewInvite(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Join(t.Context(), code.Code); err != nil {
		t.Fatal(err)
	}
}

// connected tells whether a is connected to b in the given way.
func connected(a, b *node, kind string) bool {
	for _, p := range a.Peers() {
		if p.NodeID == b.Self() {
			return p.Connection == kind
		}
	}
	return false
}

// echo answers every stream with what it says.
func echo(s core.Stream) {
	io.Copy(s, s)
	s.Close()
}

// call sends a line to a peer and expects it back.
func call(t *testing.T, from *node, to core.PeerID) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := from.Open(ctx, to, "/shoal/test/1")
	if err != nil {
		return err
	}
	defer s.Close()
	s.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(s, "hello"); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	b, err := io.ReadAll(s)
	if err == nil && string(b) != "hello" {
		t.Errorf("the peer answers %q", b)
	}
	return err
}

func TestNothingOnTheNetworkBeforeItIsNeeded(t *testing.T) {
	a := newNode(t, "a")
	if got := a.Phase(); got != "seedling" {
		t.Errorf("phase %q", got)
	}
	if _, err := a.session(); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("a session is there: %v", err)
	}
	if _, err := a.Open(t.Context(), a.Self(), "/x"); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("Open: %v", err)
	}
}

func TestJoinByInvite(t *testing.T) {
	a, b := newNode(t, "alice"), newNode(t, "bob")
	a.Handle("/shoal/test/1", echo)
	code, err := a.NewInvite(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(code.ExpiresAt); !strings.HasPrefix(code.Code, "swarm://") || left > InviteLifetime || left < InviteLifetime-time.Minute {
		t.Errorf("code %q, good for %s", code.Code, left)
	}
	result, err := b.Join(t.Context(), code.Code)
	if err != nil {
		t.Fatal(err)
	}
	if result.Peer != a.Self() || !strings.HasSuffix(result.Address, "/p2p/"+a.Self().String()) {
		t.Errorf("joined %+v", result)
	}
	if err := call(t, b, a.Self()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both see each other", 5*time.Second, func() bool {
		return connected(a, b, connectionDirect) && connected(b, a, connectionDirect) && a.Phase() == "established"
	})
	invites, err := a.Invites(t.Context())
	if err != nil || len(invites) != 1 || invites[0].UsedBy != b.Self().String() || invites[0].State != admin.InviteUsed || invites[0].Nickname != "bob" {
		t.Errorf("the issuer's list: %+v, %v", invites, err)
	}
	eventually(t, "round trip", 5*time.Second, func() bool { _, ok := b.PeerRTT(a.Self()); return ok })
}

func TestThirdJoinsByTheSecond(t *testing.T) {
	a, b, c := newNode(t, "a"), newNode(t, "b"), newNode(t, "c")
	c.Handle("/shoal/test/1", echo)
	invited(t, a, b)
	invited(t, b, c)
	eventually(t, "a is connected to c, whom it never saw", 20*time.Second, func() bool { return connected(a, c, connectionDirect) })
	if err := call(t, a, c.Self()); err != nil {
		t.Fatal(err)
	}
}
