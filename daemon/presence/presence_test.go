package presence

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/hardware"
)

// ear keeps what was announced.
type ear struct{ said []core.Announcement }

func (e *ear) Self() core.PeerID            { return core.PeerID{} }
func (e *ear) Announce(a core.Announcement) { e.said = append(e.said, a) }

type none struct{}

func (none) Holdings() []core.Holding { return nil }
func (none) Speeds() []core.Speed     { return nil }

func setup(t *testing.T, set config.Settings) (*Presence, *ear) {
	t.Helper()
	e := &ear{}
	return New(Config{
		Swarm: e, Models: none{}, Hardware: hardware.New(hardware.Config{DataDir: t.TempDir(), Region: func() string { return "" }}),
		Settings: func() config.Settings { return set }, Version: "1", Engine: func() string { return "v1" }, Demand: func() []core.Demand { return nil },
	}), e
}

// TestPauseIsToldFirst pauses: the others know when the call returns, and no stage of theirs is taken any more.
func TestPauseIsToldFirst(t *testing.T) {
	p, e := setup(t, config.Settings{Nickname: "me"})
	if err := p.AllowStage(core.PeerID{}, core.PeerID{}, core.ModelID{}); err != nil {
		t.Errorf("before: %v", err)
	}
	p.Pause(t.Context())
	if len(e.said) != 1 || !e.said[0].Paused || e.said[0].Nickname != "me" {
		t.Errorf("told %+v", e.said)
	}
	if err := p.AllowStage(core.PeerID{}, core.PeerID{}, core.ModelID{}); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("paused: %v", err)
	}
	p.Resume()
	if a := p.Announcement(t.Context()); a.Paused {
		t.Error("still paused after the end of the pause")
	}
}

// TestAnchorServesNothing lets no chain through an anchor.
func TestAnchorServesNothing(t *testing.T) {
	p, _ := setup(t, config.Settings{Anchor: true})
	if err := p.AllowStage(core.PeerID{}, core.PeerID{}, core.ModelID{}); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("got %v", err)
	}
	if a := p.Announcement(t.Context()); !a.Anchor || !a.Paused || a.RAMMB != 0 {
		t.Errorf("%+v", a)
	}
}

// TestNewsAreToldAtOnce counts announcements in virtual time.
func TestNewsAreToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, e := setup(t, config.Settings{Anchor: true})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.Run(ctx) }()
		synctest.Wait()
		p.Changed()
		synctest.Wait()
		if len(e.said) != 2 {
			t.Errorf("%d announcements after a change, want 2", len(e.said))
		}
		time.Sleep(announceEvery + time.Second)
		synctest.Wait()
		if len(e.said) != 3 {
			t.Errorf("%d announcements after the rhythm, want 3", len(e.said))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
