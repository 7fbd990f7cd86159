package router

import (
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
)

// edges are the sizes by which a histogram counts times, in seconds.
func edges() []float64 {
	return []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60}
}

// histogram counts times by their length.
type histogram struct {
	count  uint64
	sum    float64
	atMost []uint64 // by edge
}

func newHistogram() histogram { return histogram{atMost: make([]uint64, len(edges()))} }

func (h *histogram) add(d time.Duration) {
	h.count++
	h.sum += d.Seconds()
	for i, edge := range edges() {
		if d.Seconds() <= edge {
			h.atMost[i]++
		}
	}
}

func (h *histogram) report() admin.Histogram {
	out := admin.Histogram{Count: h.count, Sum: h.sum, Buckets: map[float64]uint64{}}
	for i, edge := range edges() {
		out.Buckets[edge] = h.atMost[i]
	}
	return out
}
