package page

import (
	"context"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/ui/model"
)

// The rhythm of the screen. The node tells by events what changes; a tick is for what it has no events for: how far
// downloads are, and a node that has not answered yet, which is asked again at every askEvery-th tick. All of it is
// asked for anew at every modelsEvery-th tick only: the models' estimates take the node some work.
const (
	tickEvery   = time.Second
	askEvery    = 2
	modelsEvery = 10
)

// planIn is how long the node may take to tell how one model would run.
const planIn = 5 * time.Second

// Run keeps the screen up to date until ctx ends, and returns when all work that the screen started has ended.
func (s *Shell) Run(ctx context.Context) {
	defer s.work.Wait()
	defer s.stop()
	started := s.cfg.Now()
	events := s.cfg.Backend.Subscribe(ctx)
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	known := s.update(ctx)
	s.background(s.settings.fetch)
	s.background(s.fetchInvites)
	for ticks := 1; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			ticks++
			if ticks%modelsEvery != 0 && (known || ticks%askEvery != 0) {
				if s.fetching {
					s.updateDownloads(ctx)
				}
				continue
			}
		case <-s.refresh:
		case e, open := <-events:
			if !open {
				events = nil
				continue
			}
			if !s.onEvent(e, started) {
				continue
			}
		}
		known = s.update(ctx) || known
	}
}

// updateDownloads asks the node how far downloads are.
func (s *Shell) updateDownloads(ctx context.Context) {
	downloads, err := s.cfg.Backend.Downloads(ctx)
	if err != nil {
		return // the next tick asks again; what is shown stays
	}
	s.setFetching(downloads)
	s.cfg.Post(func() {
		s.snap.Downloads = downloads
		s.models.set(model.NewModelRows(&s.snap))
	})
}

func (s *Shell) setFetching(downloads []admin.Download) {
	snap := model.Snapshot{Downloads: downloads}
	s.fetching = snap.Fetching()
}

// update asks the node how it is and what it has, and shows it. It tells whether the node answered.
func (s *Shell) update(ctx context.Context) bool {
	var snap model.Snapshot
	var err error
	b := s.cfg.Backend
	if snap.Stats, err = b.Stats(ctx); err != nil {
		return false
	}
	if snap.Models, err = b.Models(ctx); err != nil {
		return false
	}
	if snap.Version, err = b.Version(ctx); err != nil {
		return false
	}
	if snap.Peers, err = b.Peers(ctx); err != nil {
		return false
	}
	if snap.Downloads, err = b.Downloads(ctx); err != nil {
		return false
	}
	s.setFetching(snap.Downloads)
	s.cfg.Post(func() {
		s.snap.Known, s.snap.Stats, s.snap.Models, s.snap.Version = true, snap.Stats, snap.Models, snap.Version
		s.snap.Peers, s.snap.Downloads = snap.Peers, snap.Downloads
		s.settings.setVersion(snap.Version)
		s.redraw()
	})
	plans := s.plans(ctx, &snap)
	s.cfg.Post(func() {
		s.snap.Plans = plans
		s.redraw()
	})
	return true
}

// plans asks how the models would run in which friends could take part.
func (s *Shell) plans(ctx context.Context, snap *model.Snapshot) map[string]admin.PlanReport {
	plans := map[string]admin.PlanReport{}
	company := snap.Online() > 0
	for _, m := range snap.Models {
		id, err := core.ParseModelID(m.ID)
		if err != nil || !company && m.HostedShards == m.ShardCount {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, planIn)
		if plan, err := s.cfg.Backend.Plan(ctx, id); err == nil {
			plans[m.ID] = plan
		}
		cancel()
	}
	return plans
}

// onEvent shows what the node tells, and tells whether to ask it anew. Warnings from before the screen are left out.
func (s *Shell) onEvent(e core.Event, started time.Time) (ask bool) {
	switch data := e.Data.(type) {
	case core.Activity:
		if (data.ToastLevel == "warning" || data.ToastLevel == "error") && !data.Timestamp.Before(started) {
			s.cfg.Post(func() { s.toast.show(model.Line(data.Message, 160), s.cfg.Post) })
		}
	case admin.Stats:
		s.cfg.Post(func() { s.snap.Stats = data; s.redraw() })
		changed := data.EngineState != s.engine
		s.engine = data.EngineState
		return changed // the engine's version is not in the event
	case []admin.PeerInfo:
		s.cfg.Post(func() { s.snap.Peers = data; s.redraw() })
		return s.companyChanged(data)
	}
	return e.Type == core.EventModelsChanged
}

// companyChanged tells whether other PCs can be used than before. Who joins does it with a code, so the codes are
// looked at too. It runs on the goroutine of Run.
func (s *Shell) companyChanged(peers []admin.PeerInfo) bool {
	var now []string
	for _, p := range peers {
		now = append(now, p.NodeID.String()+" "+p.Connection)
		if p.Paused {
			now = append(now, "paused")
		}
	}
	slices.Sort(now)
	if slices.Equal(now, s.company) {
		return false
	}
	s.company = now
	s.background(s.fetchInvites)
	return true
}

// refreshSoon asks the node again without waiting for the next tick.
func (s *Shell) refreshSoon() { s.refresh.Ring() }
