package netns_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/e2e"
	"github.com/shoal-p2p/shoal/daemon/e2e/netns"
)

// programsVar tells the program in the laboratory where shoald and shoal-worker are.
const programsVar = "SHOAL_NETNS_PROGRAMS"

// atOnce is how many tests run at the same time. They wait most of the time.
const atOnce = "12"

// noLaboratory is why this PC has none.
var noLaboratory error

func TestMain(m *testing.M) { os.Exit(enter(m)) }

func enter(m *testing.M) int {
	if netns.Inside() {
		if err := netns.SetUp(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "shoal-netns-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := e2e.Build("../../..", dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv(programsVar, dir)
	code, err := netns.Run("-test.parallel=" + atOnce)
	if err != nil {
		noLaboratory = err
		return m.Run()
	}
	return code
}

// patience bounds each test; a busy machine needs a part of it.
const patience = 3 * time.Minute

// lab is one test's part of the laboratory. Names of namespaces begin with its own.
type lab struct {
	t    *testing.T
	ctx  context.Context
	name string
}

func newLab(t *testing.T, name string) *lab {
	t.Helper()
	if !netns.Inside() {
		t.Skipf("no laboratory: %v", noLaboratory)
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return &lab{t, ctx, name}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place makes a namespace.
func (l *lab) place(name string) *netns.Namespace {
	l.t.Helper()
	n, err := netns.New(l.name + "-" + name)
	must(l.t, err)
	l.t.Cleanup(func() { _ = n.Close() })
	return n
}

// join puts a plain cable between two places.
func (l *lab) join(a *netns.Namespace, nameA string, b *netns.Namespace, nameB string) {
	l.t.Helper()
	must(l.t, netns.Join(a, nameA, b, nameB))
}

// wire puts a wire with faults between two places.
func (l *lab) wire(a *netns.Namespace, nameA string, b *netns.Namespace, nameB string) *netns.Wire {
	l.t.Helper()
	w, err := netns.NewWire(a, nameA, b, nameB)
	must(l.t, err)
	l.t.Cleanup(func() { _ = w.Close() })
	return w
}

// home gives a place an address and a way out.
func home(t *testing.T, n *netns.Namespace, address, gateway string) {
	t.Helper()
	must(t, n.IP("addr add "+address+" dev eth0", "link set eth0 up"))
	if gateway != "" {
		must(t, n.IP("route add default via "+gateway))
	}
}

// port is where all nodes listen.
const port = "8810"

// start runs a node in a place.
func (l *lab) start(in *netns.Namespace, name string, args ...string) *e2e.Node {
	l.t.Helper()
	return l.startIn(in, l.t.TempDir(), name, args...)
}

// startIn runs a node that has a data folder already.
func (l *lab) startIn(in *netns.Namespace, dir, name string, args ...string) *e2e.Node {
	l.t.Helper()
	libs, err := e2e.Libraries()
	if err != nil {
		l.t.Skip(err)
	}
	n, err := e2e.Start(l.ctx, e2e.Config{
		Program: filepath.Join(os.Getenv(programsVar), "shoald"), Dir: dir, Name: name, Runtime: libs,
		Args: append([]string{"--no-demo"}, args...), Env: []string{"SHOAL_THREADS=1"},
		Listen: "0.0.0.0:" + port, Within: in.Within(), Dial: in.Dial,
	})
	must(l.t, err)
	l.t.Cleanup(func() {
		if l.t.Failed() {
			l.t.Logf("log of %s:\n%s", n.Name, n.Log())
		}
		n.Kill()
	})
	return n
}

// invite lets nodes in, each by a code of the first.
func (l *lab) invite(first *e2e.Node, others ...*e2e.Node) {
	l.t.Helper()
	must(l.t, first.Invite(l.ctx, others...))
}

// peer is what a node tells of another one.
func (l *lab) peer(n, other *e2e.Node) (found admin.PeerInfo, ok bool) {
	peers, err := n.Peers(l.ctx)
	must(l.t, err)
	for _, p := range peers {
		if p.Nickname == other.Name {
			return p, true
		}
	}
	return admin.PeerInfo{}, false
}

// until waits for something and returns how long it took.
func (l *lab) until(what string, ok func() bool) time.Duration {
	l.t.Helper()
	began := time.Now()
	if err := e2e.Until(l.ctx, func() (bool, error) { return ok(), nil }); err != nil {
		l.t.Fatalf("%s: %v", what, err)
	}
	took := time.Since(began)
	l.t.Logf("%s after %s", what, took.Round(10*time.Millisecond))
	return took
}

// soon is the limit of what should take 5 s: the machine of a test may be busy.
const soon = 15 * time.Second

// silent is the limit of noticing without any traffic that a peer is gone, which should take 25 s.
const silent = soon + 25*time.Second

// within complains when something took too long.
func (l *lab) within(limit, took time.Duration, what string) {
	l.t.Helper()
	if took > limit {
		l.t.Errorf("%s took %s", what, took.Round(10*time.Millisecond))
	}
}

// connection tells how a node is connected to another one.
func (l *lab) connection(n, other *e2e.Node) string {
	p, _ := l.peer(n, other)
	return p.Connection
}
