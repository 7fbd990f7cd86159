package model

import (
	"errors"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestModelRowButtonsFollowStatus(t *testing.T) {
	for status, want := range map[string][4]bool{ // load, unload, delete, chat
		admin.StatusLoaded:      {false, true, true, true},
		admin.StatusReady:       {true, false, true, false},
		admin.StatusLoading:     {false, false, false, false},
		admin.StatusPartial:     {false, false, true, false},
		admin.StatusDownloading: {false, false, true, false},
	} {
		s := withModel(pc(), status)
		r := NewModelRow(s, s.Models[0])
		if got := [4]bool{r.CanLoad, r.CanUnload, r.CanDelete, r.CanChat}; got != want {
			t.Errorf("%s: load, unload, delete, chat are %v, want %v", status, got, want)
		}
	}
}

func TestNothingCanBeLoadedWhilePaused(t *testing.T) {
	s := withModel(pc(), admin.StatusReady)
	s.Stats.State = "paused"
	if NewModelRow(s, s.Models[0]).CanLoad {
		t.Error("a paused node offers to load")
	}
	if s = shared(admin.StatusAvailable); !NewModelRow(s, s.Models[0]).CanChat {
		t.Error("a model that friends run cannot be chatted with")
	}
	s.Stats.State = "paused"
	if NewModelRow(s, s.Models[0]).CanChat {
		t.Error("a paused node offers to chat with a model that friends run")
	}
}

func TestFit(t *testing.T) {
	s := pc()
	for name, c := range map[string]struct {
		m    admin.ModelInfo
		want Fit
	}{
		"fits the card":         {admin.ModelInfo{Status: admin.StatusReady, Fits: true, EstimatedVRAMMB: 9000}, FitRuns},
		"fits the memory only":  {admin.ModelInfo{Status: admin.StatusReady, Fits: true, EstimatedVRAMMB: 11000}, FitSlow},
		"small":                 {admin.ModelInfo{Status: admin.StatusReady, Fits: true, EstimatedVRAMMB: 3}, FitRuns},
		"does not fit":          {admin.ModelInfo{Status: admin.StatusReady, EstimatedVRAMMB: 90000}, FitTooBig},
		"runs":                  {admin.ModelInfo{Status: admin.StatusLoaded, EstimatedVRAMMB: 90000}, FitRuns},
		"runs on the processor": {admin.ModelInfo{Status: admin.StatusLoaded, CPUPlacementReason: "no room"}, FitSlow},
	} {
		row := NewModelRow(s, c.m)
		if row.Fit != c.want || row.FitReason.IsZero() {
			t.Errorf("%s: %q because %q, want %q", name, row.Fit, row.FitReason.Key, c.want)
		}
	}
}

func TestImportHasItsRowAtTheTop(t *testing.T) {
	s := withModel(pc(), admin.StatusReady)
	s.Jobs = []Job{{Kind: JobImport, ModelID: "new", Path: "/data/New.gguf", Progress: core.Progress{Done: 3 << 30, Total: 4 << 30}}}
	rows := NewModelRows(s)
	if len(rows) != 2 || rows[0].Name != "New.gguf" || !rows[0].Busy || rows[0].Bar == nil || rows[0].Bar.Fraction != 0.75 {
		t.Fatalf("rows %+v", rows)
	}
	problem := ProblemOf(errors.New("short read"))
	s.Jobs[0].Problem = &problem
	rows = NewModelRows(s)
	if rows[0].Busy || rows[0].Problem == nil || !rows[0].CanDismiss || rows[0].CanLoad {
		t.Fatalf("a failed import is shown as %+v", rows[0])
	}
}

func TestRowShowsNamesSafely(t *testing.T) {
	s := pc()
	s.Models = []admin.ModelInfo{{ID: "x", Name: "evil\u202E\n" + strings.Repeat("W", 500), Architecture: "a\x07", Status: admin.StatusReady, LastError: "boom\x1b[2J"}}
	r := NewModelRows(s)[0]
	for _, text := range append([]string{r.Name, r.Problem.Details}, r.Details...) {
		if Clean(text) != text || strings.Contains(text, "\n") || len(text) > 500 {
			t.Errorf("shows %q", text)
		}
	}
}

func TestGGUFPath(t *testing.T) {
	for in, want := range map[string]string{
		`/a/b.gguf`: "/a/b.gguf", `  "C:\m\x.GGUF" `: `C:\m\x.GGUF`, "file:///a/b.gguf": "/a/b.gguf", "'/a b/c.gguf'": "/a b/c.gguf",
		"/a/b.bin": "", "": "", "gguf": "",
	} {
		path, ok := GGUFPath(in)
		if ok != (want != "") || ok && path != want {
			t.Errorf("GGUFPath(%q) = %q, %v", in, path, ok)
		}
	}
}
