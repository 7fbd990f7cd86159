package netns_test

import (
	"syscall"
	"testing"
	"time"
)

func TestSleepHeals(t *testing.T) {
	over(t, "sleep", func(l *lab, tr transport) {
		p := l.pair(tr)
		must(l.t, syscall.Kill(p.second.PID(), syscall.SIGSTOP))
		p.w.Cut(true)
		l.pause(35 * time.Second)
		p.w.Cut(false)
		must(l.t, syscall.Kill(p.second.PID(), syscall.SIGCONT))
		p.healed("awake")
		p.ask("after")
	})
}

func TestPowerLossIsNoticedAndTheNodeComesBack(t *testing.T) {
	over(t, "power", func(l *lab, tr transport) {
		p := l.pair(tr)
		p.w.Cut(true)
		p.second.Kill()
		l.until("not connected any more", func() bool { return l.connection(p.first, p.second) == "none" })
		p.w.Cut(false)
		p.second = l.startIn(p.b, p.dir, "two")
		p.healed("back")
		p.ask("after")
	})
}

func TestPowerLossOfAStageIsNoticedByTheChain(t *testing.T) {
	over(t, "stage", func(l *lab, tr transport) {
		p := l.pair(tr)
		p.w.Cut(true)
		p.second.Kill()
		began := time.Now()
		_, _, err := p.first.Ask(l.ctx, p.id, question, tokens)
		t.Logf("ask after power loss: %v after %s", err, time.Since(began))
		l.until("not connected any more", func() bool { return l.connection(p.first, p.second) == "none" })
	})
}

func TestPowerLossAndBackBeforeItIsNoticed(t *testing.T) {
	over(t, "blink", func(l *lab, tr transport) {
		p := l.pair(tr)
		p.w.Cut(true)
		p.second.Kill()
		tr.move(l.t, p.b)
		p.w.Cut(false)
		p.second = l.startIn(p.b, p.dir, "two")
		p.healed("back at another address")
		p.ask("after")
	})
}
