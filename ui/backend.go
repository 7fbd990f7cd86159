// Package ui is the screen of Shoal. It draws what a Backend reports and asks the Backend to act; it does not know
// whether the node runs in this process or elsewhere, nor that there is a network.
//
// The parts: model decides what is shown (plain values, no Fyne), widget draws it, page puts widgets together and
// connects them to the Backend, theme says how everything looks.
package ui

import (
	"context"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Backend is the node as the screen sees it. Every method may be called from any goroutine and may block; errors
// carry a core.Code. The screen never calls it from the goroutine that draws.
type Backend interface {
	Swarm
	// Stats is the node's state and the use of its hardware.
	Stats(ctx context.Context) (admin.Stats, error)
	// Version tells the program's and the engine's version.
	Version(ctx context.Context) (admin.Version, error)
	// Models lists the models this node knows.
	Models(ctx context.Context) ([]admin.ModelInfo, error)
	// Import cuts a GGUF file into shards. progress is called from the importing goroutine and may be nil.
	Import(ctx context.Context, path string, progress func(core.Progress)) (admin.ModelInfo, error)
	// Load puts a model into memory; it returns when the model can answer.
	Load(ctx context.Context, id core.ModelID) error
	// Unload takes a model out of memory; its files stay.
	Unload(ctx context.Context, id core.ModelID) error
	// Delete removes a model's files.
	Delete(ctx context.Context, id core.ModelID) error
	// Generate answers a conversation. emit is called for each piece, in order, from the calling goroutine. A model
	// that is on this disk but not in memory is loaded first.
	Generate(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error)
	// Access is how other programs reach the node.
	Access(ctx context.Context) (Access, error)
	// Settings are what the user may change on the screen; SetSettings stores and applies all of them.
	Settings(ctx context.Context) (Settings, error)
	SetSettings(ctx context.Context, s Settings) error
	// Pause frees the memory of every model and refuses work until Resume.
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
	// Subscribe returns the node's events until ctx ends.
	Subscribe(ctx context.Context) <-chan core.Event
}

// Swarm is the PCs of friends, as the screen sees them.
type Swarm interface {
	// Peers lists the other PCs of the swarm; there are none before a swarm is made or joined.
	Peers(ctx context.Context) ([]admin.PeerInfo, error)
	// NewInvite makes a code that lets one PC in; the first one makes a swarm.
	NewInvite(ctx context.Context) (admin.NetworkCode, error)
	// Join takes a code. It returns when the friend's PC has let this one in.
	Join(ctx context.Context, code string) (admin.Joined, error)
	// Invites lists the codes made here, newest first, with who joined; RevokeInvite takes an unused one back.
	Invites(ctx context.Context) ([]admin.Invite, error)
	RevokeInvite(ctx context.Context, id string) error
	// AddModel has the parts of a model that are not here fetched from friends; it returns at once.
	AddModel(ctx context.Context, id core.ModelID) error
	// Downloads lists what is fetched; CancelDownload ends the fetching of a model.
	Downloads(ctx context.Context) ([]admin.Download, error)
	CancelDownload(ctx context.Context, id core.ModelID) error
	// Plan tells how a model would run now, or why it cannot.
	Plan(ctx context.Context, id core.ModelID) (admin.PlanReport, error)
}

// Access is the address and the key of the local API.
type Access struct {
	Address string // base URL of the OpenAI-compatible API, for example "http://127.0.0.1:8800/v1"
	Key     string
}

// Settings are the node's settings that the screen offers. They apply to models loaded from then on.
type Settings struct {
	Contribution string // how much of this PC models may use: "minimal", "moderate" or "maximum"
	ContextSize  int    // tokens of context, all requests of a model together; 0 chooses by model and memory
	IdleUnload   int    // seconds without use after which a model leaves memory; 0 keeps it
}

// The levels of Settings.Contribution.
const (
	ContributionMinimal  = "minimal"
	ContributionModerate = "moderate"
	ContributionMaximum  = "maximum"
)
