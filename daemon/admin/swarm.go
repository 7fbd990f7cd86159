package admin

import (
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// NetworkCode is the answer of GET /api/admin/network-code: an invite and how this node stands in its swarm.
type NetworkCode struct {
	Code      string    `json:"code"` // "swarm://…"; lets one PC in, so it is to be treated like a password
	NodeID    string    `json:"node_id"`
	Phase     string    `json:"phase"` // "seedling" while no peer is connected, else "established"
	PeerCount int       `json:"peer_count"`
	InviteID  string    `json:"invite_id"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Joined is the answer of POST /api/admin/join-network.
type Joined struct {
	Status  string `json:"status"` // "ok"
	PeerID  string `json:"peer_id"`
	Address string `json:"address"`
	Message string `json:"message"`
}

// The states of an invite.
const (
	InviteOpen    = "open"
	InviteUsed    = "used"
	InviteExpired = "expired"
	InviteRevoked = "revoked"
)

// Invite is one entry of GET /api/admin/invites. The code itself is not kept.
type Invite struct {
	ID        string     `json:"id"`
	State     string     `json:"state"` // a state of an invite
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	UsedBy    string     `json:"used_by"` // the peer that joined with it, or ""
	UsedAt    *time.Time `json:"used_at"`
	Nickname  string     `json:"nickname"` // of the peer that joined
}

// NetworkMap is the answer of GET /api/admin/network-map, by country code; "??" is where nobody knows.
type NetworkMap struct {
	Regions map[string]Region `json:"regions"`
}

// Region is the peers of one country, this node included where it belongs. The maps have model ids as keys.
type Region struct {
	Total             int            `json:"total"`
	Models            map[string]int `json:"models"`             // peers that hold shards of it
	Demand            map[string]int `json:"demand"`             // requests in the last ten minutes
	CoverageGaps      []string       `json:"coverage_gaps"`      // models that nobody in the region holds
	ReplicationTarget map[string]int `json:"replication_target"` // how many peers should hold it
}

// Acquiring is the answer of POST /api/admin/models/{id}/add.
type Acquiring struct {
	Status  string `json:"status"` // "acquiring", or "already_local"
	ModelID string `json:"model_id"`
}

// ShardDownload is the answer of POST /api/admin/models/{id}/shards/{index}/download.
type ShardDownload struct {
	Status     string `json:"status"` // "already_local", "downloading" or "use_hf"
	ModelID    string `json:"model_id"`
	ShardIndex int    `json:"shard_index"`
	Source     string `json:"source,omitempty"` // "p2p" or "huggingface"
	Peer       string `json:"peer,omitempty"`   // the nearest that has it
	RepoID     string `json:"repo_id,omitempty"`
	Filename   string `json:"filename,omitempty"`
}

// Download is one entry of GET /api/admin/downloads: the shards of one model that are being fetched.
type Download struct {
	ModelID          string          `json:"model_id"`
	State            string          `json:"state"` // a download state
	Source           string          `json:"source"`
	DownloadedBytes  int64           `json:"downloaded_bytes"`
	TotalBytes       int64           `json:"total_bytes"`
	SpeedBytesPerSec int64           `json:"speed_bytes_per_sec"`
	Shards           []ShardProgress `json:"shards"`
	Error            string          `json:"error,omitempty"`
}

// ShardProgress is one shard of a Download.
type ShardProgress struct {
	Index            int      `json:"index"`
	State            string   `json:"state"` // a download state
	DownloadedBytes  int64    `json:"downloaded_bytes"`
	TotalBytes       int64    `json:"total_bytes"`
	SpeedBytesPerSec int64    `json:"speed_bytes_per_sec"`
	Source           string   `json:"source"` // "p2p" or "huggingface"
	Peers            []string `json:"peers"`  // who it comes from
}

// EncryptedPipeline is the answer of GET and PUT /api/admin/models/{id}/encrypted-pipeline.
type EncryptedPipeline struct {
	Status        string `json:"status"` // "enabled" or "disabled"
	ModelID       string `json:"model_id"`
	Enabled       bool   `json:"enabled"`
	Ready         bool   `json:"ready"` // this node holds the first and the last shard
	HasFirstShard bool   `json:"has_first_shard"`
	HasLastShard  bool   `json:"has_last_shard"`
	Setting       string `json:"setting"` // "model" when the model has its own, else "global"
	OverheadNote  string `json:"overhead_note"`
	Warning       string `json:"warning,omitempty"`
}

// PlanReport is the answer of GET /api/admin/plan/{model_id}: the chain that a request would get, and why.
type PlanReport struct {
	ModelID      string            `json:"model_id"`
	Possible     bool              `json:"possible"`
	Route        string            `json:"route"`
	Text         string            `json:"text"` // the choice, or the refusal, in words
	Code         core.Code         `json:"code"` // of the error that a request would get, or ""
	Encrypted    bool              `json:"encrypted"`
	Segments     []PlanSegment     `json:"segments"`
	Forecast     PlanForecast      `json:"forecast"`
	Alternatives []PlanAlternative `json:"alternatives"`
	Reasons      []PlanReason      `json:"reasons"`         // why peers are not used or layers have nobody
	Draft        *PlanDraft        `json:"draft,omitempty"` // the model that guesses ahead over a chain; nil if none is set
}

// PlanDraft is the model that guesses ahead for another, as the settings name it.
type PlanDraft struct {
	ModelID string `json:"model_id"`
	Usable  bool   `json:"usable"`  // it guesses where that makes replies faster
	Text    string `json:"text"`    // why it is not usable, or what it did
	Guessed int64  `json:"guessed"` // tokens, over the chain that is up
	Right   int64  `json:"right"`   // of which so many were
}

// PlanSegment is a run of whole shards on one node.
type PlanSegment struct {
	NodeID     string   `json:"node_id"`
	Nickname   string   `json:"nickname"`
	Local      bool     `json:"local"`
	FirstShard int      `json:"first_shard"`
	EndShard   int      `json:"end_shard"` // not in it
	LayerStart int      `json:"layer_start"`
	LayerEnd   int      `json:"layer_end"` // not in it
	Loaded     bool     `json:"loaded"`
	Measured   bool     `json:"measured"`   // its speed is measured, not guessed
	ComputeMS  float64  `json:"compute_ms"` // per decoded token
	LatencyMS  float64  `json:"latency_ms"` // from the segment before it, one way
	Standbys   []string `json:"standbys"`
	// TakesOver is the whole chain that is kept ready for the loss of the node, while a chain is in use; empty where
	// there is none.
	TakesOver []PlanStandby `json:"takes_over"`
}

// PlanStandby is a stage of a chain that is kept ready.
type PlanStandby struct {
	NodeID     string `json:"node_id"`
	FirstShard int    `json:"first_shard"`
	EndShard   int    `json:"end_shard"` // not in it
	Warmth     string `json:"warmth"`    // "in_use", "warm", "loading" or "cold"
	Why        string `json:"why"`       // it is cold, or ""
}

// PlanForecast is how fast a chain is expected to be for one request.
type PlanForecast struct {
	DecodeTokensPerSecond  float64 `json:"decode_tokens_per_second"`
	PrefillTokensPerSecond float64 `json:"prefill_tokens_per_second"`
	LoadMS                 float64 `json:"load_ms"`
}

// PlanAlternative is another way to run the model and what it would give.
type PlanAlternative struct {
	Name     string        `json:"name"` // "local", "split" or "one peer"
	Segments []PlanSegment `json:"segments"`
	Forecast PlanForecast  `json:"forecast"`
}

// PlanReason says in one word, and for which layers, why a peer is not used or nobody can run them.
type PlanReason struct {
	Code       string `json:"code"`
	NodeID     string `json:"node_id"`
	LayerStart int    `json:"layer_start"` // both 0 when it is about no layers in particular
	LayerEnd   int    `json:"layer_end"`
	Text       string `json:"text"` // for example "no_holder: layers 12-17"
}

// PeerInfo is one entry of GET /api/admin/peers and of the peer_list event.
type PeerInfo struct {
	NodeID       core.PeerID    `json:"node_id"`
	Nickname     string         `json:"nickname"`
	LatencyMS    float64        `json:"latency_ms"`  // round trip; 0 until it is measured
	TrustScore   float64        `json:"trust_score"` // 0 to 1, first-hand; everybody starts at 0.5
	Healthy      bool           `json:"healthy"`     // heard of in the last 90 s, over a connection or by its announcement
	GPU          string         `json:"gpu"`
	VRAMMB       int64          `json:"vram_mb"` // graphics memory that it lends
	RAMMB        int64          `json:"ram_mb"`  // memory that it lends
	HostedModels []string       `json:"hosted_models"`
	HeldShards   map[string]int `json:"held_shards"` // how many shards of each hosted model it has
	IsLANPeer    bool           `json:"is_lan_peer"`
	Connection   string         `json:"connection"` // a connection of a peer; "none" within 25 s when it went without a word
	Addresses    []string       `json:"addresses"`
	LastSeen     time.Time      `json:"last_seen"`
	Version      string         `json:"version"`
	Engine       string         `json:"engine"` // runtime version; windows of different ones are not chained
	Region       string         `json:"region"`
	Anchor       bool           `json:"anchor"`
	Paused       bool           `json:"paused"`         // its owner paused it
	ClockOffsetS float64        `json:"clock_offset_s"` // how far its clock is ahead of this one, in seconds; 30 either way is worth a warning
}

// The connections of a peer.
const (
	ConnectionDirect  = "direct"
	ConnectionRelayed = "relayed"
	ConnectionNone    = "none"
)
