package mean_test

import (
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/engine/mean"
)

func TestTime(t *testing.T) {
	for name, c := range map[string]struct {
		average, measured time.Duration
		parts             int
		want              time.Duration
	}{
		"the first":         {0, 80, 4, 80},
		"a first of 0":      {0, 0, 4, 1},
		"longer":            {80, 160, 4, 100},
		"shorter":           {80, 0, 8, 70},
		"never 0":           {1, 0, 1, 1},
		"never less than 0": {3, -1000, 4, 1},
	} {
		if got := mean.Time(c.average, c.measured, c.parts); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
