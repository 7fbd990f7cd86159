package api

import (
	"context"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Node is what the API serves; daemon.Node implements it. Errors carry a core.Code.
type Node interface {
	Generator
	Library
	Swarm
	Control
}

// Generator answers prompts.
type Generator interface {
	// Generate calls emit for each piece of the reply, in order, from the calling goroutine, and returns the whole
	// reply. A model that is on this disk but not loaded is loaded first.
	Generate(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error)
	// Embed returns one L2-normalised vector per input; an input is a text or, if not nil, tokens.
	Embed(ctx context.Context, model string, inputs []EmbedInput) ([][]float32, core.Usage, error)
}

// EmbedInput is one text of an embeddings request.
type EmbedInput = core.EmbedInput

// Library is the models that this PC has or knows of.
type Library interface {
	// Resolve finds the model that a request means: by its id, or for "auto" the one that can answer best. The
	// error has code core.CodeNotFound, or core.CodeNotReady when there is no model at all.
	Resolve(name string) (core.ModelID, error)
	Models(ctx context.Context) []admin.ModelInfo
	Metadata(ctx context.Context, id core.ModelID) (admin.Metadata, error)
	Progress(ctx context.Context, id core.ModelID) (admin.ModelProgress, error)
	// Import cuts a local GGUF into shards; progress may be nil. windows 0 keeps the setting.
	Import(ctx context.Context, path string, windows int, progress func(core.Progress)) (admin.ModelInfo, error)
	Load(ctx context.Context, id core.ModelID) (admin.ModelInfo, error)
	Unload(ctx context.Context, id core.ModelID) (admin.ModelUnloaded, error)
	LoadShard(ctx context.Context, id core.ModelID, index int) (admin.ShardLoaded, error)
	UnloadShard(ctx context.Context, id core.ModelID, index int) (admin.ShardUnloaded, error)
	LockShard(ctx context.Context, id core.ModelID, index int, locked bool) error
	DeleteModel(ctx context.Context, id core.ModelID) error
	DeleteShard(ctx context.Context, id core.ModelID, index int) error
	Rescan(ctx context.Context) (admin.Rescanned, error)
	Storage(ctx context.Context) admin.ShardStorage
	// Export writes the byte-identical original GGUF to path, which must not exist.
	Export(ctx context.Context, id core.ModelID, path string, progress func(core.Progress)) error
}

// Swarm is the node among other nodes. A node without a network has no peers; NetworkCode and JoinNetwork give it one.
type Swarm interface {
	Peers(ctx context.Context) []admin.PeerInfo
	NetworkMap(ctx context.Context) admin.NetworkMap
	// NetworkCode returns the newest invite that is still open, or a new one if there is none or fresh is set.
	NetworkCode(ctx context.Context, fresh bool) (admin.NetworkCode, error)
	// JoinNetwork takes an invite code or the multiaddr of a peer. It returns when the peer has let this node in.
	JoinNetwork(ctx context.Context, code string) (admin.Joined, error)
	Invites(ctx context.Context) ([]admin.Invite, error)
	RevokeInvite(ctx context.Context, id string) error
	// Members lists who belongs to the swarm. PutOut makes one none, Delegate lets one put others out, and LeaveSwarm
	// forgets the swarm, so that this PC can join another.
	Members(ctx context.Context) []admin.Member
	PutOut(ctx context.Context, id core.PeerID) error
	Delegate(ctx context.Context, id core.PeerID) error
	LeaveSwarm(ctx context.Context) error
	// AddModel fetches every shard of a model that is not here; DownloadShard fetches one. Both return at once.
	AddModel(ctx context.Context, id core.ModelID) (admin.Acquiring, error)
	DownloadShard(ctx context.Context, id core.ModelID, index int) (admin.ShardDownload, error)
	Downloads(ctx context.Context) []admin.Download
	CancelDownload(ctx context.Context, id core.ModelID) error
	EncryptedPipeline(ctx context.Context, id core.ModelID) (admin.EncryptedPipeline, error)
	SetEncryptedPipeline(ctx context.Context, id core.ModelID, enabled bool) (admin.EncryptedPipeline, error)
	// Plan tells which chain a request for the model would get now, or why none.
	Plan(ctx context.Context, id core.ModelID) (admin.PlanReport, error)
}

// Control is the node itself.
type Control interface {
	Stats(ctx context.Context) admin.Stats
	Version(ctx context.Context) admin.Version
	APIKey() string
	// Ready tells per subsystem whether the node can serve; the keys are "api", "store", "runtime", "models".
	Ready(ctx context.Context) (bool, map[string]string)
	// Config returns the settings as the JSON of GET /api/admin/config; SetConfig takes any subset of it.
	Config(ctx context.Context) any
	SetConfig(ctx context.Context, patch []byte) error
	// ReloadConfig reads the file again. It returns the names of the settings that changed: those applied and
	// those that need a restart.
	ReloadConfig(ctx context.Context) (applied, restart []string, err error)
	// Pause unloads everything and refuses new requests (core.CodeNotReady) until Resume.
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
	// Shutdown starts a graceful stop and returns at once.
	Shutdown()
	// Subscribe returns the events after the one with id since (0: the replay ring), until ctx ends. A slow reader
	// loses the oldest events.
	Subscribe(ctx context.Context, since uint64) <-chan core.Event
}
