// Package bell wakes a loop that has something to do.
package bell

// Bell holds at most one token: who rings it twice before the loop looks wakes it once, and who rings it while the loop
// is busy is heard afterwards. A loop receives from it, and must then look at everything that it is woken for. Ringing
// never blocks; a nil Bell is heard by nobody.
type Bell chan struct{}

// New makes a bell that has not rung.
func New() Bell { return make(Bell, 1) }

// Ring wakes the loop, now or when it next listens.
func (b Bell) Ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}
