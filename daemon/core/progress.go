package core

import "time"

// Progress is how far a long job is, in bytes.
type Progress struct {
	Done  int64
	Total int64
	Since time.Time // when the job started
}

// Download states.
const (
	DownloadQueued  = "queued"
	DownloadRunning = "downloading"
	DownloadPaused  = "paused"
	DownloadDone    = "completed"
	DownloadFailed  = "failed"
)
