package router

import (
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestCounters(t *testing.T) {
	c := newCounters()
	if s := c.stats(); s.TotalRequests != 0 || s.Samples != 0 || s.AvgLatencyMS != 0 {
		t.Errorf("at the start: %+v", s)
	}
	for i := 1; i <= 100; i++ {
		took := time.Duration(i) * time.Millisecond
		c.done(finished{took + time.Second, took, core.Usage{PromptTokens: 3, CompletionTokens: 11}})
	}
	s := c.stats()
	if s.TotalRequests != 100 || s.MinLatencyMS != 1001 || s.MaxLatencyMS != 1100 || s.AvgLatencyMS != 1050.5 ||
		s.P50LatencyMS != 1050 || s.P95LatencyMS != 1095 || s.P99LatencyMS != 1099 || s.TokensGenerated != 1100 || s.TokensPerSecond != 10 {
		t.Errorf("%+v", s)
	}
	m := c.measures()
	if m.PromptTokens != 300 || m.CompletionTokens != 1100 || m.FirstToken.Count != 100 || m.FirstToken.Buckets[0.01] != 10 ||
		m.FirstToken.Buckets[60] != 100 || m.PerToken.Count != 100 || m.PerToken.Buckets[0.08] != 0 || m.PerToken.Buckets[0.1] != 100 {
		t.Errorf("%+v", m)
	}
	for range 3 * samples {
		c.done(finished{took: time.Second, usage: core.Usage{CompletionTokens: 1}})
	}
	if s = c.stats(); s.Samples != samples || s.P50LatencyMS != 1000 || s.MinLatencyMS != 1000 || s.TotalRequests != 100+3*samples {
		t.Errorf("after many: %+v", s)
	}
}
