package admin

// Measures are sums over the requests since the node started, as a monitor wants them.
type Measures struct {
	Running          int       // requests that run now
	PromptTokens     int64     // that finished requests read
	CompletionTokens int64     // that they wrote
	FirstToken       Histogram // seconds from a request's arrival to the first piece of its reply
	PerToken         Histogram // mean seconds per token after the first
}

// Histogram counts values by size.
type Histogram struct {
	Count   uint64
	Sum     float64
	Buckets map[float64]uint64 // how many values are at most the key
}
