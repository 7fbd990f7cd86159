package netns_test

import (
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/e2e"
	"github.com/shoal-p2p/shoal/daemon/e2e/netns"
)

// town is an anchor with a public address and two homes, each behind a router of its own.
type town struct {
	*lab
	at               *netns.Namespace // of the anchor
	dir              string           // of the anchor
	routers, homes   []*netns.Namespace
	wires            []*netns.Wire // from the routers to the world
	anchor, one, two *e2e.Node
}

// town builds the network of a town: a router of a home is random or not.
func (l *lab) town(random ...bool) *town {
	l.t.Helper()
	world := l.place("world")
	t := &town{lab: l, at: l.place("anchor"), dir: l.t.TempDir()}
	l.join(t.at, "eth0", world, "anchor")
	home(l.t, t.at, "45.0.0.1/24", "")
	ports := []string{"anchor"}
	for i, random := range random {
		name := string(rune('a' + i))
		router, pc := l.place("router-"+name), l.place("home-"+name)
		t.wires = append(t.wires, l.wire(router, "wan", world, name))
		l.join(pc, "eth0", router, "lan")
		must(l.t, router.IP("addr add 45.0.0.1"+string(rune('1'+i))+"/24 dev wan", "link set wan up",
			"addr add 192.168.1.1/24 dev lan", "link set lan up"))
		must(l.t, router.NAT("wan", random))
		home(l.t, pc, "192.168.1.2/24", "192.168.1.1")
		ports, t.routers, t.homes = append(ports, name), append(t.routers, router), append(t.homes, pc)
	}
	must(l.t, world.Bridge(ports...))
	return t
}

// settle starts the nodes of a town. Both homes join by invites of the anchor.
func (t *town) settle() *town {
	t.t.Helper()
	t.anchor = t.startIn(t.at, t.dir, "anchor", "--anchor")
	t.one, t.two = t.start(t.homes[0], "one"), t.start(t.homes[1], "two")
	t.invite(t.anchor, t.one, t.two)
	return t
}

// meet waits until both homes are connected as wanted.
func (t *town) meet(want string) {
	t.t.Helper()
	t.within(soon, t.until(want, func() bool {
		return t.connection(t.one, t.two) == want && t.connection(t.two, t.one) == want
	}), want)
}

func TestTwoHomesBehindConesConnectDirectly(t *testing.T) {
	town := newLab(t, "cone").town(false, false)
	for _, w := range town.wires {
		w.Delay(100 * time.Millisecond) // so that the time before the hole is punched can be seen
	}
	town.settle().meet("relayed")
	town.meet("direct")
	for _, w := range town.wires {
		w.Delay(0)
	}
	town.share(town.one, town.two).tell("direct")
}

func TestTwoHomesBehindRandomRoutersAreRelayed(t *testing.T) {
	town := newLab(t, "random").town(true, true).settle()
	town.meet("relayed")
	town.share(town.one, town.two).tell("relayed")
	town.meet("relayed")
}

func TestHomesBehindAConeAndARandomRouter(t *testing.T) {
	town := newLab(t, "mixed").town(false, true).settle()
	town.meet("relayed")
	town.share(town.one, town.two).tell("relayed")
	town.meet("relayed")
}

// The owner of the first router set it up to pass on what comes in for Shoal.
func TestHomesBehindAnOpenAndARandomRouterConnectDirectly(t *testing.T) {
	town := newLab(t, "open").town(false, true)
	must(t, town.routers[0].Open("wan", port, "192.168.1.2"))
	town.settle().meet("direct")
	town.share(town.one, town.two).tell("direct")
}

// Two homes that only meet through the anchor lose it and get it back.
func TestRelayedHomesMeetAgainWhenTheAnchorIsBack(t *testing.T) {
	town := newLab(t, "back").town(true, true).settle()
	town.meet("relayed")
	town.anchor.Kill()
	town.within(silent, town.until("none", func() bool {
		return town.connection(town.one, town.two) == "none" && town.connection(town.two, town.one) == "none"
	}), "noticing")
	town.anchor = town.startIn(town.at, town.dir, "anchor", "--anchor")
	town.meet("relayed")
}

// The provider gives a home another address. No PC of it can see that.
func TestHomeWithAnotherPublicAddressConnectsDirectlyAgain(t *testing.T) {
	town := newLab(t, "redial").town(false, false).settle()
	town.meet("direct")
	tale := town.share(town.one, town.two)
	tale.tell("before")
	must(t, town.routers[1].IP("addr flush dev wan", "addr add 45.0.0.77/24 dev wan"))
	tale.healed("another public address")
}
