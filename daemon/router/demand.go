package router

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Demand is counted over a while, and not beyond all bounds.
const (
	demandWindow = 10 * time.Minute
	maxDemand    = 1000 // requests of one model that are counted
)

// demand counts how often each model was asked for here in the last ten minutes.
type demand struct {
	mu    sync.Mutex // guards times
	times map[core.ModelID][]time.Time
}

func newDemand() *demand { return &demand{times: map[core.ModelID][]time.Time{}} }

func (d *demand) add(id core.ModelID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if list := d.times[id]; len(list) < maxDemand {
		d.times[id] = append(list, time.Now())
	}
}

// list returns the counts in order of the models, and forgets what is too old.
func (d *demand) list() []core.Demand {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []core.Demand
	for _, id := range slices.SortedFunc(maps.Keys(d.times), func(a, b core.ModelID) int { return strings.Compare(a.String(), b.String()) }) {
		list := slices.DeleteFunc(d.times[id], func(t time.Time) bool { return time.Since(t) > demandWindow })
		if len(list) == 0 {
			delete(d.times, id)
			continue
		}
		d.times[id] = list
		out = append(out, core.Demand{Model: id, Requests: len(list)})
	}
	return out
}
