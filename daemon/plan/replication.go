package plan

import (
	"math"
	"math/bits"
)

// ReplicationTarget is how many of n nodes should hold each shard of a model that was asked for so often in the last
// ten minutes. A node alone has a target of one; else it grows with the logarithm of n, is at least minReplicas as
// far as a third of the nodes goes, and is up to three times that for a model in demand.
func ReplicationTarget(n, requests, minReplicas int) int {
	if n <= 1 {
		return 1
	}
	third := max(1, n/3)
	floor := min(max(bits.Len(uint(n-1)), min(minReplicas, third)), third)
	target := int(math.Ceil(float64(floor) * demandFactor(requests)))
	return min(max(1, target), n)
}

func demandFactor(requests int) float64 {
	switch {
	case requests > 100:
		return 3
	case requests > 20:
		return 2.5
	case requests > 5:
		return 2
	case requests > 0:
		return 1.5
	}
	return 1
}
