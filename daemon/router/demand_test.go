package router

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// TestDemandIsBounded asks for one model more often than is counted, and looks again when it is long ago.
func TestDemandIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id, err := core.ParseModelID("a")
		if err != nil {
			t.Fatal(err)
		}
		d := newDemand()
		for range 3 * maxDemand {
			d.add(id)
		}
		if list := d.list(); len(list) != 1 || list[0].Requests != maxDemand || len(d.times[id]) != maxDemand {
			t.Errorf("%+v, %d kept", list, len(d.times[id]))
		}
		time.Sleep(demandWindow + time.Second)
		if list := d.list(); len(list) != 0 || len(d.times) != 0 {
			t.Errorf("after the window: %+v", list)
		}
	})
}
