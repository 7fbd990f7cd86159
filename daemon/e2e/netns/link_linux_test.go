package netns_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/e2e/netns"
)

func TestNodesThatKnowNoAddressFindEachOtherOnTheLAN(t *testing.T) {
	l := newLab(t, "mdns")
	hub, a, b := l.place("switch"), l.place("a"), l.place("b")
	l.join(a, "eth0", hub, "to-a")
	l.join(b, "eth0", hub, "to-b")
	must(t, hub.Bridge("to-a", "to-b"))
	home(t, a, "10.2.0.1/24", "")
	home(t, b, "10.2.0.2/24", "")
	dirs := []string{t.TempDir(), t.TempDir()}
	one, two := l.startIn(a, dirs[0], "one"), l.startIn(b, dirs[1], "two")
	l.invite(one, two)
	must(t, one.Stop())
	must(t, two.Stop())
	// What they remember is of no use any more.
	must(t, a.IP("addr flush dev eth0", "addr add 10.2.1.1/24 dev eth0"))
	must(t, b.IP("addr flush dev eth0", "addr add 10.2.1.2/24 dev eth0"))
	one, two = l.startIn(a, dirs[0], "one"), l.startIn(b, dirs[1], "two")
	l.until("found", func() bool { return l.connection(one, two) == "direct" && l.connection(two, one) == "direct" })
	if p, _ := l.peer(one, two); !p.IsLANPeer {
		t.Errorf("not shown as of the local network: %+v", p)
	}
}

func TestRepliesOverLinksThatLoseAndDelayAreTheSame(t *testing.T) {
	over(t, "link", func(l *lab, tr transport) {
		p := l.pair(tr)
		for _, loss := range []float64{0.01, 0.03} {
			p.w.Lose(loss)
			p.ask(fmt.Sprintf("loss of %g %%", 100*loss))
		}
		p.w.Lose(0)
		for _, delay := range []time.Duration{20 * time.Millisecond, 50 * time.Millisecond} {
			p.w.Delay(delay)
			p.ask("delay of " + delay.String())
		}
		l.until("the round trip is measured again", func() bool {
			seen, _ := l.peer(p.first, p.second)
			return seen.LatencyMS >= 100 && seen.LatencyMS < 150
		})
	})
}

// transport is how nodes are connected: over QUIC where addresses are public, else over TCP.
type transport struct{ name, left, right string }

// over runs a test over both transports.
func over(t *testing.T, name string, test func(*lab, transport)) {
	t.Parallel()
	for _, tr := range []transport{{"quic", "45.1.0", "46.1.0"}, {"tcp", "10.1.0", "10.2.0"}} {
		t.Run(tr.name, func(t *testing.T) { test(newLab(t, name+"-"+tr.name), tr) })
	}
}

// road joins two places by way of a router in the middle of the internet, which says nothing about packets it cannot
// deliver. The wire is that of the second place.
func (l *lab) road(tr transport) (a, b *netns.Namespace, w *netns.Wire) {
	l.t.Helper()
	left, right := tr.left, tr.right
	middle := l.place("middle")
	a, b = l.place("a"), l.place("b")
	l.join(a, "eth0", middle, "to-a")
	w = l.wire(b, "eth0", middle, "to-b")
	must(l.t, middle.Forward())
	must(l.t, middle.Run("nft", "add table ip quiet; add chain ip quiet out { type filter hook output priority 0; }; add rule ip quiet out icmp type destination-unreachable drop"))
	must(l.t, middle.IP("addr add "+left+".254/24 dev to-a", "link set to-a up", "addr add "+right+".254/24 dev to-b", "link set to-b up"))
	home(l.t, a, left+".1/24", left+".254")
	home(l.t, b, right+".2/24", right+".254")
	return a, b, w
}

// move gives the second place of a road another address.
func (tr transport) move(t *testing.T, b *netns.Namespace) {
	t.Helper()
	must(t, b.IP("addr flush dev eth0", "addr add "+tr.right+".9/24 dev eth0", "route add default via "+tr.right+".254"))
}

// pair is two nodes at the ends of a road, with a model of which each has a part.
type pair struct {
	*tale
	tr  transport
	b   *netns.Namespace // of the second node
	dir string           // of the second node
	w   *netns.Wire
}

func (l *lab) pair(tr transport) *pair {
	l.t.Helper()
	a, b, w := l.road(tr)
	p := &pair{tr: tr, b: b, dir: l.t.TempDir(), w: w}
	one, two := l.start(a, "one"), l.startIn(b, p.dir, "two")
	l.invite(one, two)
	p.tale = l.share(one, two)
	p.tell("before")
	return p
}

func TestChangedAddressHeals(t *testing.T) {
	over(t, "move", func(l *lab, tr transport) {
		p := l.pair(tr)
		p.w.Delay(20 * time.Millisecond)
		tr.move(l.t, p.b)
		p.healed("another address")
		l.until("the round trip is measured on the new path", func() bool {
			seen, _ := l.peer(p.first, p.second)
			return seen.LatencyMS >= 40
		})
	})
}

func TestLinkDownAndUpHeals(t *testing.T) {
	over(t, "down", func(l *lab, tr transport) {
		p := l.pair(tr)
		must(l.t, p.b.IP("link set eth0 down"))
		l.pause(10 * time.Second)
		must(l.t, p.b.IP("link set eth0 up", "route add default via "+tr.right+".254"))
		p.healed("link up again")
	})
}

func TestSilentOutageHeals(t *testing.T) {
	over(t, "cut", func(l *lab, tr transport) {
		p := l.pair(tr)
		p.w.Cut(true)
		l.pause(35 * time.Second)
		p.w.Cut(false)
		p.healed("outage over")
	})
}

// pause lets time pass for the nodes.
func (l *lab) pause(d time.Duration) {
	l.t.Helper()
	select {
	case <-time.After(d):
	case <-l.ctx.Done():
		l.t.Fatal(l.ctx.Err())
	}
}
