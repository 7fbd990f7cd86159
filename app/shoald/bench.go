package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/core"
)

type benchCmd struct {
	Model  string `arg:"" optional:"" default:"auto" help:"Model id; auto takes the one that is loaded or set as default."`
	Prompt int    `default:"512" help:"Tokens of the prompt, fewer where the model's context is short."`
	Tokens int    `default:"64" help:"Most tokens of the answer."`
	Rounds int    `default:"3" help:"How often; the best round counts."`
}

// speed is one round, in tokens per second. FirstTokenMS is from the request to the first piece of the answer.
type speed struct {
	Model            string  `json:"model"`
	PromptTokens     int     `json:"prompt_tokens"`
	CompletionTokens int     `json:"completion_tokens"`
	PrefillPerSecond float64 `json:"prefill_tokens_per_second"`
	DecodePerSecond  float64 `json:"decode_tokens_per_second"`
	FirstTokenMS     float64 `json:"first_token_ms"`
}

// Run measures the model through the same path as every request.
func (c *benchCmd) Run(s *session) error {
	if c.Prompt < 1 || c.Tokens < 2 || c.Rounds < 1 {
		return core.Errorf(core.CodeInvalidRequest, "--prompt and --rounds must be at least 1, --tokens at least 2")
	}
	return s.withAnswers(func(ctx context.Context, n api.Node) error {
		vocabulary, err := c.prepare(ctx, n)
		if err != nil {
			return err
		}
		var best speed
		for range c.Rounds {
			got, err := c.round(ctx, n, vocabulary)
			if err != nil {
				return err
			}
			best = faster(best, got)
		}
		return s.show(best, func(w io.Writer) {
			fmt.Fprintf(w, "Model\t%s\n", best.Model)
			fmt.Fprintf(w, "Reads\t%.1f tokens/s (%d tokens)\n", best.PrefillPerSecond, best.PromptTokens)
			fmt.Fprintf(w, "Writes\t%.1f tokens/s (%d tokens)\n", best.DecodePerSecond, best.CompletionTokens)
			fmt.Fprintf(w, "First token\t%.0f ms\n", best.FirstTokenMS)
		})
	})
}

// prepare loads the model and warms it up, cuts the prompt to what its context holds and returns the number of
// tokens it knows.
func (c *benchCmd) prepare(ctx context.Context, n api.Node) (vocabulary int, err error) {
	reply, err := n.Generate(ctx, &core.GenerateRequest{Model: c.Model, Requester: "bench", Prompt: "one two three", MaxTokens: 8}, ignore)
	if err != nil {
		return 0, err
	}
	c.Model = reply.Model
	id, err := core.ParseModelID(reply.Model)
	if err != nil {
		return 0, err
	}
	meta, err := n.Metadata(ctx, id)
	if err != nil {
		return 0, err
	}
	c.Prompt = max(1, min(c.Prompt, meta.Model.ContextLength-c.Tokens-1))
	return meta.Model.VocabSize, nil
}

func ignore(core.Delta) error { return nil }

// round times one request. Its prompt is random, so that no cached prefix shortens the work.
func (c *benchCmd) round(ctx context.Context, n api.Node, vocabulary int) (speed, error) {
	prompt := make([]int32, c.Prompt)
	for i := range prompt {
		prompt[i] = rand.Int32N(int32(vocabulary))
	}
	start := time.Now()
	var first, last time.Time
	reply, err := n.Generate(ctx, &core.GenerateRequest{
		Model: c.Model, Requester: "bench", PromptIDs: prompt, MaxTokens: c.Tokens,
	}, func(core.Delta) error {
		last = time.Now()
		if first.IsZero() {
			first = last
		}
		return nil
	})
	if err != nil {
		return speed{}, err
	}
	if first.IsZero() { // the model ended at once: all of the time was reading
		first, last = time.Now(), time.Now()
	}
	got := speed{
		Model: reply.Model, PromptTokens: reply.Usage.PromptTokens, CompletionTokens: reply.Usage.CompletionTokens,
		FirstTokenMS: first.Sub(start).Seconds() * 1000, PrefillPerSecond: float64(reply.Usage.PromptTokens) / first.Sub(start).Seconds(),
	}
	if writing := last.Sub(first).Seconds(); writing > 0 && got.CompletionTokens > 1 {
		got.DecodePerSecond = float64(got.CompletionTokens-1) / writing
	}
	return got, nil
}

// faster takes the best of each figure.
func faster(a, b speed) speed {
	best := b
	best.PrefillPerSecond = max(a.PrefillPerSecond, b.PrefillPerSecond)
	best.DecodePerSecond = max(a.DecodePerSecond, b.DecodePerSecond)
	if a.FirstTokenMS > 0 {
		best.FirstTokenMS = min(a.FirstTokenMS, b.FirstTokenMS)
	}
	return best
}
