package main

import (
	"fmt"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"
)

// task is one measurement, the same for Shoal and for the reference.
type task struct {
	Model   string // GGUF file
	Runtime string // folder of the llama.cpp libraries
	Threads int
	Prompt  []int32
	Tokens  int // tokens to decode after the prompt
}

// figures are what one measurement gives.
type figures struct {
	LoadSeconds    float64 `json:"load_seconds"`
	PrefillPerSec  float64 `json:"prefill_per_sec"`
	DecodePerSec   float64 `json:"decode_per_sec"`
	ResidentMemory int64   `json:"resident_memory"` // bytes, of all processes that hold the model
}

// reference runs the task on llama.cpp called directly, in this process: load, decode the prompt as one batch, then
// one token at a time, greedily. Nothing of Shoal's engine is used.
func reference(t task) (figures, error) {
	if err := llama.Load(t.Runtime); err != nil {
		return figures{}, fmt.Errorf("load the libraries: %w", err)
	}
	llama.LogSet(llama.LogSilent())
	llama.Init()
	if err := llama.GGMLBackendLoadAllFromPath(t.Runtime); err != nil {
		return figures{}, fmt.Errorf("load the backends: %w", err)
	}
	start := time.Now()
	model, err := llama.ModelLoadFromFile(t.Model, llama.ModelDefaultParams())
	if err != nil {
		return figures{}, fmt.Errorf("load the model: %w", err)
	}
	params := llama.ContextDefaultParams()
	params.NCtx = 4096
	params.NBatch, params.NUbatch = 512, 512
	params.NThreads, params.NThreadsBatch = int32(t.Threads), int32(t.Threads)
	ctx, err := llama.InitFromModel(model, params)
	if err != nil {
		return figures{}, fmt.Errorf("make the context: %w", err)
	}
	f := figures{LoadSeconds: time.Since(start).Seconds()}
	if _, err := run(ctx, t.Prompt[:32]); err != nil { // warms the threads and the page cache
		return f, err
	}
	memory, err := llama.GetMemory(ctx)
	if err != nil {
		return f, fmt.Errorf("reach the KV cache: %w", err)
	}
	if err := llama.MemoryClear(memory, true); err != nil {
		return f, fmt.Errorf("clear the KV cache: %w", err)
	}
	start = time.Now()
	token, err := run(ctx, t.Prompt)
	if err != nil {
		return f, err
	}
	f.PrefillPerSec = float64(len(t.Prompt)) / time.Since(start).Seconds()
	start = time.Now()
	for range t.Tokens {
		if token, err = run(ctx, []int32{token}); err != nil {
			return f, err
		}
	}
	f.DecodePerSec = float64(t.Tokens) / time.Since(start).Seconds()
	f.ResidentMemory, err = residentMemory()
	return f, err
}

// run decodes tokens and returns the most likely next one.
func run(ctx llama.Context, tokens []int32) (int32, error) {
	batch := make([]llama.Token, len(tokens))
	for i, t := range tokens {
		batch[i] = llama.Token(t)
	}
	if code, err := llama.Decode(ctx, llama.BatchGetOne(batch)); err != nil || code != 0 {
		return 0, fmt.Errorf("decode: code %d: %w", code, err)
	}
	greedy := llama.SamplerInitGreedy()
	defer llama.SamplerFree(greedy)
	return int32(llama.SamplerSample(greedy, ctx, -1)), nil
}
