package netns_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
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
	})
}

func TestPowerLossIsNoticedAndTheNodeComesBack(t *testing.T) {
	over(t, "power", func(l *lab, tr transport) {
		p := l.pair(tr)
		p.w.Cut(true)
		p.second.Kill()
		l.within(soon, l.until("not connected any more", func() bool {
			return l.connection(p.first, p.second) == "none"
		}), "noticing")
		p.w.Cut(false)
		p.second = l.startIn(p.b, p.dir, "two")
		p.healed("back")
	})
}

// Nobody asks the peer for anything: pings find out.
func TestPowerLossIsNoticedWithoutAChain(t *testing.T) {
	over(t, "idle", func(l *lab, tr transport) {
		a, b, w := l.road(tr)
		one, two := l.start(a, "one"), l.start(b, "two")
		l.invite(one, two)
		l.until("connected", func() bool { return l.connection(one, two) == "direct" })
		w.Cut(true)
		two.Kill()
		l.within(silent, l.until("not connected any more", func() bool {
			return l.connection(one, two) == "none"
		}), "noticing")
	})
}

func TestPowerLossOfAStageIsNoticedByTheChain(t *testing.T) {
	over(t, "stage", func(l *lab, tr transport) {
		p := l.pair(tr)
		pieces, lost := 0, time.Time{}
		reply, err := p.first.Generate(l.ctx, &core.GenerateRequest{
			Model: p.id.String(), Messages: []core.Message{{Role: "user", Content: question}}, MaxTokens: 900,
		}, func(core.Delta) error {
			if pieces++; pieces == 20 {
				p.w.Cut(true)
				p.second.Kill()
				lost = time.Now()
			}
			return nil
		})
		switch {
		case lost.IsZero():
			l.t.Fatalf("the reply ended after %d pieces: %v", pieces, err)
		case err == nil:
			l.t.Fatalf("a reply that looks complete: %q", reply.Message.Content)
		}
		l.t.Logf("the error came after %s: %v", time.Since(lost).Round(10*time.Millisecond), err)
		l.within(soon, time.Since(lost), "the error")
		l.within(soon, l.until("not connected any more", func() bool {
			return l.connection(p.first, p.second) == "none"
		}), "noticing")
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
	})
}
