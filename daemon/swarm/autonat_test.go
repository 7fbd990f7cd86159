package swarm

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiformats/go-multiaddr"
)

// A few PCs with public addresses have each other called back, over QUIC too: libp2p's guard against networks without
// UDP must not keep those that ask from being called until somebody made a hundred calls.
func TestReachabilityIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newEarth(20 * time.Millisecond)
		t.Cleanup(func() { time.Sleep(time.Minute) })
		t.Cleanup(n.close)
		n.began = time.Now()
		nodes := n.populate(t, 6)
		n.await(t, "AutoNAT v2 says that each can be reached", 2*time.Minute, func() bool { return !slices.ContainsFunc(nodes, unconfirmed) })
	})
}

// unconfirmed tells whether no peer that was asked to call a node back has reached it so far.
func unconfirmed(n *node) bool {
	host, ok := n.current.host.(interface {
		ConfirmedAddrs() (reachable, unreachable, unknown []multiaddr.Multiaddr)
	})
	if !ok {
		return true
	}
	reachable, _, _ := host.ConfirmedAddrs()
	return len(reachable) == 0
}
