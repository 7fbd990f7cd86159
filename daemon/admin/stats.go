package admin

// Stats is the answer of GET /api/admin/stats.
type Stats struct {
	NodeID          string         `json:"node_id"`
	Version         string         `json:"version"`
	UptimeSeconds   int64          `json:"uptime_seconds"`
	State           string         `json:"state"` // "serving", "idle" or "paused"
	Peers           int            `json:"peers"`
	RequestsServed  int64          `json:"requests_served"`
	ActiveRequests  int            `json:"active_requests"`
	WaitingRequests int            `json:"waiting_requests"` // for their turn
	HostedShards    int            `json:"hosted_shards"`
	LoadedModels    []string       `json:"loaded_models"`
	Hardware        Hardware       `json:"hardware"`
	Inference       InferenceStats `json:"inference"`
	EngineState     string         `json:"engine_state"` // "searching", "ready" or "missing"
	Warnings        []string       `json:"warnings"`     // sentences about what the user should know, such as an API that is open to others
}

// Hardware is what this PC has and how much of it is in use. Sizes are in MiB; a figure that could not be
// measured is 0, and GPUName is empty where there is no GPU.
type Hardware struct {
	GPUName          string `json:"gpu_name"`
	GPUVRAMMB        int64  `json:"gpu_vram_mb"`
	GPUVRAMUsedMB    int64  `json:"gpu_vram_used_mb"`
	GPUInference     bool   `json:"gpu_inference"`
	InferenceBackend string `json:"inference_backend"` // "cpu", "vulkan", "cuda", "metal" or "none"
	TotalRAMMB       int64  `json:"total_ram_mb"`
	UsedRAMMB        int64  `json:"used_ram_mb"`
	ProcessRSSMB     int64  `json:"process_rss_mb"`
	TotalDiskMB      int64  `json:"total_disk_mb"`
	UsedDiskMB       int64  `json:"used_disk_mb"`
	AvailableDiskMB  int64  `json:"available_disk_mb"`
	CPUName          string `json:"cpu_name"`
	CPUCores         int    `json:"cpu_cores"` // physical cores
	Region           string `json:"region"`    // ISO 3166 alpha-2, or "??"
	OS               string `json:"os"`
}

// InferenceStats sums up the requests since the node started. Latencies are from the request's arrival to its end.
type InferenceStats struct {
	TotalRequests   int64   `json:"total_requests"`
	AvgLatencyMS    float64 `json:"avg_latency_ms"`
	MinLatencyMS    float64 `json:"min_latency_ms"`
	MaxLatencyMS    float64 `json:"max_latency_ms"`
	P50LatencyMS    float64 `json:"p50_latency_ms"`
	P95LatencyMS    float64 `json:"p95_latency_ms"`
	P99LatencyMS    float64 `json:"p99_latency_ms"`
	Samples         int     `json:"samples"`
	TokensGenerated int64   `json:"tokens_generated"`
	TokensPerSecond float64 `json:"tokens_per_second"` // of the last finished request
}

// Version is the answer of GET /api/admin/version.
type Version struct {
	Version   string `json:"version"`
	Commit    string `json:"commit"`
	GoVersion string `json:"go_version"`
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	Engine    string `json:"engine"` // for example "llama.cpp v0.5.0"; empty when no runtime is found

	EngineState string `json:"engine_state"` // "searching", "ready" or "missing"
}

// Model status words of ModelInfo.Status.
const (
	StatusLoaded      = "loaded"      // in memory, all layers covered
	StatusReady       = "ready"       // all shards on this disk
	StatusPartial     = "partial"     // some shards on this disk
	StatusDamaged     = "damaged"     // its folder is here and cannot be opened; last_error says why
	StatusAvailable   = "available"   // known, no shard here
	StatusLoading     = "loading"     // being loaded
	StatusDownloading = "downloading" // being fetched
)

// Trust levels, spelled as the admin API prints them.
const (
	TrustDiscovered     = "Discovered"
	TrustPinned         = "Pinned"
	TrustDemandVerified = "DemandVerified"
	TrustNetworkPopular = "NetworkPopular"
)

// ModelInfo is one entry of GET /api/admin/models.
type ModelInfo struct {
	ID                 string      `json:"id"`
	Name               string      `json:"name"`
	Architecture       string      `json:"architecture"`
	Quantization       string      `json:"quantization"`
	ContextLength      int         `json:"context_length"`
	Layers             int         `json:"layers"`
	TotalSizeBytes     int64       `json:"total_size_bytes"`
	ShardCount         int         `json:"shard_count"`
	HostedShards       int         `json:"hosted_shards"`
	LoadedShards       []int       `json:"loaded_shards"`
	Windows            int         `json:"windows"`          // worker processes the model runs in when loaded
	GlobalAvailable    bool        `json:"global_available"` // every shard has a holder, this node included
	Status             string      `json:"status"`
	Mode               string      `json:"mode"`   // "full" or "distributed"
	Source             string      `json:"source"` // "local", "hybrid" or "network"
	Local              bool        `json:"local"`
	PeersHosting       int         `json:"peers_hosting"`
	Shards             []ShardInfo `json:"shards"`
	TrustLevel         string      `json:"trust_level"`
	EncryptedPipeline  bool        `json:"encrypted_pipeline"`
	HasFirstShard      bool        `json:"has_first_shard"`
	HasLastShard       bool        `json:"has_last_shard"`
	HFSource           *HFSource   `json:"hf_source"`
	HasManifest        bool        `json:"has_manifest"`
	HasHeader          bool        `json:"has_header"`
	MMProj             MMProj      `json:"mmproj"`
	EstimatedVRAMMB    int64       `json:"estimated_vram_mb"`
	Fits               bool        `json:"fits"`                 // the estimate fits this PC's free memory
	Splittable         bool        `json:"splittable"`           // may run as several windows
	SplitRefusal       string      `json:"split_refusal"`        // why not, when it may not
	Acquisition        *string     `json:"acquisition"`          // "downloading", "failed" or null
	CPUPlacementReason string      `json:"cpu_placement_reason"` // why layers run on the CPU, "" when none do
	LastError          string      `json:"last_error,omitempty"` // why the last load failed
}

// ShardInfo is one shard of a ModelInfo.
type ShardInfo struct {
	Index      int    `json:"index"`
	LayerStart int    `json:"layer_start"` // first layer
	LayerEnd   int    `json:"layer_end"`   // one past the last layer
	SizeBytes  int64  `json:"size_bytes"`
	Hash       string `json:"hash"` // BLAKE3 root, hexadecimal
	Local      bool   `json:"local"`
	Loaded     bool   `json:"in_vram"` // in memory, VRAM or RAM
	Locked     bool   `json:"locked"`
	Holders    int    `json:"holders"`
}

// HFSource is where on HuggingFace a model's file came from.
type HFSource struct {
	RepoID   string `json:"repo_id"`
	Filename string `json:"filename"`
	Revision string `json:"revision,omitempty"`
}

// MMProj is the state of a vision model's encoder file.
type MMProj struct {
	Available bool `json:"available"`
	Local     bool `json:"local"`
	Holders   int  `json:"holders"`
}

// ModelProgress is the answer of GET /api/admin/models/{id}/status: how far an import, a download or a load is.
type ModelProgress struct {
	ModelID          string  `json:"model_id"`
	State            string  `json:"state"` // a status word of ModelInfo, "importing", "failed" or "unknown"
	DownloadedBytes  int64   `json:"downloaded_bytes"`
	TotalBytes       int64   `json:"total_bytes"`
	DownloadedShards int     `json:"downloaded_shards"`
	TotalShards      int     `json:"total_shards"`
	Progress         float64 `json:"progress"` // 0 to 1
	Message          string  `json:"message"`
}

// Metadata is the answer of GET /api/admin/models/{id}/metadata.
type Metadata struct {
	ModelID string `json:"model_id"`
	General struct {
		Name                  string `json:"name"`
		Architecture          string `json:"architecture"`
		ArchitectureSupported bool   `json:"architecture_supported"`
		FileType              int    `json:"file_type"`
		Quantization          string `json:"quantization"`
	} `json:"general"`
	Model struct {
		ContextLength       int     `json:"context_length"`
		BlockCount          int     `json:"block_count"`
		EmbeddingLength     int     `json:"embedding_length"`
		HeadCount           int     `json:"head_count"`
		HeadCountKV         int     `json:"head_count_kv"`
		RopeDimensionCount  int     `json:"rope_dimension_count"`
		RopeFreqBase        float64 `json:"rope_freq_base"`
		LayerNormRMSEpsilon float64 `json:"layer_norm_rms_epsilon"`
		VocabSize           int     `json:"vocab_size"`
	} `json:"model"`
	Tokenizer struct {
		Model          string `json:"model"`
		Pre            string `json:"pre"`
		EOSTokenID     *int   `json:"eos_token_id"`
		BOSTokenID     *int   `json:"bos_token_id"`
		PaddingTokenID *int   `json:"padding_token_id"`
	} `json:"tokenizer"`
	Tensors struct {
		Count      int   `json:"count"`
		DataOffset int64 `json:"data_offset"`
	} `json:"tensors"`
	Raw []MetadataKV `json:"raw"`
}

// MetadataKV is one raw metadata entry; long strings are cut and arrays are summed up.
type MetadataKV struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

// ModelUnloaded is the answer of POST /api/admin/models/{id}/unload.
type ModelUnloaded struct {
	Status           string `json:"status"` // "unloaded"
	ModelID          string `json:"model_id"`
	ModelName        string `json:"model_name"`
	SegmentsRemoved  int    `json:"segments_removed"` // worker processes ended
	EstimatedFreedMB int64  `json:"estimated_freed_mb"`
}

// ShardLoaded is the answer of POST /api/admin/models/{id}/shards/{index}/load.
type ShardLoaded struct {
	Status       string `json:"status"` // "loaded"
	ModelID      string `json:"model_id"`
	ShardIndex   int    `json:"shard_index"`
	LoadedShards []int  `json:"loaded_shards"`
}

// ShardUnloaded is the answer of POST /api/admin/models/{id}/shards/{index}/unload.
type ShardUnloaded struct {
	Status          string `json:"status"` // "unloaded"
	ModelID         string `json:"model_id"`
	ShardIndex      int    `json:"shard_index"`
	RemainingLoaded []int  `json:"remaining_loaded"`
}

// Rescanned is the answer of POST /api/admin/rescan-shards.
type Rescanned struct {
	Status        string   `json:"status"` // "ok"
	ModelsUpdated []string `json:"models_updated"`
	Count         int      `json:"count"`
}

// ShardStorage is the answer of GET /api/admin/shard-storage.
type ShardStorage struct {
	Models          []ModelStorage `json:"models"`
	TotalLocalBytes int64          `json:"total_local_bytes"`
	DiskUsageBytes  int64          `json:"disk_usage_bytes"`
	MaxDiskMB       int64          `json:"max_disk_mb"`
	LocalVRAMMB     int64          `json:"local_vram_mb"`
	PeerCount       int            `json:"peer_count"`
}

// ModelStorage is what one model takes of this PC.
type ModelStorage struct {
	ID                 string      `json:"id"`
	Name               string      `json:"name"`
	TotalSizeBytes     int64       `json:"total_size_bytes"`
	ShardCount         int         `json:"shard_count"`
	LocalShards        int         `json:"local_shards"`
	LocalBytes         int64       `json:"local_bytes"`
	EstimatedVRAMMB    int64       `json:"estimated_vram_mb"`
	Shards             []ShardInfo `json:"shards"`
	Ready              string      `json:"ready"` // "ready", "downloading", "available" or "incomplete"
	AllShardsAvailable bool        `json:"all_shards_available"`
}

// ConfigReloaded is the answer of POST /api/admin/config/reload: the names of the settings that changed.
type ConfigReloaded struct {
	Status          string   `json:"status"` // "ok"
	Changed         int      `json:"changed"`
	Applied         []string `json:"applied"`
	RestartRequired []string `json:"restart_required"` // changed, and wait for a restart
}
