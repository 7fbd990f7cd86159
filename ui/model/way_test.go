package model

import (
	"testing"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// shared is a model of 8 parts with 4 layers each, of which Anna and Ben hold some.
func shared(status string) *Snapshot {
	s := withModel(pc(), status)
	m := &s.Models[0]
	m.ID, m.ShardCount, m.PeersHosting, m.GlobalAvailable = "big", 8, 2, true
	for i := range 8 {
		m.Shards = append(m.Shards, admin.ShardInfo{Index: i, LayerStart: 4 * i, LayerEnd: 4*i + 4})
	}
	s.Peers = []admin.PeerInfo{peer("a1", "Anna"), peer("b2", "Ben")}
	s.Plans = map[string]admin.PlanReport{"big": {
		Possible: true, Route: core.RouteDistributed, Forecast: admin.PlanForecast{DecodeTokensPerSecond: 12.3},
		Segments: []admin.PlanSegment{{Local: true, NodeID: "me"}, {NodeID: "a1"}, {NodeID: "b2"}, {NodeID: "a1"}},
	}}
	return s
}

func TestModelThatRunsWithFriends(t *testing.T) {
	s := shared(admin.StatusAvailable)
	r := NewModelRow(s, s.Models[0])
	if r.Fit != FitFriends || !r.CanChat || !r.CanGet || r.CanLoad || r.Way.Args["Names"] != "Anna, Ben" || !r.Speed.IsZero() {
		t.Errorf("row %+v", r)
	}
	for i := range s.Plans["big"].Segments {
		s.Plans["big"].Segments[i].Measured = true
	}
	if got := speedOf(s, "big"); got.Key != "about {{.Speed}}" {
		t.Errorf("a measured speed is told as %q", got.Key)
	}
	plan := s.Plans["big"]
	plan.Segments = plan.Segments[1:]
	s.Plans["big"] = plan
	if way := wayOf(s, s.Models[0]); way.Key != "Would be run for you by {{.Names}}" {
		t.Errorf("without this PC: %q", way.Key)
	}
	if u := s.Usable(); len(u) != 1 || u[0].ID != "big" {
		t.Errorf("usable %+v", u)
	}
	if h := NewHome(s); h.Action.Kind != ActionChat || h.Sentence.Args["Names"] != "Anna, Ben" {
		t.Errorf("home says %+v %+v", h.Sentence, h.Action)
	}
}

func TestLocalModelsComeFirst(t *testing.T) {
	s := shared(admin.StatusPartial)
	own := admin.ModelInfo{ID: "own", Status: admin.StatusReady}
	s.Models = append(s.Models, own)
	if u := s.Usable(); len(u) != 2 || u[0].ID != "own" {
		t.Errorf("usable %+v", u)
	}
}

func TestModelThatRunsHere(t *testing.T) {
	s := shared(admin.StatusReady)
	s.Plans["big"] = admin.PlanReport{Possible: true, Segments: []admin.PlanSegment{{Local: true, NodeID: "me"}}}
	r := NewModelRow(s, s.Models[0])
	if r.Way.Key != "Would run on this PC alone" || r.Fit == FitFriends || r.CanGet || len(s.Together("big")) != 0 {
		t.Errorf("row %+v", r)
	}
	s.Plans["big"] = admin.PlanReport{Reasons: []admin.PlanReason{{Code: "not_enough_memory"}}}
	if r := NewModelRow(s, s.Models[0]); r.Fit == FitNotNow || !r.Way.IsZero() {
		t.Errorf("what is here whole can be loaded: %+v", r)
	}
}

func TestWhyAModelCannotRun(t *testing.T) {
	for name, c := range map[string]struct {
		reasons []admin.PlanReason
		key     string
		arg     string
		want    string
	}{
		"gaps": {
			[]admin.PlanReason{{Code: "no_holder", LayerStart: 8, LayerEnd: 20}, {Code: "no_holder", LayerStart: 28, LayerEnd: 32}},
			"Nobody who is online has the parts {{.Parts}} of {{.All}}.", "Parts", "3–5, 8",
		},
		"one part":       {[]admin.PlanReason{{Code: "no_holder", LayerStart: 8, LayerEnd: 12}}, "Nobody who is online has part {{.Part}} of {{.All}}.", "Part", "3"},
		"no parts known": {[]admin.PlanReason{{Code: "no_holder", LayerStart: 900, LayerEnd: 901}}, "No friend who is online has all of it.", "", ""},
		"paused":         {[]admin.PlanReason{{Code: "peer_paused", NodeID: "a1"}}, "{{.Name}} has it, but is paused.", "Name", "Anna"},
		"lost":           {[]admin.PlanReason{{Code: "peer_unreachable", NodeID: "b2"}}, "{{.Name}} has it, but cannot be reached.", "Name", "Ben"},
		"engine":         {[]admin.PlanReason{{Code: "engine_mismatch", NodeID: "b2"}}, "{{.Name}} has it, but runs another version of the engine.", "Name", "Ben"},
		"memory there":   {[]admin.PlanReason{{Code: "not_enough_memory", NodeID: "a1"}}, "{{.Name}} has not enough free memory for it.", "Name", "Anna"},
		"memory here":    {[]admin.PlanReason{{Code: "not_enough_memory", NodeID: "me"}}, "There is not enough free memory for it.", "", ""},
		"spread":         {[]admin.PlanReason{{Code: "too_many_stages"}}, "Its parts are spread so that the PCs cannot work in a row.", "", ""},
		"new reason":     {[]admin.PlanReason{{Code: "never heard of", NodeID: "a1"}}, "It cannot run with the friends who are online.", "", ""},
		"no reason":      {nil, "It cannot run with the friends who are online.", "", ""},
	} {
		s := shared(admin.StatusAvailable)
		s.Plans["big"] = admin.PlanReport{Reasons: c.reasons}
		r := NewModelRow(s, s.Models[0])
		if r.Way.Key != c.key || r.Way.Args[c.arg] != c.want || r.Fit != FitNotNow || r.CanChat {
			t.Errorf("%s: %+v", name, r.Way)
		}
	}
}

func TestDownloadOnARow(t *testing.T) {
	s := shared(admin.StatusDownloading)
	d := admin.Download{
		ModelID: "big", State: core.DownloadRunning, DownloadedBytes: 3 << 30, TotalBytes: 12 << 30, SpeedBytesPerSec: 100 << 20,
		Shards: []admin.ShardProgress{{State: core.DownloadDone}, {Peers: []string{"b2"}}, {Peers: []string{"b2", "a1"}}},
	}
	s.Downloads = []admin.Download{d}
	r := NewModelRow(s, s.Models[0])
	if r.Bar == nil || r.Bar.Fraction != 0.25 || r.Bar.Text != "25 % · 3.0 GB / 12.0 GB · 100 MB/s" || r.Bar.From.Args["Names"] != "Ben, Anna" || r.Bar.Left.IsZero() {
		t.Errorf("bar %+v", r.Bar)
	}
	if !r.CanCancel || r.CanGet || !s.Fetching() || r.Status.Args["N"] != "1" || r.Status.Args["All"] != "3" {
		t.Errorf("row %+v", r)
	}
	s.Downloads[0].State, s.Downloads[0].Error = core.DownloadFailed, "disk full"
	if r = NewModelRow(s, s.Models[0]); r.Problem == nil || r.Problem.Details != "disk full" || !r.CanGet || r.Bar != nil || s.Fetching() {
		t.Errorf("failed: %+v", r)
	}
	s.Downloads[0].State = core.DownloadDone
	if r = NewModelRow(s, s.Models[0]); r.Bar != nil || r.CanCancel {
		t.Errorf("done: %+v", r)
	}
	s.Downloads[0].State, s.Downloads[0].TotalBytes, s.Downloads[0].Shards = core.DownloadQueued, 0, nil
	if r = NewModelRow(s, s.Models[0]); r.Bar == nil || r.Bar.Text != "0 %" && r.Bar.Fraction != 0 {
		t.Errorf("queued: %+v", r.Bar)
	}
}

func TestAnswerTellsWhoTookPart(t *testing.T) {
	a, b := peer("a1", "").NodeID, peer("b2", "").NodeID
	c := Conversation{Names: func(ids []string) string { return ids[0] }}
	c.Ask("Hello", admin.ModelInfo{ID: "big"}, noon)
	c.Append(core.Delta{Route: &core.Route{Kind: core.RouteDistributed, Peers: []core.PeerID{a, b}}}, noon)
	if turn := c.Running(); turn.State != TurnWaiting || turn.Together.Args["Names"] != "a1" || c.tokens != 0 || !c.first.IsZero() {
		t.Errorf("the route counts as a word: %+v", turn)
	}
	c.Append(core.Delta{Text: "x"}, noon)
	c.Finish(&core.Reply{Route: core.Route{Kind: core.RouteDistributed, Peers: []core.PeerID{b}}}, nil, noon)
	last := c.Turns[1].Footer[len(c.Turns[1].Footer)-1]
	if c.Turns[1].Together.Args["Names"] != "b2" || last.Args["Names"] != "a1" {
		t.Errorf("turn %+v", c.Turns[1])
	}
	c.Ask("Again", admin.ModelInfo{ID: "big"}, noon)
	c.Append(core.Delta{Route: &core.Route{Kind: core.RouteLocal}}, noon)
	c.Finish(&core.Reply{Route: core.Route{Kind: core.RouteLocal}}, nil, noon)
	if turn := c.Turns[3]; !turn.Together.IsZero() {
		t.Errorf("alone, but together with %+v", turn.Together)
	}
}
