package worker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest/real"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

// BenchmarkDecode measures steps of one row and BenchmarkPrefill steps of 512, in one to three worker processes with
// the same number of threads each. `make bench` compares with llama.cpp itself.
func BenchmarkDecode(b *testing.B)  { benchmark(b, 1) }
func BenchmarkPrefill(b *testing.B) { benchmark(b, 512) }

func benchmark(b *testing.B, rows int) {
	path := os.Getenv("SHOAL_BENCH_MODEL")
	if path == "" {
		path = filepath.Join(b.TempDir(), "bench.gguf")
		if err := gguftest.WriteFile(path, gguftest.Config{Layers: 8, Embedding: 512, Heads: 8, KVHeads: 8, FeedForward: 2048, Weights: gguftest.Q4KM}); err != nil {
			b.Fatal(err)
		}
	}
	dir, shards := real.Cut(b, path)
	e := newEngine(b, "llama")
	for _, threads := range []int{1, 2} {
		for _, windows := range []int{1, 2, 3} {
			b.Run(fmt.Sprintf("threads=%d/windows=%d", threads, windows), func(b *testing.B) {
				chain := loadChain(b, e, windows, shards, engine.Spec{
					ModelDir: dir, Context: 4096, Sequences: 4, BatchRows: 512,
					Threads: threads, ShareCPU: windows > 1,
				})
				benchmarkSteps(b, chain, rows)
				for _, w := range chain {
					_ = w.Close()
				}
			})
		}
	}
}

func benchmarkSteps(b *testing.B, chain []engine.Window, rows int) {
	pos, batch := 0, &engine.Batch{}
	hidden := make([][]float32, len(chain))
	for b.Loop() {
		batch.Ops, batch.Rows = nil, batch.Rows[:0]
		if pos+rows > 2048 {
			pos, batch.Ops = 0, []engine.Op{{Kind: engine.OpTrim}}
		}
		for i := range rows {
			batch.Rows = append(batch.Rows, engine.Row{Token: int32(3 + (pos+i)%200), Pos: int32(pos + i), Sample: i == rows-1})
		}
		pos += rows
		batch.Hidden = nil
		for i, w := range chain {
			batch.Spare = hidden[i]
			out, err := w.Step(context.Background(), batch)
			if err != nil {
				b.Fatal(err)
			}
			batch.Hidden, hidden[i] = out.Hidden, out.Hidden
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "tok/s")
}
