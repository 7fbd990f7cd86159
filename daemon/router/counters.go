package router

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// samples is how many of the last requests the percentiles are taken of.
const samples = 1024

// counters sum up the requests since the node started.
type counters struct {
	mu     sync.Mutex // guards all below
	total  int64
	prompt int64
	tokens int64
	first  histogram
	each   histogram // per token after the first
	sum    time.Duration
	least  time.Duration
	most   time.Duration
	recent []time.Duration // a ring of the last ones
	next   int
	perSec float64
}

func newCounters() *counters {
	return &counters{recent: make([]time.Duration, 0, samples), first: newHistogram(), each: newHistogram()}
}

// finished is what is counted of a request that was answered.
type finished struct {
	took  time.Duration // from its arrival to its end
	first time.Duration // from its arrival to the first piece of the reply; 0 for one without pieces
	usage core.Usage
}

// done counts a finished request.
func (c *counters) done(f finished) {
	c.mu.Lock()
	defer c.mu.Unlock()
	took, tokens, wrote := f.took, f.usage.CompletionTokens, f.took-f.first
	c.prompt += int64(f.usage.PromptTokens)
	if f.first > 0 {
		c.first.add(f.first)
		if tokens > 1 {
			c.each.add(wrote / time.Duration(tokens-1))
		}
	}
	if c.total++; c.total == 1 || took < c.least {
		c.least = took
	}
	c.most = max(c.most, took)
	c.sum += took
	c.tokens += int64(tokens)
	if tokens > 1 && wrote > 0 {
		c.perSec = float64(tokens-1) / wrote.Seconds()
	}
	if len(c.recent) < samples {
		c.recent = append(c.recent, took)
		return
	}
	c.recent[c.next] = took
	c.next = (c.next + 1) % samples
}

func (c *counters) stats() admin.InferenceStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := admin.InferenceStats{TotalRequests: c.total, TokensGenerated: c.tokens, TokensPerSecond: c.perSec, Samples: len(c.recent)}
	if c.total == 0 {
		return s
	}
	sorted := slices.Sorted(slices.Values(c.recent))
	s.AvgLatencyMS = ms(c.sum) / float64(c.total)
	s.MinLatencyMS, s.MaxLatencyMS = ms(c.least), ms(c.most)
	s.P50LatencyMS, s.P95LatencyMS, s.P99LatencyMS = ms(rank(sorted, 50)), ms(rank(sorted, 95)), ms(rank(sorted, 99))
	return s
}

func (c *counters) measures() admin.Measures {
	c.mu.Lock()
	defer c.mu.Unlock()
	return admin.Measures{PromptTokens: c.prompt, CompletionTokens: c.tokens, FirstToken: c.first.report(), PerToken: c.each.report()}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// rank is the smallest value that percent of the sorted values do not exceed.
func rank[T cmp.Ordered](sorted []T, percent int) T {
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}
