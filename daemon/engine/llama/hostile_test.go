package llama_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest/real"
)

func TestHostileBatchesAreRefused(t *testing.T) {
	w := stories(t)
	ctx := context.Background()
	want := text(drawn(t, w, 5, engine.Sampler{}))
	if _, err := w.Step(ctx, &engine.Batch{Ops: []engine.Op{{Kind: engine.OpTrim}}}); err != nil {
		t.Fatal(err)
	}
	sampled := func(n int) (rows []engine.Row) {
		for i := range n {
			rows = append(rows, engine.Row{Token: 5, Pos: int32(i), Sample: true})
		}
		return rows
	}
	row := func(token, pos, seq int32) engine.Batch {
		return engine.Batch{Rows: []engine.Row{{Token: token, Pos: pos, Seq: seq, Sample: true}}}
	}
	op := func(o engine.Op) engine.Batch { return engine.Batch{Ops: []engine.Op{o}} }
	for name, b := range map[string]engine.Batch{
		"token":            row(512, 0, 0),
		"negative token":   row(-1, 0, 0),
		"gap":              row(5, 1, 0),
		"negative pos":     row(5, -1, 0),
		"huge pos":         row(5, math.MaxInt32, 0),
		"seq":              row(5, 0, 4),
		"negative seq":     row(5, 0, -1),
		"rows":             {Rows: make([]engine.Row, 129)},
		"twice":            {Rows: []engine.Row{{Token: 5}, {Token: 5}}},
		"samples":          {Rows: sampled(65)},
		"hidden":           {Rows: sampled(1), Hidden: make([]float32, 64)},
		"op":               op(engine.Op{}),
		"op kind":          op(engine.Op{Kind: 200}),
		"trim seq":         op(engine.Op{Kind: engine.OpTrim, Seq: 4}),
		"trim below":       op(engine.Op{Kind: engine.OpTrim, From: -1}),
		"copy from itself": op(engine.Op{Kind: engine.OpCopy, Seq: 1, Source: 1}),
		"copy source":      op(engine.Op{Kind: engine.OpCopy, Source: 9}),
		"copy too much":    op(engine.Op{Kind: engine.OpCopy, Source: 1, From: 3}),
		"no sampler":       op(engine.Op{Kind: engine.OpSampler}),
	} {
		if _, err := w.Step(ctx, &b); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if got := text(drawn(t, w, 5, engine.Sampler{})); got != want {
		t.Errorf("after that the story is %q, want %q", got, want)
	}
}

func TestRefusedBatchChangesNothing(t *testing.T) {
	w := stories(t)
	ctx := context.Background()
	want := text(drawn(t, w, 5, engine.Sampler{}))
	b := &engine.Batch{Ops: []engine.Op{{Kind: engine.OpTrim}}, Rows: []engine.Row{{Token: 5, Pos: 7}}}
	if _, err := w.Step(ctx, b); err == nil {
		t.Fatal("a gap was accepted")
	}
	tokens, _ := w.Tokenize(ctx, "Once upon a time", true, false)
	end := int32(len(tokens) + 4)
	if _, err := w.Step(ctx, &engine.Batch{Rows: []engine.Row{{Token: 5, Pos: end}}}); err != nil {
		t.Errorf("the refused batch trimmed the sequence: %v", err)
	}
	if got := text(drawn(t, w, 5, engine.Sampler{})); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHostileRowsAreRefused(t *testing.T) {
	e := engineOf(t)
	dir, layers := real.Cut(t, smallModel(t))
	last := openChain(t, e, dir, []int{2, layers})[0]
	width := last.Shape().Embedding
	for name, hidden := range map[string][]float32{
		"none":           nil,
		"short":          make([]float32, width-1),
		"long":           make([]float32, 2*width),
		"NaN":            append(make([]float32, width-1), float32(math.NaN())),
		"infinity":       append(make([]float32, width-1), float32(math.Inf(1))),
		"minus infinity": append(make([]float32, width-1), float32(math.Inf(-1))),
	} {
		b := &engine.Batch{Rows: []engine.Row{{Sample: true}}, Hidden: hidden}
		if _, err := last.Step(context.Background(), b); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := last.Step(context.Background(), &engine.Batch{Rows: []engine.Row{{Sample: true}}, Hidden: make([]float32, width)}); err != nil {
		t.Errorf("after that, zeros: %v", err)
	}
}

func TestCacheFull(t *testing.T) {
	e := engineOf(t)
	w, err := e.Load(context.Background(), engine.Spec{
		ModelDir: smallModel(t),
		Context:  256, Sequences: 3, BatchRows: 200, Threads: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	fill := func(seq int32, n int) error {
		b := &engine.Batch{}
		for i := range n {
			b.Rows = append(b.Rows, engine.Row{Token: 5, Pos: int32(i), Seq: seq})
		}
		_, err := w.Step(context.Background(), b)
		return err
	}
	if err := fill(0, 200); err != nil {
		t.Fatal(err)
	}
	if err := fill(1, 100); core.CodeOf(err) != core.CodeOverloaded {
		t.Errorf("300 tokens in a cache of 256: %v", err)
	}
	if err := fill(1, 50); err != nil {
		t.Errorf("250 tokens in a cache of 256: %v", err)
	}
}

func TestDamagedFiles(t *testing.T) {
	e := engineOf(t)
	data, err := os.ReadFile(smallModel(t))
	if err != nil {
		t.Fatal(err)
	}
	garbage := slices.Clone(data)
	for i := 40; i < 400; i++ {
		garbage[i] ^= 0x5a
	}
	for name, bytes := range map[string][]byte{"cut": data[:len(data)-100000], "header": data[:3000], "garbage": garbage, "empty": {}} {
		path := filepath.Join(t.TempDir(), "damaged.gguf")
		if err := os.WriteFile(path, bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Load(context.Background(), small(path)); err == nil {
			t.Errorf("%s: loaded", name)
		} else if code := core.CodeOf(err); code != core.CodeCorrupt && code != core.CodeUnsupported {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := e.Load(context.Background(), small(filepath.Join(t.TempDir(), "none"))); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("no file: %v", err)
	}
	for name, spec := range map[string]engine.Spec{
		"sequences": {Context: 64, Sequences: 65, BatchRows: 8}, "rows": {Context: 64, Sequences: 1, BatchRows: 1 << 20},
		"context": {Context: 0, Sequences: 1, BatchRows: 8}, "threads": {Context: 64, Sequences: 1, BatchRows: 8, Threads: 1 << 20},
	} {
		if _, err := e.Load(context.Background(), spec); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCopiesAndTrims(t *testing.T) {
	w := stories(t)
	ctx := context.Background()
	tokens, _ := w.Tokenize(ctx, "Once upon a time", true, false)
	run := func(ops []engine.Op, seq int32, from int) int32 {
		b := &engine.Batch{Ops: ops}
		for i, tok := range tokens[from:] {
			b.Rows = append(b.Rows, engine.Row{Token: tok, Pos: int32(from + i), Seq: seq, Sample: from+i == len(tokens)-1})
		}
		out, err := w.Step(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		return out.Samples[0].Token
	}
	want := run(nil, 0, 0)
	if got := run([]engine.Op{{Kind: engine.OpCopy, Seq: 2, From: 3, Source: 0}}, 2, 3); got != want {
		t.Errorf("from a copy %d, want %d", got, want)
	}
	if got := run([]engine.Op{{Kind: engine.OpTrim, Seq: 0, From: 2}}, 0, 2); got != want {
		t.Errorf("after a trim %d, want %d", got, want)
	}
	if got := run([]engine.Op{{Kind: engine.OpTrim, Seq: 0}, {Kind: engine.OpTrim, Seq: 2, From: 1}}, 2, 1); got != want {
		t.Errorf("of the copy, with the source gone, %d, want %d", got, want)
	}
}
