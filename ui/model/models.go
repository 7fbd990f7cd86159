package model

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/admin"
)

// Fit says whether a model fits this PC.
type Fit string

// The fits, best first.
const (
	FitRuns    Fit = "Runs here"
	FitFriends Fit = "Runs with friends"
	FitSlow    Fit = "Slow (uses RAM)"
	FitTooBig  Fit = "Too big"
	FitNotNow  Fit = "Cannot run now" // parts of it are missing
)

// smallOnCPU is the size, in MiB, up to which a model is quick enough on a processor not to be called slow.
const smallOnCPU = 2048

// ModelRow is one line of the Models page.
type ModelRow struct {
	ID        string
	Name      string
	Details   []string // what it is: architecture and quantization, or the folder of a file being imported
	Facts     []Text   // the same for facts that need words
	Size      string
	Handle    string // what programs call it, where that differs from its name
	Fit       Fit
	FitReason Text
	Status    Text
	State     State // colour and shape of the status dot
	Busy      bool  // a job runs: no buttons but Dismiss
	Bar       *Bar
	Problem   *Problem
	CanLoad   bool
	CanUnload bool
	CanDelete bool
	CanChat   bool
	CanGet    bool // friends have what this PC lacks
	CanCancel bool // it is being fetched
	Way       Text // how it would run now, or why it cannot
	Speed     Text // expected then
	// CanDismiss tells that Problem is of a job of this screen, which the user may put away.
	CanDismiss bool
}

// Bar is a progress bar. Fraction is 0 to 1, or negative where the end is not known.
type Bar struct {
	Fraction float64
	Text     string // "1.2 GB of 4.1 GB", "180 MB/s"
	From     Text   // who sends it
	Left     Text
}

// NewModelRows makes the Models page: running imports first, then the models.
func NewModelRows(s *Snapshot) []ModelRow {
	rows := make([]ModelRow, 0, len(s.Models)+len(s.Jobs))
	for i := range s.Jobs {
		if j := &s.Jobs[i]; j.Kind == JobImport && !hasModel(s, j.ModelID) {
			rows = append(rows, importRow(j))
		}
	}
	for _, m := range s.Models {
		rows = append(rows, NewModelRow(s, m))
	}
	return rows
}

// NewModelRow makes the row of one model.
func NewModelRow(s *Snapshot, m admin.ModelInfo) ModelRow {
	row := ModelRow{
		ID: m.ID, Name: ModelName(m), Details: details(m), Facts: facts(m), Size: Bytes(m.TotalSizeBytes),
		CanLoad:   m.Status == admin.StatusReady,
		CanUnload: m.Status == admin.StatusLoaded,
		CanDelete: m.Local && m.Status != admin.StatusLoading,
		CanChat:   m.Status == admin.StatusLoaded,
	}
	if id := Line(m.ID, 48); id != row.Name {
		row.Handle = id
	}
	row.Fit, row.FitReason = fitOf(s, m)
	row.Status, row.State = statusOf(m)
	row.applySwarm(s, m)
	if m.LastError != "" && m.Status != admin.StatusLoaded {
		row.Problem = &Problem{Title: T("It could not be loaded."), Details: Line(m.LastError, 400)}
	}
	if j := s.JobFor(m.ID); j != nil {
		row.apply(j)
	}
	if s.Stats.State == "paused" {
		row.CanLoad, row.CanChat = false, false
	}
	return row
}

// applySwarm shows what friends have to do with a model.
func (row *ModelRow) applySwarm(s *Snapshot, m admin.ModelInfo) {
	row.Way, row.Speed = wayOf(s, m), speedOf(s, m.ID)
	friends := len(s.Together(m.ID)) > 0
	switch {
	case friends:
		row.Fit, row.CanChat = FitFriends, true
	case !whole(m) && !row.Way.IsZero():
		row.Fit = FitNotNow
	}
	if m.Status == admin.StatusAvailable && m.PeersHosting > 0 {
		row.Status = T("On friends' PCs")
	}
	row.CanGet = !whole(m) && m.GlobalAvailable && m.PeersHosting > 0
	if d := s.DownloadFor(m.ID); d != nil {
		row.applyDownload(s, d)
	}
}

// apply shows what a job does on the row of its model.
func (row *ModelRow) apply(j *Job) {
	if j.Problem != nil {
		row.Problem, row.CanDismiss = j.Problem, true
		return
	}
	row.Busy = true
	row.CanLoad, row.CanUnload, row.CanDelete, row.CanChat = false, false, false, false
	row.CanGet, row.CanCancel = false, false
	row.State, row.Bar = StateLoading, barOf(j)
	switch j.Kind {
	case JobImport:
		row.Status = T("Importing")
	case JobLoad:
		row.Status = T("Loading")
	case JobUnload:
		row.Status = T("Unloading")
	case JobDelete:
		row.Status = T("Deleting")
	case JobGet:
		row.Status = T("Asking friends for it")
	case JobCancel:
		row.Status = T("Stopping the download")
	}
}

// barOf is the bar of a running job; work whose length is not known has none, the moving status dot says enough.
func barOf(j *Job) *Bar {
	if j.Kind != JobImport {
		return &Bar{Fraction: -1}
	}
	bar := &Bar{Fraction: -1, Left: Remaining(j.Rate.Left())}
	if j.Progress.Total > 0 {
		bar.Fraction = min(1, float64(j.Progress.Done)/float64(j.Progress.Total))
		bar.Text = Bytes(j.Progress.Done) + " / " + Bytes(j.Progress.Total)
	}
	if speed := j.Rate.BytesPerSecond(); speed > 0 {
		bar.Text += " · " + Bytes(int64(speed)) + "/s"
	}
	return bar
}

func importRow(j *Job) ModelRow {
	row := ModelRow{ID: j.ModelID, Name: Line(filepath.Base(j.Path), 64), Details: []string{Line(filepath.Dir(j.Path), 80)}}
	if j.Progress.Total > 0 {
		row.Size = Bytes(j.Progress.Total)
	}
	row.Status, row.State = T("Not imported"), StateWarning
	row.apply(j)
	return row
}

func hasModel(s *Snapshot, id string) bool {
	for _, m := range s.Models {
		if m.ID == id {
			return true
		}
	}
	return false
}

func details(m admin.ModelInfo) []string {
	var d []string
	for _, word := range []string{m.Architecture, m.Quantization} {
		if word = Line(word, 24); word != "" {
			d = append(d, word)
		}
	}
	return d
}

func facts(m admin.ModelInfo) []Text {
	var f []Text
	if m.ContextLength > 0 {
		f = append(f, T("{{.N}} tokens of context", "N", Count(int64(m.ContextLength))))
	}
	if m.Windows > 1 {
		f = append(f, T("in {{.N}} parts", "N", strconv.Itoa(m.Windows)))
	}
	return f
}

func fitOf(s *Snapshot, m admin.ModelInfo) (Fit, Text) {
	hw := s.Stats.Hardware
	freeVRAM, freeRAM := hw.GPUVRAMMB-hw.GPUVRAMUsedMB, hw.TotalRAMMB-hw.UsedRAMMB
	reason := T("Needs about {{.Need}}; {{.VRAM}} of graphics memory and {{.RAM}} of memory are free.",
		"Need", MiB(m.EstimatedVRAMMB), "VRAM", MiB(freeVRAM), "RAM", MiB(freeRAM))
	if hw.GPUVRAMMB == 0 {
		reason = T("Needs about {{.Need}}; {{.RAM}} of memory is free.", "Need", MiB(m.EstimatedVRAMMB), "RAM", MiB(freeRAM))
	}
	switch {
	case m.Status == admin.StatusLoaded && m.CPUPlacementReason != "" && hw.GPUVRAMMB > 0:
		return FitSlow, T("Part of it runs on the processor: {{.Why}}", "Why", Line(m.CPUPlacementReason, 120))
	case m.Status == admin.StatusLoaded:
		return FitRuns, reason
	case !m.Fits:
		return FitTooBig, reason
	case m.EstimatedVRAMMB <= smallOnCPU, hw.GPUInference && m.EstimatedVRAMMB <= freeVRAM:
		return FitRuns, reason
	}
	return FitSlow, reason
}

func statusOf(m admin.ModelInfo) (Text, State) {
	switch m.Status {
	case admin.StatusLoaded:
		return T("In memory"), StateReady
	case admin.StatusReady:
		return T("On disk"), StatePaused
	case admin.StatusPartial:
		return T("{{.N}} of {{.All}} parts here", "N", strconv.Itoa(m.HostedShards), "All", strconv.Itoa(m.ShardCount)), StateWarning
	case admin.StatusLoading:
		return T("Loading"), StateLoading
	case admin.StatusDownloading:
		return T("Downloading"), StateLoading
	}
	return T("Not on this PC"), StatePaused
}

// GGUFPath reads what the user typed, pasted or dropped as the path of a model file: quotes and a file:// in front
// go, and only names that end in .gguf are taken.
func GGUFPath(s string) (path string, ok bool) {
	s = strings.Trim(strings.TrimSpace(s), `"'`)
	s = strings.TrimPrefix(s, "file://")
	return s, strings.HasSuffix(strings.ToLower(s), ".gguf")
}
