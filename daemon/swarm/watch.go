package swarm

import (
	"net"
	"slices"
	"time"
)

// After a change of network a peer must answer in answerAfterChange, or its connection counts as cut.
const (
	watchEvery        = time.Second
	clockJump         = 3 * time.Second
	answerAfterChange = 2 * time.Second
)

// watchLoop notices that the PC slept or changed its network, and heals the connections.
func (t *session) watchLoop() {
	before, last := t.interfaces(), time.Now()
	t.every(watchEvery, nil, func() {
		now, here := time.Now(), t.interfaces()
		slept, moved := jumped(last, now), !slices.Equal(before, here)
		before, last = here, now
		if slept || moved {
			t.log.Info("network may have changed", "slept", slept, "moved", moved)
			t.hurry()
			last = time.Now() // healing takes a while, that is no sleep
		}
	})
}

// jumped tells whether the PC was asleep between two looks at the clock: the wall clock went on without the
// monotonic one, or no look was taken for much too long.
func jumped(last, now time.Time) bool {
	steady, wall := now.Sub(last), now.Round(0).Sub(last.Round(0))
	return wall-steady > clockJump || steady > watchEvery+clockJump
}

// interfaceAddrs lists the addresses at which this PC is on a network now: an address whose cable is out is none, and
// those that interfaces give themselves lead nowhere.
func interfaceAddrs() ([]net.Addr, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out []net.Addr
	for _, i := range list {
		if i.Flags&net.FlagRunning == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it went in the meantime
		}
		for _, a := range addrs {
			if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLinkLocalUnicast() {
				out = append(out, a)
			}
		}
	}
	return out, nil
}

// interfaces lists the addresses of this PC, in order.
func (t *session) interfaces() []string {
	list, err := t.cfg.interfaces()
	if err != nil {
		return nil
	}
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	slices.Sort(out)
	return out
}
