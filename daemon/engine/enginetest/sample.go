package enginetest

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

func testSeed(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	draw := func(seed uint32) []int32 {
		c.trim(t, 0, 0)
		return c.sampled(t, 0, 0, prompt, 12, &engine.Sampler{Sampling: core.Sampling{Temperature: 2, Seed: &seed}})
	}
	want := draw(1)
	if got := draw(1); !slices.Equal(got, want) {
		t.Errorf("with the same seed %v, then %v", want, got)
	}
	if slices.Equal(draw(2), want) && slices.Equal(draw(3), want) {
		t.Error("other seeds give the same tokens")
	}
}

func testLogitBias(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	sampler := &engine.Sampler{Sampling: core.Sampling{LogitBias: map[int32]float64{prompt[2]: 100}}}
	if got := c.sampled(t, 0, 0, prompt, 1, sampler); got[0] != prompt[2] {
		t.Errorf("got token %d, want the favoured %d", got[0], prompt[2])
	}
	c.trim(t, 0, 0)
	want := c.greedy(t, 1, prompt, 1)
	if got := c.sampled(t, 0, 0, prompt, 1, &engine.Sampler{}); got[0] != want[0] {
		t.Errorf("a new sampler gives %d, want %d", got[0], want[0])
	}
}

func testLogprobs(t *testing.T, s *suite) {
	c := s.open(t)
	b := rows(0, 0, s.prompt(t, c), true)
	sampling := core.Sampling{Logprobs: true, TopLogprobs: 3}
	b.Ops = []engine.Op{{Kind: engine.OpSampler, Sampler: &engine.Sampler{Sampling: sampling}}}
	sample := c.must(t, c.step(t.Context(), b)).Samples[0]
	if !(sample.Logprob <= 0) || math.IsInf(sample.Logprob, 0) || len(sample.Top) != 3 {
		t.Fatalf("log-probability %v with %d alternatives, want 3", sample.Logprob, len(sample.Top))
	}
	falling := func(a, b engine.Candidate) int {
		if a.Logprob >= b.Logprob {
			return -1
		}
		return 1
	}
	if !slices.IsSortedFunc(sample.Top, falling) {
		t.Errorf("alternatives are not sorted: %+v", sample.Top)
	}
}

// testBadGrammar checks that a grammar the sampler cannot read is refused and leaves everything as it was.
func testBadGrammar(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	want := c.greedy(t, 0, prompt, 4)
	sampler := &engine.Sampler{Sampling: core.Sampling{Grammar: "nonsense ::= ("}}
	o := c.step(t.Context(), &engine.Batch{Ops: []engine.Op{{Kind: engine.OpSampler, Seq: 1, Sampler: sampler}}})
	wantCode(t, o.err, core.CodeInvalidRequest)
	c.trim(t, 1, 0)
	if got := c.sampled(t, 1, 0, prompt, 4, &engine.Sampler{}); !slices.Equal(got, want) {
		t.Errorf("after a refused grammar %v, want %v", got, want)
	}
}

func testEmbed(t *testing.T, s *suite) {
	c := s.open(t)
	prompt := s.prompt(t, c)
	b := rows(0, 0, prompt, false)
	for i := range b.Rows {
		b.Rows[i].Sample = true
	}
	b.Embed = true
	out := c.must(t, c.step(t.Context(), b))
	if len(out.Embeddings) != len(prompt) || len(out.Samples) != 0 {
		t.Fatalf("%d vectors and %d samples for %d rows", len(out.Embeddings), len(out.Samples), len(prompt))
	}
	for i, v := range out.Embeddings {
		if len(v) != c.last().Shape().Embedding || slices.ContainsFunc(v, func(x float32) bool { return x != x }) {
			t.Fatalf("vector %d has %d floats or a NaN", i, len(v))
		}
	}
	if slices.Equal(out.Embeddings[1], out.Embeddings[2]) {
		t.Error("two rows have the same vector")
	}
	c.trim(t, 0, 0)
	if got := c.greedy(t, 0, prompt, 1); len(got) != 1 {
		t.Error("no token after an embedding")
	}
}

func testTokenizer(t *testing.T, s *suite) {
	c := s.open(t)
	plain, err := c.last().Tokenize(t.Context(), s.Text, false, false)
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := c.last().Pieces(t.Context(), plain, false)
	if err != nil || len(pieces) != len(plain) {
		t.Fatalf("%d pieces of %d tokens, %v", len(pieces), len(plain), err)
	}
	if got := string(bytes.Join(pieces, nil)); strings.TrimSpace(got) != s.Text {
		t.Errorf("got %q, want %q", got, s.Text)
	}
	if _, err := c.last().Pieces(t.Context(), []int32{-1}, true); err == nil {
		t.Error("the piece of token -1 is not refused")
	}
	if tokens, err := c.last().Tokenize(t.Context(), "", false, false); err != nil || len(tokens) != 0 {
		t.Errorf("the empty text has tokens %v, %v", tokens, err)
	}
}
