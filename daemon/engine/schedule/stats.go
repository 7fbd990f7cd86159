package schedule

// Stats counts what a Scheduler has done since it was made, and how full it is now.
type Stats struct {
	Jobs        int64 // admitted
	Refused     int64 // turned away because the queue was full
	Cancelled   int64 // left by their caller
	Stalled     int64 // cut because their caller was too slow
	TokensIn    int64 // prompt tokens of admitted jobs
	TokensOut   int64 // tokens generated
	Cached      int64 // prompt tokens found in the KV cache
	PrefixHits  int64 // jobs that found some
	Evictions   int64 // cached prefixes dropped to make room
	Batches     int64 // batches sent
	Rows        int64 // rows in them
	Drafts      int64 // tokens guessed
	DraftsRight int64 // of which so many were right
	Asked       int64 // drafts that the Guesser gave
	AskedRight  int64 // of which so many were right
	Active      int   // jobs that hold a slot
	Waiting     int   // jobs in the queue
	KVUsed      int   // tokens that count against the KV cache
	KVSize      int   // tokens that fit
	RowsPerStep float64
}

func (s *Stats) admitted(j *job) {
	s.Jobs++
	s.TokensIn += int64(j.prompt)
	s.Cached += int64(j.cached)
	if j.cached > 0 {
		s.PrefixHits++
	}
}

// Stats returns the counters.
func (s *Scheduler) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Evictions = s.cache.evicted
	stats.Active, stats.Waiting = len(s.active), s.queue.length
	stats.KVUsed, stats.KVSize = s.cache.used, s.cache.size
	if stats.Batches > 0 {
		stats.RowsPerStep = float64(stats.Rows) / float64(stats.Batches)
	}
	return stats
}
