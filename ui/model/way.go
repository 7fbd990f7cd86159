package model

import (
	"slices"
	"strconv"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// PlanOf is how a model would run now; ok is false while that is not known, and for models that nobody else has to
// do with.
func (s *Snapshot) PlanOf(id string) (plan admin.PlanReport, ok bool) {
	plan, ok = s.Plans[id]
	return plan, ok
}

// Together are the ids of the friends' PCs that would run a model now, in the order of the chain.
func (s *Snapshot) Together(id string) (ids []string) {
	plan, ok := s.PlanOf(id)
	if !ok || !plan.Possible {
		return nil
	}
	for _, part := range plan.Segments {
		if !part.Local && !slices.Contains(ids, part.NodeID) {
			ids = append(ids, part.NodeID)
		}
	}
	return ids
}

// whole tells whether this PC has all of a model.
func whole(m admin.ModelInfo) bool {
	return m.Status == admin.StatusReady || m.Status == admin.StatusLoaded || m.Status == admin.StatusLoading
}

// wayOf says how a model would run now, or why it cannot.
func wayOf(s *Snapshot, m admin.ModelInfo) Text {
	plan, ok := s.PlanOf(m.ID)
	friends := s.Together(m.ID)
	here := func(part admin.PlanSegment) bool { return part.Local }
	switch {
	case !ok:
		return Text{}
	case !plan.Possible && whole(m):
		return Text{} // loading it makes room, or says what is in the way
	case !plan.Possible:
		return s.refusal(m, plan)
	case len(friends) == 0:
		return T("Would run on this PC alone")
	case slices.ContainsFunc(plan.Segments, here):
		return T("Would run on this PC together with {{.Names}}", "Names", s.Names(friends))
	}
	return T("Would be run for you by {{.Names}}", "Names", s.Names(friends))
}

// speedOf is how fast a model is expected to write; it is empty until it was measured, for a guess may be ten times off.
func speedOf(s *Snapshot, id string) Text {
	plan, ok := s.PlanOf(id)
	speed := plan.Forecast.DecodeTokensPerSecond
	guessed := func(part admin.PlanSegment) bool { return !part.Measured }
	if !ok || !plan.Possible || speed <= 0 || slices.ContainsFunc(plan.Segments, guessed) {
		return Text{}
	}
	return T("about {{.Speed}}", "Speed", Speed(speed))
}

// refusal is the first reason why a model cannot run.
func (s *Snapshot) refusal(m admin.ModelInfo, plan admin.PlanReport) Text {
	if len(plan.Reasons) == 0 {
		return T("It cannot run with the friends who are online.")
	}
	first := plan.Reasons[0]
	if first.Code == "no_holder" {
		return missing(m, plan.Reasons)
	}
	switch first.Code {
	case "first_and_last_not_here":
		return T("Its first and last part must be on this PC, because that is how you set it.")
	case "too_many_stages":
		return T("Its parts are spread so that the PCs cannot work in a row.")
	case "not_enough_memory":
		if !s.isFriend(first.NodeID) {
			return T("There is not enough free memory for it.")
		}
		return T("{{.Name}} has not enough free memory for it.", "Name", s.FriendName(first.NodeID))
	}
	if !s.isFriend(first.NodeID) {
		return T("It cannot run with the friends who are online.")
	}
	return s.blame(first.Code, s.FriendName(first.NodeID))
}

func (s *Snapshot) isFriend(id string) bool {
	return slices.ContainsFunc(s.Peers, func(p admin.PeerInfo) bool { return p.NodeID.String() == id })
}

// blame says why one friend's PC cannot take part.
func (s *Snapshot) blame(code, name string) Text {
	switch code {
	case "peer_paused":
		return T("{{.Name}} has it, but is paused.", "Name", name)
	case "peer_unreachable", "peer_lost":
		return T("{{.Name}} has it, but cannot be reached.", "Name", name)
	case "peer_overloaded":
		return T("{{.Name}} has it, but is busy.", "Name", name)
	case "engine_mismatch":
		return T("{{.Name}} has it, but runs another version of the engine.", "Name", name)
	case "manifest_mismatch":
		return T("{{.Name}} has another file of this model.", "Name", name)
	case "untrusted":
		return T("{{.Name}} has it, but sent wrong data before and is not used.", "Name", name)
	}
	return T("It cannot run with the friends who are online.")
}

// missing names the parts that nobody has, counted from 1.
func missing(m admin.ModelInfo, reasons []admin.PlanReason) Text {
	var runs []string
	count := 0
	for _, r := range reasons {
		if r.Code != "no_holder" {
			continue
		}
		first, last := partsOf(m, r.LayerStart, r.LayerEnd)
		if first == 0 {
			continue
		}
		run := strconv.Itoa(first)
		if last > first {
			run += "–" + strconv.Itoa(last)
		}
		runs, count = append(runs, run), count+last-first+1
	}
	all := strconv.Itoa(m.ShardCount)
	switch {
	case count == 0:
		return T("No friend who is online has all of it.")
	case count == 1:
		return T("Nobody who is online has part {{.Part}} of {{.All}}.", "Part", runs[0], "All", all)
	}
	return T("Nobody who is online has the parts {{.Parts}} of {{.All}}.", "Parts", strings.Join(runs, ", "), "All", all)
}

// partsOf are the first and the last part, counted from 1, that hold some layers; 0 if the model's parts are not known.
func partsOf(m admin.ModelInfo, layerStart, layerEnd int) (first, last int) {
	for _, s := range m.Shards {
		if s.LayerStart < layerEnd && layerStart < s.LayerEnd {
			if first == 0 {
				first = s.Index + 1
			}
			last = s.Index + 1
		}
	}
	return first, last
}

// DownloadFor is what is being fetched of a model, or nil.
func (s *Snapshot) DownloadFor(id string) *admin.Download {
	for i := range s.Downloads {
		if d := &s.Downloads[i]; d.ModelID == id && d.State != core.DownloadDone {
			return d
		}
	}
	return nil
}

// Fetching tells whether anything is being fetched now.
func (s *Snapshot) Fetching() bool {
	return slices.ContainsFunc(s.Downloads, func(d admin.Download) bool {
		return d.State == core.DownloadRunning || d.State == core.DownloadQueued
	})
}

// applyDownload shows on the row of a model what is fetched of it.
func (row *ModelRow) applyDownload(s *Snapshot, d *admin.Download) {
	here := 0
	var from []string
	for _, p := range d.Shards {
		if p.State == core.DownloadDone {
			here++
		}
		for _, id := range p.Peers {
			if !slices.Contains(from, id) {
				from = append(from, id)
			}
		}
	}
	row.CanGet, row.CanCancel = false, true
	switch d.State {
	case core.DownloadFailed:
		row.CanGet = true
		row.Problem = &Problem{Title: T("The download stopped."), Hint: T("Get it again; it goes on where it stopped."), Details: Line(d.Error, 400)}
		return
	case core.DownloadPaused:
		row.Status, row.State = T("Download paused"), StatePaused
	case core.DownloadQueued:
		row.Status, row.State = T("Waiting for a friend who has it"), StateLoading
	default:
		row.Status, row.State = T("Downloading, {{.N}} of {{.All}} parts are here", "N", strconv.Itoa(here), "All", strconv.Itoa(len(d.Shards))), StateLoading
	}
	row.Bar = downloadBar(d)
	if len(from) > 0 {
		row.Bar.From = T("from {{.Names}}", "Names", s.Names(from))
	}
}

func downloadBar(d *admin.Download) *Bar {
	bar := &Bar{}
	if d.TotalBytes > 0 {
		share := min(1, float64(d.DownloadedBytes)/float64(d.TotalBytes))
		bar.Fraction = share
		bar.Text = strconv.Itoa(int(100*share)) + " % · " + Bytes(d.DownloadedBytes) + " / " + Bytes(d.TotalBytes)
	}
	if speed := d.SpeedBytesPerSec; speed > 0 {
		bar.Text += " · " + Bytes(speed) + "/s"
		bar.Left = Remaining(seconds((d.TotalBytes - d.DownloadedBytes) / speed))
	}
	return bar
}
