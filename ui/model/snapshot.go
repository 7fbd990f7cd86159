package model

import (
	"slices"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Snapshot is what the node reported last. Everything on the pages is made from one Snapshot, so that they never
// disagree.
type Snapshot struct {
	Known   bool // false until the node has answered once
	Stats   admin.Stats
	Version admin.Version
	Models  []admin.ModelInfo
	Jobs    []Job // long work that this screen started

	Peers     []admin.PeerInfo
	Invites   []admin.Invite
	Downloads []admin.Download
	Plans     map[string]admin.PlanReport // by model id, where others may take part
}

// JobKind is what a Job does.
type JobKind string

// The kinds of Job.
const (
	JobImport JobKind = "import"
	JobLoad   JobKind = "load"
	JobUnload JobKind = "unload"
	JobDelete JobKind = "delete"
	JobGet    JobKind = "get"    // asks friends for a model; the fetching itself is a admin.Download
	JobCancel JobKind = "cancel" // ends the fetching
)

// Job is long work that this screen started: one per model or file at a time.
type Job struct {
	Kind     JobKind
	ModelID  string // of the model it is about; for an import the id the file will get
	Path     string // of an import
	Progress core.Progress
	Rate     Rate
	Problem  *Problem // set when it failed; the row stays until the user puts it away
}

// JobFor is the job about model id, or nil.
func (s *Snapshot) JobFor(id string) *Job {
	for i := range s.Jobs {
		if s.Jobs[i].ModelID == id {
			return &s.Jobs[i]
		}
	}
	return nil
}

// Usable lists the models that can answer: loaded ones first, then those that would have to be loaded, then those that
// only run together with friends.
func (s *Snapshot) Usable() []admin.ModelInfo {
	var usable []admin.ModelInfo
	for _, m := range s.Models {
		if whole(m) || len(s.Together(m.ID)) > 0 {
			usable = append(usable, m)
		}
	}
	slices.SortStableFunc(usable, func(a, b admin.ModelInfo) int { return loadOrder(a) - loadOrder(b) })
	return usable
}

func loadOrder(m admin.ModelInfo) int {
	switch m.Status {
	case admin.StatusLoaded:
		return 0
	case admin.StatusLoading:
		return 1
	case admin.StatusReady:
		return 2
	}
	return 3
}

// ModelName is the name a model is shown by: its own, or its id where it has none.
func ModelName(m admin.ModelInfo) string {
	if name := Line(m.Name, 64); name != "" {
		return name
	}
	return Line(m.ID, 64)
}
