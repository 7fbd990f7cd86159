package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"time"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// plan says what is measured.
type plan struct {
	model   string // GGUF file
	work    string // folder for the node's data
	runtime string // folder of the llama.cpp libraries
	rounds  int
	prompt  int // tokens
	tokens  int // decoded after the prompt
}

// series are the figures of one way to run the model, one entry per round.
type series struct{ load, prefill, decode, memory []float64 }

func (s *series) add(f figures) {
	s.load = append(s.load, f.LoadSeconds)
	s.prefill = append(s.prefill, f.PrefillPerSec)
	s.decode = append(s.decode, f.DecodePerSec)
	s.memory = append(s.memory, float64(f.ResidentMemory)/(1<<20))
}

// measure imports the model into a node of its own and takes the rounds.
func measure(ctx context.Context, p plan) (rows []row, err error) {
	err = withNode(ctx, p, "node", func(n api.Node) error {
		info, err := n.Import(ctx, p.model, 0, nil)
		if err != nil {
			return err
		}
		id, err := core.ParseModelID(info.ID)
		if err != nil {
			return err
		}
		for threads := 1; threads <= 2; threads++ {
			more, err := compare(ctx, n, id, p, threads)
			if err != nil {
				return err
			}
			rows = append(rows, more...)
		}
		dir := filepath.Join(p.work, "node", "models", id.String())
		verified, err := verify(ctx, dir)
		if err != nil {
			return err
		}
		moved, err := transferred(ctx, p, n, id, dir)
		if err != nil {
			return err
		}
		chained, err := chains(ctx, p, dir)
		rows = append(append(rows, verified, moved), chained...)
		return err
	})
	return rows, err
}

// compare takes the rounds at one number of threads: plain llama.cpp, the whole model, two windows, in turn.
func compare(ctx context.Context, n api.Node, id core.ModelID, p plan, threads int) ([]row, error) {
	var reference, whole, split series
	for round := range p.rounds {
		prompt := randomPrompt(p.prompt, round)
		plain, err := runReference(ctx, task{p.model, p.runtime, threads, prompt, p.tokens})
		if err != nil {
			return nil, err
		}
		reference.add(plain)
		for i, s := range []*series{&whole, &split} {
			f, err := ours(ctx, n, id, threads, i+1, prompt, p.tokens)
			if err != nil {
				return nil, fmt.Errorf("%d threads, %d windows: %w", threads, i+1, err)
			}
			s.add(f)
		}
		fmt.Printf("round %d of %d at %d threads done\n", round+1, p.rounds, threads)
	}
	suffix := fmt.Sprintf(".t%d", threads)
	rows := []row{
		faster("whole.decode"+suffix, "tokens/s", whole.decode, reference.decode),
		faster("whole.prefill"+suffix, "tokens/s", whole.prefill, reference.prefill),
	}
	if threads == 1 {
		return append(rows,
			faster("windows2.decode", "tokens/s", split.decode, whole.decode),
			faster("windows2.prefill", "tokens/s", split.prefill, whole.prefill)), nil
	}
	return append(rows,
		faster("windows2.decode"+suffix, "tokens/s", split.decode, whole.decode),
		faster("windows2.prefill"+suffix, "tokens/s", split.prefill, whole.prefill),
		smaller("load", "s", whole.load, reference.load),
		smaller("memory", "MiB", whole.memory, reference.memory)), nil
}

// faster is a row whose unit is better the larger it is.
func faster(name, unit string, ours, reference []float64) row {
	return row{name, median(ours), median(reference), ratio(ours, reference), unit}
}

// smaller is a row whose unit is better the smaller it is; its ratio is turned round.
func smaller(name, unit string, ours, reference []float64) row {
	return row{name, median(ours), median(reference), ratio(reference, ours), unit}
}

// ratio is the median of the rounds' own ratios: what was measured side by side is compared with each other, so that a
// machine whose speed changes from round to round changes both sides.
func ratio(a, b []float64) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return median(ratios)
}

// ours takes one round with Shoal: through the node, as every request goes.
//
// The first request reads the prompt and gives one token. The second has the same prompt, so that all of it but the
// last token comes from the prefix cache: it is the decoding, timed by itself.
func ours(ctx context.Context, n api.Node, id core.ModelID, threads, windows int, prompt []int32, tokens int) (f figures, err error) {
	patch, err := json.Marshal(map[string]any{"threads": threads, "windows": windows, "context_size": 4096, "idle_unload_seconds": 0})
	if err != nil {
		return f, err
	}
	if err := n.SetConfig(ctx, patch); err != nil {
		return f, err
	}
	start := time.Now()
	if _, err := n.Load(ctx, id); err != nil {
		return f, err
	}
	f.LoadSeconds = time.Since(start).Seconds()
	if _, _, err := generate(ctx, n, id, prompt[len(prompt)-32:], 1); err != nil { // warms up, like the reference
		return f, err
	}
	_, took, err := generate(ctx, n, id, prompt, 1)
	if err != nil {
		return f, err
	}
	f.PrefillPerSec = float64(len(prompt)) / took.Seconds()
	usage, took, err := generate(ctx, n, id, prompt, tokens)
	if err != nil {
		return f, err
	}
	if usage.PromptTokens-usage.CachedTokens > 1 || usage.CompletionTokens != tokens {
		return f, fmt.Errorf("%d of %d prompt tokens came from the cache and %d tokens were generated: decoding cannot be timed",
			usage.CachedTokens, usage.PromptTokens, usage.CompletionTokens)
	}
	f.DecodePerSec = float64(usage.CompletionTokens) / took.Seconds()
	if f.ResidentMemory, err = childMemory(); err != nil {
		return f, err
	}
	_, err = n.Unload(ctx, id)
	return f, err
}

func generate(ctx context.Context, n api.Node, id core.ModelID, prompt []int32, tokens int) (core.Usage, time.Duration, error) {
	start := time.Now()
	reply, err := n.Generate(ctx, &core.GenerateRequest{
		Model: id.String(), Requester: "bench", PromptIDs: prompt, MaxTokens: tokens,
	}, func(core.Delta) error { return nil })
	if err != nil {
		return core.Usage{}, 0, err
	}
	return reply.Usage, time.Since(start), nil
}

// randomPrompt draws ordinary tokens. Each round has its own, so that no cache of the round before helps.
func randomPrompt(n, round int) []int32 {
	draw := rand.New(rand.NewPCG(1, uint64(round)))
	prompt := make([]int32, n)
	for i := range prompt {
		prompt[i] = 1000 + draw.Int32N(30_000)
	}
	return prompt
}

// verifyBar is what a core must verify, in GB/s; the verify row is measured against it.
const verifyBar = 1.0

// verify hashes every shard on one core.
func verify(ctx context.Context, dir string) (row, error) {
	model, err := shard.Open(dir)
	if err != nil {
		return row{}, err
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	start, bytes := time.Now(), int64(0)
	damaged, err := model.Verify(ctx, func(_, total int64) { bytes = total })
	if err != nil {
		return row{}, err
	}
	if len(damaged) > 0 {
		return row{}, fmt.Errorf("shards %v are damaged", damaged)
	}
	speed := float64(bytes) / 1e9 / time.Since(start).Seconds()
	return row{"verify", speed, verifyBar, speed / verifyBar, "GB/s of one core"}, nil
}
