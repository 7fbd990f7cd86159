// Package config holds the node's settings: what they are, where they come from and how they change.
//
// The order is command-line flag, SHOAL_* variable, config.toml, default. A change is a function on a copy that
// every subscriber verifies before any of them commits it; then the file is replaced and the old one kept as .bak.
package config

// Version is the schema of config.toml that this program writes. A newer file is refused.
const Version = 1

// Settings are all settings of a node. The zero value is not usable; start from Default.
//
// Each field names itself in its tags: toml and json are the key in the file and in GET /api/admin/config, the
// variable is SHOAL_ and the key in capitals, apply says when a change takes effect ("live", "load": the next time
// a model is loaded, or "restart"), doc is the comment in the file.
type Settings struct {
	Listen    string `toml:"listen" json:"listen" apply:"restart" doc:"Address and port of the HTTP API."`
	P2PListen string `toml:"p2p_listen" json:"p2p_listen" apply:"restart" doc:"Address and port for other nodes, used when the swarm starts."`
	Region    string `toml:"region" json:"region" apply:"live" doc:"Country of this PC as two letters; empty finds it by the time zone."`
	LogLevel  string `toml:"log_level" json:"log_level" apply:"live" doc:"debug, info, warn or error."`

	RuntimeDir string `toml:"runtime" json:"runtime" apply:"restart" doc:"Folder of the llama.cpp libraries; empty looks beside the program, then in the data and cache folders."`
	WorkerPath string `toml:"worker" json:"worker" apply:"restart" doc:"The shoal-worker program; empty looks beside the program, then in PATH."`

	Contribution      Contribution `toml:"contribution" json:"contribution" apply:"load" doc:"How much of this PC models may use: minimal (half the cores and VRAM), moderate (three quarters) or maximum (all)."`
	Threads           int          `toml:"threads" json:"threads" apply:"load" doc:"CPU threads of a model; 0 follows contribution."`
	GPULayers         int          `toml:"gpu_layers" json:"gpu_layers" apply:"load" doc:"Layers to put on the GPU; -1 chooses by free VRAM, 0 uses the CPU only."`
	ContextSize       int          `toml:"context_size" json:"context_size" apply:"load" doc:"Tokens of the KV cache, all requests of a model together; 0 chooses by the model and free memory."`
	Windows           int          `toml:"windows" json:"windows" apply:"load" doc:"Worker processes a model is cut into when it has no setting of its own."`
	IdleUnloadSeconds int          `toml:"idle_unload_seconds" json:"idle_unload_seconds" apply:"live" doc:"Unload a model that was not used for so long; 0 keeps it in memory."`
	DefaultModel      string       `toml:"default_model" json:"default_model" apply:"live" doc:"Model that answers requests for auto; empty takes one that is loaded."`

	DraftModel string `toml:"draft_model" json:"draft_model" apply:"live" doc:"Small model on this PC that guesses ahead for models which run over other nodes, where that makes replies faster; it must have the same vocabulary. Empty guesses by the text alone."`

	MaxConcurrentRequests int `toml:"max_concurrent_requests" json:"max_concurrent_requests" apply:"live" doc:"Requests that run at once; more wait."`
	RequestQueue          int `toml:"request_queue" json:"request_queue" apply:"live" doc:"Requests that may wait; more are refused with 429."`
	MaxBatchSize          int `toml:"max_batch_size" json:"max_batch_size" apply:"load" doc:"Requests of one model that share a batch."`

	EncryptedPipeline bool     `toml:"encrypted_pipeline" json:"encrypted_pipeline" apply:"live" doc:"Run the first and the last shard of a model on this PC when others run the rest; a model may have its own setting."`
	HalfRows          bool     `toml:"half_rows" json:"half_rows" apply:"live" doc:"Send hidden states to other nodes as half floats, which take half the bytes, where the model bears it; replies at temperature 0 may then differ from those of the whole model. False sends float32. Holds from the next chain on."`
	Anchors           []string `toml:"anchors" json:"anchors" apply:"live" doc:"Nodes that can always be reached, as multiaddrs that end in /p2p/ and their id; invites carry them."`
	Anchor            bool     `toml:"anchor" json:"anchor" apply:"restart" doc:"Be an anchor: help others to find each other and relay for them, and run no models."`
	Nickname          string   `toml:"nickname" json:"nickname" apply:"live" doc:"What other nodes call this PC; empty is its host name."`
	MaxUploadMbps     int      `toml:"max_upload_mbps" json:"max_upload_mbps" apply:"live" doc:"Most megabits per second that are sent to peers outside the local network; 0 is no limit."`
	MaxDownloadMbps   int      `toml:"max_download_mbps" json:"max_download_mbps" apply:"live" doc:"Most megabits per second that are fetched from peers outside the local network; 0 is no limit."`

	MaxDiskMB   int64 `toml:"max_disk_mb" json:"max_disk_mb" apply:"live" doc:"Disk space models may take, in MiB."`
	ShardSizeMB int64 `toml:"shard_size_mb" json:"shard_size_mb" apply:"live" doc:"Size of a shard of models imported from now on, in MiB."`

	RateLimitRPM      int      `toml:"rate_limit_rpm" json:"rate_limit_rpm" apply:"restart" doc:"Requests per minute to /v1 from one other machine."`
	RateLimitAdminRPM int      `toml:"rate_limit_admin_rpm" json:"rate_limit_admin_rpm" apply:"restart" doc:"Requests per minute to /api/admin from one other machine."`
	CORSAllow         []string `toml:"cors_allow" json:"cors_allow" apply:"restart" doc:"Web origins that may call the API from a browser, for example https://chat.example.org."`
}

// Default is what holds where nothing else is said.
func Default() Settings {
	return Settings{
		Listen:                "127.0.0.1:8800",
		P2PListen:             "0.0.0.0:8810",
		LogLevel:              "info",
		Contribution:          Moderate,
		GPULayers:             -1,
		Windows:               1,
		IdleUnloadSeconds:     600,
		MaxConcurrentRequests: 10,
		RequestQueue:          512,
		MaxBatchSize:          8,
		Anchors:               []string{},
		MaxDiskMB:             50_000,
		ShardSizeMB:           512,
		RateLimitRPM:          60,
		RateLimitAdminRPM:     200,
		CORSAllow:             []string{},
	}
}

// Contribution is how much of the PC models may use.
type Contribution string

// The levels of contribution.
const (
	Minimal  Contribution = "minimal"
	Moderate Contribution = "moderate"
	Maximum  Contribution = "maximum"
)

// Share is the part of cores and VRAM a level allows.
func (c Contribution) Share() float64 {
	switch c {
	case Minimal:
		return 0.5
	case Moderate:
		return 0.75
	default:
		return 1
	}
}
