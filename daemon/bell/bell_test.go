package bell_test

import (
	"testing"

	"github.com/shoal-p2p/shoal/daemon/bell"
)

// rung tells whether the bell had rung since it was last listened to.
func rung(b bell.Bell) bool {
	select {
	case <-b:
		return true
	default:
		return false
	}
}

func TestBell(t *testing.T) {
	b := bell.New()
	if rung(b) {
		t.Fatal("a new bell has rung")
	}
	b.Ring()
	b.Ring() // must not block: nobody listens
	if !rung(b) {
		t.Fatal("a bell that was rung before anybody listened is not heard")
	}
	if rung(b) {
		t.Fatal("a bell rung twice is heard twice: its loop would run for nothing")
	}
	bell.Bell(nil).Ring()
}
