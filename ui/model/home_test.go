package model

import (
	"testing"

	"github.com/shoal-p2p/shoal/daemon/admin"
)

func pc() *Snapshot {
	return &Snapshot{Known: true, Version: admin.Version{Engine: "llama.cpp v0.5.0"}, Stats: admin.Stats{State: "idle", Hardware: admin.Hardware{
		GPUName: "RTX", GPUVRAMMB: 12000, GPUVRAMUsedMB: 2000, GPUInference: true, InferenceBackend: "cuda",
		TotalRAMMB: 32000, UsedRAMMB: 10000, ProcessRSSMB: 100, TotalDiskMB: 900000, AvailableDiskMB: 300000,
	}}}
}

func withModel(s *Snapshot, status string) *Snapshot {
	s.Models = append(s.Models, admin.ModelInfo{ID: "m-" + status, Name: "M " + status, Status: status, Local: true, Fits: true, EstimatedVRAMMB: 5000})
	return s
}

func TestHomeSaysOneNextThing(t *testing.T) {
	paused := withModel(pc(), admin.StatusReady)
	paused.Stats.State = "paused"
	broken := withModel(pc(), admin.StatusReady)
	broken.Version.Engine, broken.Stats.EngineState = "", "missing"
	searching := withModel(pc(), admin.StatusReady)
	searching.Version.Engine, searching.Stats.EngineState, searching.Stats.UptimeSeconds = "", "searching", 60
	found := withModel(pc(), admin.StatusReady) // the version was asked for before the engine was found
	found.Version.Engine, found.Stats.EngineState, found.Stats.UptimeSeconds = "", "ready", 60
	busy := withModel(pc(), admin.StatusLoaded)
	busy.Stats.ActiveRequests = 1
	loadingJob := withModel(pc(), admin.StatusReady)
	loadingJob.Jobs = []Job{{Kind: JobLoad, ModelID: "m-ready"}}
	for name, c := range map[string]struct {
		snap   *Snapshot
		state  State
		action ActionKind
		id     string
	}{
		"before the first answer":  {&Snapshot{}, StateStarting, ActionNone, ""},
		"no model":                 {pc(), StateReady, ActionAdd, ""},
		"only part of a model":     {withModel(pc(), admin.StatusPartial), StateReady, ActionAdd, ""},
		"a model on disk":          {withModel(pc(), admin.StatusReady), StateReady, ActionLoad, "m-ready"},
		"a model in memory":        {withModel(withModel(pc(), admin.StatusReady), admin.StatusLoaded), StateReady, ActionChat, "m-loaded"},
		"being loaded":             {withModel(pc(), admin.StatusLoading), StateLoading, ActionNone, ""},
		"load asked for":           {loadingJob, StateLoading, ActionLoad, "m-ready"},
		"answering":                {busy, StateBusy, ActionChat, "m-loaded"},
		"paused":                   {paused, StatePaused, ActionResume, ""},
		"llama.cpp is missing":     {broken, StateWarning, ActionNone, ""},
		"llama.cpp is looked for":  {searching, StateStarting, ActionNone, ""},
		"llama.cpp was just found": {found, StateReady, ActionLoad, "m-ready"},
	} {
		h := NewHome(c.snap)
		if h.State != c.state || h.Action.Kind != c.action || h.Action.ModelID != c.id {
			t.Errorf("%s: state %q, action %q %q", name, h.State, h.Action.Kind, h.Action.ModelID)
		}
		if h.Headline.IsZero() || h.Sentence.IsZero() {
			t.Errorf("%s: nothing is said", name)
		}
		if (h.Action.Kind == ActionNone) != h.Action.Label.IsZero() {
			t.Errorf("%s: label %q for action %q", name, h.Action.Label.Key, h.Action.Kind)
		}
	}
}

func TestGaugesAddUp(t *testing.T) {
	s := withModel(pc(), admin.StatusLoaded)
	s.Stats.Hardware.GPUVRAMUsedMB = 7000
	h := NewHome(s)
	for _, g := range []Gauge{h.GPU, h.RAM} {
		var sum int64
		for _, seg := range g.Segments {
			if seg.Bytes < 0 {
				t.Errorf("%s: %s is %d", g.Title.Key, seg.Kind, seg.Bytes)
			}
			sum += seg.Bytes
		}
		if sum != g.Total || g.Total == 0 {
			t.Errorf("%s: segments sum up to %d of %d", g.Title.Key, sum, g.Total)
		}
	}
	if ours := h.GPU.Segments[1].Bytes; ours < 4990*mib || ours > 5010*mib {
		t.Errorf("the model takes %d, want its estimate", ours)
	}
}

// The node measures hardware with tools that may be wrong or absent: no figure may break a gauge.
func TestGaugesSurviveNonsense(t *testing.T) {
	s := withModel(pc(), admin.StatusLoaded)
	s.Stats.Hardware = admin.Hardware{GPUVRAMMB: 100, GPUVRAMUsedMB: 900, GPUInference: true, TotalRAMMB: 50, UsedRAMMB: -3}
	h := NewHome(s)
	for _, g := range []Gauge{h.GPU, h.RAM} {
		for _, seg := range g.Segments {
			if seg.Bytes < 0 || seg.Bytes > g.Total {
				t.Errorf("%s: %s is %d of %d", g.Title.Key, seg.Kind, seg.Bytes, g.Total)
			}
		}
	}
	if g := NewHome(&Snapshot{Known: true}).GPU; g.Total != 0 || g.Missing.IsZero() {
		t.Errorf("no card: %+v", g)
	}
}
