package admin

import (
	"context"
	"encoding/json"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Node is all that can be asked of a node, whether it runs in this process or another. Errors carry a core.Code. It is
// safe for concurrent use. Who needs less names the ports below.
type Node interface {
	Generator
	Library
	Memory
	Swarm
	Acquisition
	Chains
	Settings
	Control
}

// Generator answers prompts.
type Generator interface {
	// Generate calls emit for each piece of the reply, in order, from the calling goroutine, and returns the whole
	// reply. A model that is on this disk but not loaded is loaded first.
	Generate(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error)
	// Embed returns one L2-normalised vector per input; an input is a text or, if not nil, tokens.
	Embed(ctx context.Context, req *core.EmbedRequest) ([][]float32, core.Usage, error)
}

// Library is the models that this PC has or knows of.
type Library interface {
	// Resolve finds the model that a request means: by its id, or for "auto" the one that can answer best. The
	// error has code core.CodeNotFound, or core.CodeNotReady when there is no model at all.
	Resolve(name string) (core.ModelID, error)
	Models(ctx context.Context) ([]ModelInfo, error)
	Metadata(ctx context.Context, id core.ModelID) (Metadata, error)
	Progress(ctx context.Context, id core.ModelID) (ModelProgress, error)
	// Import cuts a local GGUF into shards; progress may be nil. windows 0 keeps the setting.
	Import(ctx context.Context, path string, windows int, progress func(core.Progress)) (ModelInfo, error)
	// Export writes the byte-identical original GGUF to path, which must not exist.
	Export(ctx context.Context, id core.ModelID, path string, progress func(core.Progress)) error
	LockShard(ctx context.Context, id core.ModelID, index int, locked bool) error
	DeleteModel(ctx context.Context, id core.ModelID) error
	DeleteShard(ctx context.Context, id core.ModelID, index int) error
	Rescan(ctx context.Context) (Rescanned, error)
	Storage(ctx context.Context) (ShardStorage, error)
}

// Memory is the models that are in the memory of this PC.
type Memory interface {
	Load(ctx context.Context, id core.ModelID) (ModelInfo, error)
	Unload(ctx context.Context, id core.ModelID) (ModelUnloaded, error)
	LoadShard(ctx context.Context, id core.ModelID, index int) (ShardLoaded, error)
	UnloadShard(ctx context.Context, id core.ModelID, index int) (ShardUnloaded, error)
}

// Swarm is the node among other nodes. A node without a network has no peers; NetworkCode and JoinNetwork give it one.
type Swarm interface {
	Peers(ctx context.Context) ([]PeerInfo, error)
	NetworkMap(ctx context.Context) (NetworkMap, error)
	// NetworkCode returns the newest invite that is still open, or a new one if there is none or fresh is set.
	NetworkCode(ctx context.Context, fresh bool) (NetworkCode, error)
	// JoinNetwork takes an invite code or the multiaddr of a peer. It returns when the peer has let this node in.
	JoinNetwork(ctx context.Context, code string) (Joined, error)
	Invites(ctx context.Context) ([]Invite, error)
	RevokeInvite(ctx context.Context, id string) error
	// Members lists who belongs to the swarm. PutOut makes one none, Delegate lets one put others out, and LeaveSwarm
	// forgets the swarm, so that this PC can join another.
	Members(ctx context.Context) ([]Member, error)
	PutOut(ctx context.Context, id core.PeerID) error
	Delegate(ctx context.Context, id core.PeerID) error
	LeaveSwarm(ctx context.Context) error
}

// Acquisition fetches models from other nodes.
type Acquisition interface {
	// AddModel fetches every shard of a model that is not here; DownloadShard fetches one. Both return at once.
	AddModel(ctx context.Context, id core.ModelID) (Acquiring, error)
	DownloadShard(ctx context.Context, id core.ModelID, index int) (ShardDownload, error)
	Downloads(ctx context.Context) ([]Download, error)
	CancelDownload(ctx context.Context, id core.ModelID) error
}

// Chains is how models run over several nodes.
type Chains interface {
	// Plan tells which chain a request for the model would get now, or why none.
	Plan(ctx context.Context, id core.ModelID) (PlanReport, error)
	EncryptedPipeline(ctx context.Context, id core.ModelID) (EncryptedPipeline, error)
	SetEncryptedPipeline(ctx context.Context, id core.ModelID, enabled bool) (EncryptedPipeline, error)
}

// Settings are what the user may change of the node.
type Settings interface {
	// Config returns the settings as the JSON object of GET /api/admin/config; SetConfig takes any subset of it.
	Config(ctx context.Context) (json.RawMessage, error)
	SetConfig(ctx context.Context, patch json.RawMessage) error
	// ReloadConfig reads the file again.
	ReloadConfig(ctx context.Context) (ConfigReloaded, error)
}

// Control is the node itself.
type Control interface {
	Stats(ctx context.Context) (Stats, error)
	Version(ctx context.Context) (Version, error)
	APIKey() string
	// Ready tells per subsystem whether the node can serve; the keys are "api", "store", "runtime", "models".
	Ready(ctx context.Context) (bool, map[string]string)
	// Pause unloads everything and refuses new requests (core.CodeNotReady) until Resume.
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
	// Shutdown starts a graceful stop and returns at once.
	Shutdown(ctx context.Context) error
	// Subscribe returns the events after the one with id since (0: the replay ring), until ctx ends. A slow reader
	// loses the oldest events, and is told how many.
	Subscribe(ctx context.Context, since uint64) <-chan core.Event
}
