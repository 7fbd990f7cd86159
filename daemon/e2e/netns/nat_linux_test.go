package netns_test

import (
	"testing"

	"github.com/shoal-p2p/shoal/daemon/e2e"
	"github.com/shoal-p2p/shoal/daemon/e2e/netns"
)

// town is an anchor with a public address and two homes, each behind a router of its own.
type town struct {
	*lab
	at               *netns.Namespace // of the anchor
	dir              string           // of the anchor
	anchor, one, two *e2e.Node
}

// homes builds the network of a town: a router of a home is random or not.
func (l *lab) homes(random ...bool) (anchor *netns.Namespace, homes []*netns.Namespace) {
	l.t.Helper()
	world, anchor := l.place("world"), l.place("anchor")
	l.join(anchor, "eth0", world, "anchor")
	ports := []string{"anchor"}
	home(l.t, anchor, "45.0.0.1/24", "")
	for i, random := range random {
		name := string(rune('a' + i))
		router, pc := l.place("router-"+name), l.place("home-"+name)
		l.join(router, "wan", world, name)
		l.join(pc, "eth0", router, "lan")
		ports = append(ports, name)
		must(l.t, router.IP("addr add 45.0.0.1"+string(rune('1'+i))+"/24 dev wan", "link set wan up",
			"addr add 192.168.1.1/24 dev lan", "link set lan up"))
		must(l.t, router.NAT("wan", random))
		home(l.t, pc, "192.168.1.2/24", "192.168.1.1")
		homes = append(homes, pc)
	}
	must(l.t, world.Bridge(ports...))
	return anchor, homes
}

// settle starts the nodes of a town. Both homes join by invites of the anchor.
func (l *lab) settle(random ...bool) *town {
	l.t.Helper()
	at, homes := l.homes(random...)
	t := &town{lab: l, at: at, dir: l.t.TempDir()}
	t.anchor = l.startIn(at, t.dir, "anchor", "--anchor")
	t.one, t.two = l.start(homes[0], "one"), l.start(homes[1], "two")
	l.invite(t.anchor, t.one, t.two)
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
	town := newLab(t, "cone").settle(false, false)
	town.meet("direct")
	town.share(town.one, town.two).tell("direct")
}

func TestTwoHomesBehindRandomRoutersAreRelayed(t *testing.T) {
	town := newLab(t, "random").settle(true, true)
	town.meet("relayed")
	town.share(town.one, town.two).tell("relayed")
	town.meet("relayed")
}

func TestHomesBehindAConeAndARandomRouter(t *testing.T) {
	town := newLab(t, "mixed").settle(false, true)
	town.meet("relayed")
	town.share(town.one, town.two).tell("relayed")
	town.meet("relayed")
}

// Two homes that only meet through the anchor lose it and get it back.
func TestRelayedHomesMeetAgainWhenTheAnchorIsBack(t *testing.T) {
	town := newLab(t, "back").settle(true, true)
	town.meet("relayed")
	town.anchor.Kill()
	town.within(silent, town.until("none", func() bool {
		return town.connection(town.one, town.two) == "none" && town.connection(town.two, town.one) == "none"
	}), "noticing")
	town.anchor = town.startIn(town.at, town.dir, "anchor", "--anchor")
	town.meet("relayed")
}
