package enginetest

import (
	"slices"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// testDrafts guesses tokens: those up to the first wrong one count, and the reply goes on as without.
func testDrafts(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	want, short := c.greedy(t, 0, prompt, 8), c.greedy(t, 3, prompt[:4], 1)
	b := rows(1, 0, prompt, true)
	for i, token := range []int32{want[0], want[1], want[2] ^ 1, want[3]} {
		b.Rows = append(b.Rows, engine.Row{Token: token, Pos: int32(len(prompt) + i), Seq: 1, Sample: true, Draft: true})
	}
	b.Rows = append(b.Rows, rows(2, 0, prompt[:4], true).Rows...) // what follows is not touched
	out := c.must(t, c.step(t.Context(), b))
	var got []int32
	for _, sample := range out.Samples {
		got = append(got, sample.Token)
	}
	if !slices.Equal(got, append(slices.Clone(want[:3]), short[0])) {
		t.Fatalf("got %v, want the first three of %v and %v", got, want, short)
	}
	if first := len(prompt) - 1; out.Samples[0].Row != first || out.Samples[2].Row != first+2 || out.Samples[3].Row != len(b.Rows)-1 {
		t.Errorf("rows of the samples: %+v", out.Samples)
	}
	if !c.last().Shape().CanTrim {
		return
	}
	c.trim(t, 1, int32(len(prompt)+2))
	if got := c.continued(t, 1, len(prompt)+2, want[2:3], 5); !slices.Equal(got, want[3:8]) {
		t.Errorf("after wrong drafts %v, want %v", got, want[3:8])
	}
}

// testAccepted takes a reply under a grammar over to another sequence in its middle.
func testAccepted(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	sampling := core.Sampling{Grammar: "root ::= [a-z ,.A-Z]*", RepeatPenalty: 1.3}
	want := c.sampled(t, 0, 0, prompt, 8, &engine.Sampler{Sampling: sampling, History: prompt})
	whole := append(slices.Clone(prompt), want[:3]...)
	got := c.sampled(t, 1, 0, whole, 5, &engine.Sampler{Sampling: sampling, History: prompt, Accepted: want[:3]})
	if !slices.Equal(got, want[3:]) {
		t.Errorf("taken over after three tokens %v, want %v", got, want[3:])
	}
}
