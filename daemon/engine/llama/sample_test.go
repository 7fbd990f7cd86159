package llama_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest/real"
	"github.com/shoal-p2p/shoal/daemon/engine/llama"
)

func stories(t *testing.T) engine.Window {
	t.Helper()
	return open(t, small(smallModel(t)))
}

// drawn generates n samples after a prompt, in sequence 0.
func drawn(t *testing.T, w engine.Window, n int, s engine.Sampler) (list []engine.Sample) {
	t.Helper()
	ctx := context.Background()
	tokens, err := w.Tokenize(ctx, "Once upon a time", true, false)
	if err != nil {
		t.Fatal(err)
	}
	b := &engine.Batch{Ops: []engine.Op{{Kind: engine.OpTrim}, {Kind: engine.OpSampler, Sampler: &s}}}
	for i, tok := range tokens {
		b.Rows = append(b.Rows, engine.Row{Token: tok, Pos: int32(i), Sample: i == len(tokens)-1})
	}
	for range n {
		out, err := w.Step(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, out.Samples[0])
		if out.Samples[0].End {
			break
		}
		b = &engine.Batch{Rows: []engine.Row{{Token: out.Samples[0].Token, Pos: int32(len(tokens) + len(list) - 1), Sample: true}}}
	}
	return list
}

func text(list []engine.Sample) string {
	var b bytes.Buffer
	for _, s := range list {
		b.Write(s.Piece)
	}
	return b.String()
}

func TestSeedFixesTheText(t *testing.T) {
	w := stories(t)
	draw := func(seed uint32, topK int, topP, minP float64) string {
		return text(drawn(t, w, 24, engine.Sampler{Sampling: core.Sampling{Temperature: 1.3, Seed: &seed, TopK: topK, TopP: topP, MinP: minP}}))
	}
	first := draw(1, 0, 0, 0)
	if draw(1, 0, 0, 0) != first {
		t.Error("the same seed gives another text")
	}
	if draw(2, 0, 0, 0) == first && draw(3, 0, 0, 0) == first {
		t.Error("other seeds give the same text")
	}
	greedy := text(drawn(t, w, 24, engine.Sampler{}))
	for name, got := range map[string]string{"top_k": draw(9, 1, 0, 0), "top_p": draw(9, 0, 1e-6, 0), "min_p": draw(9, 0, 0, 1)} {
		if got != greedy {
			t.Errorf("%s that leaves one token gives %q, greedy %q", name, got, greedy)
		}
	}
	const reserved = math.MaxUint32 // which llama.cpp takes for "draw a seed"
	first = draw(reserved, 0, 0, 0)
	if draw(reserved, 0, 0, 0) != first {
		t.Error("the largest seed is no seed")
	}
}

func TestLogprobs(t *testing.T) {
	w := stories(t)
	all := w.Shape().Vocabulary
	first := drawn(t, w, 1, engine.Sampler{Sampling: core.Sampling{Logprobs: true, TopLogprobs: 128}})[0]
	sum := 0.0
	for i, c := range first.Top {
		sum += math.Exp(c.Logprob)
		if i > 0 && c.Logprob > first.Top[i-1].Logprob {
			t.Fatalf("alternative %d is likelier than the one before", i)
		}
	}
	if len(first.Top) != min(128, all) || sum > 1+1e-9 || sum < 0.25 {
		t.Errorf("%d alternatives with a probability of %g together", len(first.Top), sum)
	}
	if first.Top[0].Token != first.Token || first.Top[0].Logprob != first.Logprob {
		t.Errorf("greedy chose %+v, likeliest is %+v", first, first.Top[0])
	}
	total := 0.0
	norm := logitsNorm(w, first.Row)
	for _, l := range norm {
		total += math.Exp(l)
	}
	if math.Abs(total-1) > 1e-6 || math.Abs(norm[first.Token]-first.Logprob) > 1e-9 {
		t.Errorf("probabilities add up to %g; token %g, want %g", total, first.Logprob, norm[first.Token])
	}
	hot := drawn(t, w, 1, engine.Sampler{Sampling: core.Sampling{Temperature: 5, TopK: 3, Logprobs: true, TopLogprobs: 2}})[0]
	if len(hot.Top) != 2 || hot.Top[0].Logprob != first.Logprob {
		t.Errorf("the temperature changes what is reported: %+v", hot)
	}
}

func logitsNorm(w engine.Window, row int) []float64 {
	sum := 0.0
	logits := logitsOf(w, row)
	for _, l := range logits {
		sum += math.Exp(float64(l))
	}
	list := make([]float64, len(logits))
	for i, l := range logits {
		list[i] = float64(l) - math.Log(sum)
	}
	return list
}

func TestPenalties(t *testing.T) {
	w := stories(t)
	repeats := func(s core.Sampling, history []int32) int {
		seen := map[int32]bool{}
		n := 0
		for _, s := range drawn(t, w, 60, engine.Sampler{Sampling: s, History: history}) {
			if seen[s.Token] {
				n++
			}
			seen[s.Token] = true
		}
		return n
	}
	plain := repeats(core.Sampling{}, nil)
	for name, s := range map[string]core.Sampling{
		"repeat": {RepeatPenalty: 50}, "frequency": {FrequencyPenalty: 50}, "presence": {PresencePenalty: 50},
	} {
		if got := repeats(s, nil); got != 0 {
			t.Errorf("%s penalty leaves %d repetitions, none %d", name, got, plain)
		}
	}
	first := drawn(t, w, 1, engine.Sampler{})[0].Token
	again := drawn(t, w, 1, engine.Sampler{Sampling: core.Sampling{PresencePenalty: 50}, History: []int32{first}})[0].Token
	if again == first {
		t.Error("a penalty does not look at the prompt")
	}
}

func TestLogitBias(t *testing.T) {
	w := stories(t)
	first := drawn(t, w, 1, engine.Sampler{})[0].Token
	banned := drawn(t, w, 1, engine.Sampler{Sampling: core.Sampling{LogitBias: map[int32]float64{first: -100}}})[0].Token
	wanted := drawn(t, w, 1, engine.Sampler{Sampling: core.Sampling{Temperature: 1, LogitBias: map[int32]float64{300: 100}}})[0].Token
	if banned == first || wanted != 300 {
		t.Errorf("greedy %d, banned gives %d, wanted gives %d", first, banned, wanted)
	}
}

func TestGrammar(t *testing.T) {
	w := stories(t)
	const grammar = `root ::= " {\"n\": " [1-9] [0-9]? ", \"ok\": " ("true" | "false") "}"`
	shape := regexp.MustCompile(`^ \{"n": [1-9][0-9]?, "ok": (true|false)\}$`)
	seen := map[string]bool{}
	for seed := range uint32(12) {
		list := drawn(t, w, 64, engine.Sampler{Sampling: core.Sampling{Temperature: 1.5, Seed: &seed, Grammar: grammar}})
		got := text(list)
		if !shape.MatchString(got) || !list[len(list)-1].End {
			t.Errorf("seed %d gives %q, end %v", seed, got, list[len(list)-1].End)
		}
		seen[got] = true
	}
	if len(seen) < 3 {
		t.Errorf("12 seeds give only %v", seen)
	}
	greedy := drawn(t, w, 64, engine.Sampler{Sampling: core.Sampling{Grammar: grammar}})
	if !shape.MatchString(text(greedy)) {
		t.Errorf("greedy gives %q", text(greedy))
	}
	penalised := drawn(t, w, 64, engine.Sampler{Sampling: core.Sampling{Grammar: grammar, RepeatPenalty: 1.2, Logprobs: true, TopLogprobs: 2}})
	if !shape.MatchString(text(penalised)) {
		t.Errorf("with a penalty %q", text(penalised))
	}
}

func TestGrammarOfAWindow(t *testing.T) {
	e := engineOf(t)
	dir, layers := real.Cut(t, smallModel(t))
	whole, two := openChain(t, e, dir, []int{0, layers}), openChain(t, e, dir, []int{0, 2, layers})
	b := engine.Batch{
		Ops:  []engine.Op{{Kind: engine.OpSampler, Sampler: &engine.Sampler{Sampling: core.Sampling{Grammar: `root ::= " yes" | " no"`}}}},
		Rows: []engine.Row{{Token: 1, Sample: true}},
	}
	var want, got []int32
	for i := range int32(8) {
		a, c := whole.step(t, &b).Samples[0], two.step(t, &b).Samples[0]
		want, got = append(want, a.Token), append(got, c.Token)
		if a.End != c.End || !bytes.Equal(a.Piece, c.Piece) {
			t.Fatalf("whole %+v, windows %+v", a, c)
		}
		if a.End {
			break
		}
		b = engine.Batch{Rows: []engine.Row{{Token: a.Token, Pos: i + 1, Sample: true}}}
	}
	if !slices.Equal(got, want) || len(got) < 2 {
		t.Errorf("windows give %v, the whole model %v", got, want)
	}
}

func TestBadSamplersAreRefused(t *testing.T) {
	w := stories(t)
	for name, s := range map[string]engine.Sampler{
		"temperature": {Sampling: core.Sampling{Temperature: -1}},
		"NaN":         {Sampling: core.Sampling{TopP: math.NaN()}},
		"top_p":       {Sampling: core.Sampling{TopP: 1.5}},
		"top_k":       {Sampling: core.Sampling{TopK: -4}},
		"min_p":       {Sampling: core.Sampling{MinP: 2}},
		"penalty":     {Sampling: core.Sampling{RepeatPenalty: -1}},
		"infinity":    {Sampling: core.Sampling{FrequencyPenalty: math.Inf(1)}},
		"logprobs":    {Sampling: core.Sampling{TopLogprobs: 1000}},
		"bias":        {Sampling: core.Sampling{LogitBias: map[int32]float64{1 << 20: 1}}},
		"bias NaN":    {Sampling: core.Sampling{LogitBias: map[int32]float64{1: math.NaN()}}},
		"history":     {History: []int32{-5}},
		"grammar":     {Sampling: core.Sampling{Grammar: "root ::= ("}},
		"no root":     {Sampling: core.Sampling{Grammar: "tree ::= \"a\""}},
		"loop":        {Sampling: core.Sampling{Grammar: "root ::= root \"a\""}},
		"undefined":   {Sampling: core.Sampling{Grammar: "root ::= leaf"}},
	} {
		b := &engine.Batch{Ops: []engine.Op{{Kind: engine.OpSampler, Sampler: &s}}}
		if _, err := w.Step(context.Background(), b); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestGrammarThatTakesTooLong ends one generation, and nothing else: the window goes on, also with that grammar.
func TestGrammarThatTakesTooLong(t *testing.T) {
	w := stories(t)
	slow := engine.Sampler{Sampling: core.Sampling{Grammar: `root ::= "{" [a-z]+ "}"`}}
	want := text(drawn(t, w, 5, engine.Sampler{}))
	llama.SetGrammarLimit(w, -time.Second)
	list := drawn(t, w, 8, slow)
	if len(list) != 1 || !list[0].Failed || !list[0].End || list[0].Token != -1 {
		t.Errorf("a grammar without time gives %+v", list)
	}
	if got := text(drawn(t, w, 5, engine.Sampler{})); got != want {
		t.Errorf("after that the story is %q, want %q", got, want)
	}
	llama.SetGrammarLimit(w, time.Hour)
	if got := text(drawn(t, w, 8, slow)); !strings.HasPrefix(got, "{") {
		t.Errorf("with time the grammar gives %q", got)
	}
}

// TestHostileGrammarsAreRefused sends what llama.cpp would fall over, or write out into gigabytes.
func TestHostileGrammarsAreRefused(t *testing.T) {
	w := stories(t)
	for name, grammar := range map[string]string{
		"brackets":     `root ::= ` + strings.Repeat("(", 100_000) + `"a"` + strings.Repeat(")", 100_000),
		"ambiguity":    "root ::= a a a a a a a a a a a a\na ::= [a-z ]*",
		"repetitions":  `root ::= ("` + strings.Repeat("a", 100_000) + `"){2000}`,
		"recursion":    `root ::= root "a"`,
		"no grammar":   `root ::= (`,
		"unknown rule": `root ::= x`,
	} {
		_, err := w.Step(t.Context(), &engine.Batch{Ops: []engine.Op{{Kind: engine.OpSampler, Sampler: &engine.Sampler{Sampling: core.Sampling{Grammar: grammar}}}}})
		if e, ok := errors.AsType[*core.Error](err); !ok || e.Code != core.CodeInvalidRequest || e.Param != "grammar" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
