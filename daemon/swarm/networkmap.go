package swarm

import (
	"math/bits"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// unknownRegion is where nobody knows.
const unknownRegion = "??"

// NetworkMap counts nodes, holders and demand by region, from what the peers announce and what this node last did;
// region is where this node is.
func (s *Swarm) NetworkMap(region string) admin.NetworkMap {
	own := s.announcement()
	own.Region = region
	return networkMap(append(s.Announcements(), own))
}

// networkMap is NetworkMap of a list of nodes.
func networkMap(nodes []core.Announcement) admin.NetworkMap {
	m := admin.NetworkMap{Regions: map[string]admin.Region{}}
	everywhere := map[string]bool{}
	for _, a := range nodes {
		name := a.Region
		if name == "" {
			name = unknownRegion
		}
		r, ok := m.Regions[name]
		if !ok {
			r = admin.Region{Models: map[string]int{}, Demand: map[string]int{}, ReplicationTarget: map[string]int{}, CoverageGaps: []string{}}
		}
		if !a.Anchor {
			r.Total++
		}
		for _, h := range a.Holdings {
			r.Models[h.Model.String()]++
			everywhere[h.Model.String()] = true
		}
		for _, d := range a.Demand {
			r.Demand[d.Model.String()] += d.Requests
			everywhere[d.Model.String()] = true
		}
		m.Regions[name] = r
	}
	for name, r := range m.Regions {
		for model := range everywhere {
			r.ReplicationTarget[model] = replication(r.Total, r.Demand[model])
			if r.Models[model] == 0 {
				r.CoverageGaps = append(r.CoverageGaps, model)
			}
		}
		slices.Sort(r.CoverageGaps)
		m.Regions[name] = r
	}
	return m
}

// replication is how many of a region's nodes should hold a model: two, so that one may go, and one more each time
// the demand grows fourfold, but not more than there are.
func replication(nodes, requests int) int {
	return min(nodes, 2+bits.Len(uint(requests))/2)
}
