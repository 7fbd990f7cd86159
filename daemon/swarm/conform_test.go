package swarm

import (
	"testing"

	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
)

func TestSwarmConforms(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	invited(t, a, b)
	swarmtest.Conform(t, a, b, newName(t))
}
