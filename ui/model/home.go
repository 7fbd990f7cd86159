package model

import (
	"strconv"

	"github.com/shoal-p2p/shoal/daemon/admin"
)

// State is the node's state in one word; each has its own shape and colour on the screen and in the tray.
type State string

// The states of the node.
const (
	StateStarting State = "Starting"
	StateReady    State = "Ready"
	StateBusy     State = "Answering"
	StateLoading  State = "Loading"
	StatePaused   State = "Paused"
	StateWarning  State = "Needs attention"
)

// ActionKind is what the big button on Home does.
type ActionKind string

// The actions of Home.
const (
	ActionNone   ActionKind = ""
	ActionAdd    ActionKind = "add"
	ActionLoad   ActionKind = "load"
	ActionChat   ActionKind = "chat"
	ActionResume ActionKind = "resume"
)

// Action is the one thing to do next.
type Action struct {
	Kind    ActionKind
	Label   Text
	ModelID string
}

// Home is the Home page.
type Home struct {
	State    State
	Headline Text
	Sentence Text
	Action   Action
	GPU      Gauge
	RAM      Gauge
	Disk     Text
	Loaded   []ModelRow
	Tiles    []Tile
}

// Tile is one figure with its label.
type Tile struct {
	Value string
	Label Text
}

// NewHome makes the Home page from what the node reported.
func NewHome(s *Snapshot) Home {
	h := Home{State: StateOf(s)}
	h.Headline, h.Sentence, h.Action = nextStep(s, h.State)
	h.GPU, h.RAM, h.Disk = gpuGauge(s), ramGauge(s), diskLeft(s)
	for _, m := range s.Models {
		if m.Status == admin.StatusLoaded || m.Status == admin.StatusLoading {
			h.Loaded = append(h.Loaded, NewModelRow(s, m))
		}
	}
	h.Tiles = tiles(s)
	return h
}

// What the node says about its engine in admin.Stats.EngineState. A node of an older version says nothing.
const (
	engineSearching = "searching"
	engineMissing   = "missing"
)

// StateOf is the node's state in one word.
func StateOf(s *Snapshot) State {
	switch {
	case !s.Known:
		return StateStarting
	case s.Stats.State == "paused":
		return StatePaused
	case s.Stats.EngineState == engineMissing:
		return StateWarning
	case s.Stats.EngineState == engineSearching:
		return StateStarting
	case s.Stats.ActiveRequests > 0:
		return StateBusy
	}
	for _, m := range s.Models {
		if m.Status == admin.StatusLoading {
			return StateLoading
		}
	}
	for _, j := range s.Jobs {
		if j.Kind == JobLoad && j.Problem == nil {
			return StateLoading
		}
	}
	return StateReady
}

// nextStep says where things stand and what to do next.
func nextStep(s *Snapshot, state State) (headline, sentence Text, action Action) {
	usable := s.Usable()
	switch {
	case state == StateStarting:
		return T("Starting…"), T("Looking at this PC and its models."), Action{}
	case state == StatePaused:
		return T("Paused"), T("This PC is all yours. Models stay out of memory until you resume."),
			Action{Kind: ActionResume, Label: T("Resume")}
	case state == StateWarning:
		return T("Models cannot run yet"), T("The llama.cpp libraries are missing or do not fit. `shoald doctor` says what to do."), Action{}
	case len(usable) == 0:
		return T("Welcome to Shoal"), T("Add a model file (GGUF) and chat with it here, on this PC, without the internet."),
			Action{Kind: ActionAdd, Label: T("Add a model")}
	}
	first := usable[0]
	name := ModelName(first)
	switch first.Status {
	case admin.StatusLoaded:
		return T("{{.Model}} is ready", "Model", name), Privacy(s, first.ID), Action{Kind: ActionChat, Label: T("Open chat"), ModelID: first.ID}
	case admin.StatusLoading:
		return T("Loading {{.Model}}…", "Model", name), T("It answers as soon as it is in memory."), Action{}
	case admin.StatusReady:
	default: // friends have the rest of it
		return T("{{.Model}} is ready", "Model", name), Privacy(s, first.ID), Action{Kind: ActionChat, Label: T("Open chat"), ModelID: first.ID}
	}
	return T("Ready when you are"), T("No model is in memory. {{.Model}} is on this disk.", "Model", name),
		Action{Kind: ActionLoad, Label: T("Load {{.Model}}", "Model", Line(name, 32)), ModelID: first.ID}
}

// Privacy says who could read what is written to a model.
func Privacy(s *Snapshot, id string) Text {
	if friends := s.Together(id); len(friends) > 0 {
		return T("Runs with {{.Names}}, whose PCs could reconstruct what you write.", "Names", Line(s.Names(friends), 48))
	}
	return T("Ask it anything. What you write stays on this PC.")
}

func tiles(s *Snapshot) []Tile {
	inf := s.Stats.Inference
	speed := "–"
	if inf.TokensPerSecond > 0 {
		speed = Speed(inf.TokensPerSecond)
	}
	return []Tile{
		{Value: speed, Label: T("last answer")},
		{Value: Count(s.Stats.RequestsServed), Label: T("answers given")},
		{Value: Count(inf.TokensGenerated), Label: T("tokens written")},
		{Value: strconv.Itoa(len(s.Usable())), Label: T("models on this PC")},
	}
}
