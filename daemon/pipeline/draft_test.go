package pipeline_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
)

// timed runs a job of 200 tokens over two nodes that are 20 ms apart, with and without guesses.
func timed(t *testing.T, cfg fake.Config, none bool) (text string, took time.Duration, stats schedule.Stats) {
	synctest.Test(t, func(t *testing.T) {
		s := newSwarm(t, cfg, "host", "a", "b")
		s.net.SetDelay(20 * time.Millisecond)
		chain := schedulerWith(t, schedule.Config{NoDrafts: none}, dial(t, s, "host", spec(cfg, "a", "b")))
		begin := time.Now()
		got := generate(t.Context(), chain, job("x", "prompt", 200))
		if got.err != nil || len(got.tokens) != 200 {
			t.Errorf("%d tokens, %v", len(got.tokens), got.err)
		}
		text, took, stats = got.text, time.Since(begin), chain.Stats()
	})
	return text, took, stats
}

// TestDraftsShortenTheWay checks that a reply which repeats itself comes in fewer rounds, and is the same.
func TestDraftsShortenTheWay(t *testing.T) {
	song := []byte("row, row, row your boat, gently down the stream. ")
	cfg := fake.Config{StepTime: 10 * time.Millisecond, RowTime: time.Millisecond, Reply: func([]int32) (reply []int32) {
		for i := range 300 {
			reply = append(reply, int32(song[i%len(song)]))
		}
		return reply
	}}
	plain, slow, _ := timed(t, cfg, true)
	text, took, stats := timed(t, cfg, false)
	if text != plain {
		t.Errorf("with guesses %q, without %q", text, plain)
	}
	if took > slow*2/5 || stats.DraftsRight < 100 {
		t.Errorf("%s with guesses, %s without; %d of %d right", took, slow, stats.DraftsRight, stats.Drafts)
	}
}

// TestDraftsStayOffWhereTheyLose checks that guesses that are hardly ever right, or that cost as much as they bring,
// are soon left.
func TestDraftsStayOffWhereTheyLose(t *testing.T) {
	for name, cfg := range map[string]fake.Config{
		"wrong": {StepTime: 10 * time.Millisecond, RowTime: time.Millisecond, Reply: func([]int32) (reply []int32) {
			for i := range 300 { // two letters in a row are often there already, a third that follows is not
				reply = append(reply, int32('a'+(i*i/7+i*3)%5))
			}
			return reply
		}},
		"dear": {RowTime: 500 * time.Millisecond, EndOdds: -1},
	} {
		t.Run(name, func(t *testing.T) {
			plain, slow, _ := timed(t, cfg, true)
			text, took, stats := timed(t, cfg, false)
			if text != plain {
				t.Errorf("with guesses %q, without %q", text, plain)
			}
			if took > slow*21/20 {
				t.Errorf("%s with guesses, %s without; %d of %d right", took, slow, stats.DraftsRight, stats.Drafts)
			}
		})
	}
}
