package router

import (
	"testing"
	"time"
)

func TestCounters(t *testing.T) {
	c := newCounters()
	if s := c.stats(); s.TotalRequests != 0 || s.Samples != 0 || s.AvgLatencyMS != 0 {
		t.Errorf("at the start: %+v", s)
	}
	for i := 1; i <= 100; i++ {
		c.done(time.Duration(i)*time.Millisecond, 11, time.Second)
	}
	s := c.stats()
	if s.TotalRequests != 100 || s.MinLatencyMS != 1 || s.MaxLatencyMS != 100 || s.AvgLatencyMS != 50.5 ||
		s.P50LatencyMS != 50 || s.P95LatencyMS != 95 || s.P99LatencyMS != 99 || s.TokensGenerated != 1100 || s.TokensPerSecond != 10 {
		t.Errorf("%+v", s)
	}
	for range 3 * samples {
		c.done(time.Second, 1, 0)
	}
	if s = c.stats(); s.Samples != samples || s.P50LatencyMS != 1000 || s.MinLatencyMS != 1 || s.TotalRequests != 100+3*samples {
		t.Errorf("after many: %+v", s)
	}
}
