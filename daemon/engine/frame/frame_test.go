package frame

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

var all = View{Tokens: true, Samplers: true, Prompt: true}

func limits() Limits { return Limits{Rows: 8, Sequences: 4, Vocabulary: 100, Width: 2, Foreign: true} }

func wanted() Wanted { return Wanted{Rows: 3, Width: 2, Vocabulary: 100} }

func someBatch() *engine.Batch {
	return &engine.Batch{
		Ops: []engine.Op{
			{Kind: engine.OpTrim, Seq: 3, From: 12},
			{Kind: engine.OpCopy, Seq: 1, From: 5, Source: 2},
			{Kind: engine.OpSampler, Seq: 2, Sampler: &engine.Sampler{Sampling: core.Sampling{TopK: 40}, History: []int32{1, 2}, Accepted: []int32{3}}},
		},
		Rows:   []engine.Row{{Token: 1, Pos: 4, Seq: 2}, {Token: 9, Pos: 5, Seq: 2, Sample: true}, {Token: 8, Pos: 6, Seq: 2, Sample: true, Draft: true}},
		Hidden: []float32{1.5, -2, 3, 65504, 0.25, 1},
	}
}

func someOutput() *engine.Output {
	return &engine.Output{
		Samples: []engine.Sample{
			{Row: 1, Token: 42, Piece: []byte(" fish\xff"), Logprob: -0.5, Top: []engine.Candidate{{Token: 1, Piece: []byte("a"), Logprob: math.Inf(-1)}}},
			{Row: 2, Token: -1, End: true},
		},
		Embeddings: [][]float32{{1, 2}, {3, 4}},
	}
}

func encode(t testing.TB, b *engine.Batch, to View) []byte {
	t.Helper()
	data, err := AppendOps(nil, b.Ops, to)
	if err != nil {
		t.Fatal(err)
	}
	return AppendRows(data, b.Rows, b.Hidden, to, to.Half)
}

func decode(data []byte, to Limits, half bool) (b engine.Batch, err error) {
	c := Read(data)
	if b.Ops, err = c.Ops(nil, to); err != nil {
		return b, err
	}
	if err = c.Rows(&b, to, half); err != nil {
		return b, err
	}
	return b, c.End()
}

func output(data []byte, want Wanted) (engine.Output, error) {
	c := Read(data)
	out, err := c.Output(nil, false, want)
	if err != nil {
		return out, err
	}
	return out, c.End()
}

func TestBatchesComeBack(t *testing.T) {
	for _, half := range []bool{false, true} {
		to := all
		to.Half = half
		if got, err := decode(encode(t, someBatch(), to), limits(), half); err != nil || !reflect.DeepEqual(&got, someBatch()) {
			t.Errorf("half %v: %+v, %v", half, got, err)
		}
	}
	if got, err := output(AppendOutput(nil, someOutput(), false), wanted()); err != nil || !reflect.DeepEqual(&got, someOutput()) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestViews checks that nobody is told more than he needs to know.
func TestViews(t *testing.T) {
	for name, c := range map[string]struct {
		to                View
		token             int32
		history, accepted int
		topK              int
	}{
		"a worker":              {all, 1, 2, 1, 40},
		"who embeds":            {View{Tokens: true, Samplers: true}, 1, 0, 0, 40},
		"who passes it on":      {View{Samplers: true}, 0, 0, 0, 40},
		"in front of this node": {View{}, 0, 0, 0, 0},
	} {
		got, err := decode(encode(t, someBatch(), c.to), limits(), false)
		if err != nil {
			t.Fatal(err)
		}
		s := got.Ops[2].Sampler
		if got.Rows[0].Token != c.token || len(s.History) != c.history || len(s.Accepted) != c.accepted || s.TopK != c.topK {
			t.Errorf("%s is told token %d and %+v", name, got.Rows[0].Token, s)
		}
		if draft := got.Rows[2].Token; (draft != 0) != (c.to.Tokens || c.to.Samplers) {
			t.Errorf("%s is told the draft %d", name, draft)
		}
	}
}

// TestHostileBatches changes one thing of a good batch each time.
func TestHostileBatches(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for name, change := range map[string]func(b *engine.Batch){
		"operation on a sequence past the last":    func(b *engine.Batch) { b.Ops[0].Seq = 4 },
		"operation on a negative sequence":         func(b *engine.Batch) { b.Ops[0].Seq = -1 },
		"copy of a sequence past the last":         func(b *engine.Batch) { b.Ops[1].Source = 4 },
		"copy of a negative sequence":              func(b *engine.Batch) { b.Ops[1].Source = math.MinInt32 },
		"trim to a negative position":              func(b *engine.Batch) { b.Ops[0].From = -1 },
		"no kind":                                  func(b *engine.Batch) { b.Ops[0].Kind = 0 },
		"unknown kind":                             func(b *engine.Batch) { b.Ops[0].Kind = 4 },
		"too many operations":                      func(b *engine.Batch) { b.Ops = slices.Repeat(b.Ops[:1], maxOps+1) },
		"row of a sequence past the last":          func(b *engine.Batch) { b.Rows[0].Seq = 4 },
		"row of a negative sequence":               func(b *engine.Batch) { b.Rows[0].Seq = -1 },
		"row at a negative position":               func(b *engine.Batch) { b.Rows[0].Pos = -1 },
		"token past the last":                      func(b *engine.Batch) { b.Rows[0].Token = 100 },
		"negative token":                           func(b *engine.Batch) { b.Rows[0].Token = -1 },
		"draft at the beginning":                   func(b *engine.Batch) { b.Rows[0].Draft, b.Rows[0].Sample = true, true },
		"draft that is not sampled":                func(b *engine.Batch) { b.Rows[2].Sample = false },
		"draft after a row that is not sampled":    func(b *engine.Batch) { b.Rows[1].Sample = false },
		"draft after a row of another sequence":    func(b *engine.Batch) { b.Rows[1].Seq = 1 },
		"too many rows":                            func(b *engine.Batch) { b.Rows, b.Hidden = make([]engine.Row, 9), slices.Repeat([]float32{1}, 18) },
		"a float too few":                          func(b *engine.Batch) { b.Hidden = b.Hidden[:5] },
		"a float too many":                         func(b *engine.Batch) { b.Hidden = append(b.Hidden, 1) },
		"no floats":                                func(b *engine.Batch) { b.Hidden = nil },
		"NaN":                                      func(b *engine.Batch) { b.Hidden[5] = nan },
		"infinity":                                 func(b *engine.Batch) { b.Hidden[0] = inf },
		"row of zeros":                             func(b *engine.Batch) { b.Hidden[2], b.Hidden[3] = 0, 0 },
		"row of a length that is out of the world": func(b *engine.Batch) { b.Hidden[1] = 1e9 },
	} {
		b := someBatch()
		change(b)
		if _, err := decode(encode(t, b, all), limits(), false); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	own := limits()
	own.Foreign = false
	for value, ok := range map[float32]bool{0: true, 1e9: true, nan: false, inf: false} {
		b := someBatch()
		b.Hidden[0], b.Hidden[1] = value, value
		if _, err := decode(encode(t, b, all), own, false); (err == nil) != ok {
			t.Errorf("of this PC's own worker, floats of %v: %v", value, err)
		}
	}
	if _, err := decode(encode(t, &engine.Batch{Rows: []engine.Row{{}}, Hidden: []float32{1, 2}}, all), Limits{Rows: 1, Sequences: 1}, false); err == nil {
		t.Error("hidden states for a window that takes tokens are accepted")
	}
}

// TestHostileOutputs changes one thing of a good output each time.
func TestHostileOutputs(t *testing.T) {
	for name, change := range map[string]func(out *engine.Output){
		"sample of a row past the last":        func(out *engine.Output) { out.Samples[1].Row = 3 },
		"sample of a negative row":             func(out *engine.Output) { out.Samples[0].Row = -1 },
		"two samples of a row":                 func(out *engine.Output) { out.Samples[0].Row = 2 },
		"sample of a token past the last":      func(out *engine.Output) { out.Samples[0].Token = 100 },
		"sample of no token":                   func(out *engine.Output) { out.Samples[1].End = false },
		"NaN as log-probability":               func(out *engine.Output) { out.Samples[0].Logprob = math.NaN() },
		"infinite log-probability":             func(out *engine.Output) { out.Samples[0].Logprob = math.Inf(1) },
		"alternative of a token past the last": func(out *engine.Output) { out.Samples[0].Top[0].Token = 100 },
		"alternative of no token":              func(out *engine.Output) { out.Samples[0].Top[0].Token = -1 },
		"alternative with NaN":                 func(out *engine.Output) { out.Samples[0].Top[0].Logprob = math.NaN() },
		"too many alternatives":                func(out *engine.Output) { out.Samples[0].Top = make([]engine.Candidate, engine.MaxTop+1) },
		"too long a piece":                     func(out *engine.Output) { out.Samples[0].Piece = make([]byte, maxPiece+1) },
		"too many samples":                     func(out *engine.Output) { out.Samples = make([]engine.Sample, 4) },
		"too many vectors":                     func(out *engine.Output) { out.Embeddings = make([][]float32, 4) },
		"a vector too short":                   func(out *engine.Output) { out.Embeddings[0] = []float32{1} },
		"a vector with NaN":                    func(out *engine.Output) { out.Embeddings[1][1] = float32(math.NaN()) },
		"a vector with infinity":               func(out *engine.Output) { out.Embeddings[0][0] = float32(math.Inf(1)) },
		"hidden states of the last window":     func(out *engine.Output) { out.Hidden = make([]float32, 6) },
	} {
		out := someOutput()
		change(out)
		if _, err := output(AppendOutput(nil, out, false), wanted()); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	want := wanted()
	want.Hidden = true
	for name, hidden := range map[string][]float32{"none": nil, "too few": {1, 2, 3, 4}, "NaN": {1, 2, 3, 4, 5, float32(math.NaN())}} {
		if _, err := output(AppendOutput(nil, &engine.Output{Hidden: hidden}, false), want); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("hidden states, %s: %v", name, err)
		}
	}
}

// TestPromisesCostNothing checks that a count takes no memory unless its entries are there.
func TestPromisesCostNothing(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0x0f}
	ops, err := AppendOps(nil, nil, all)
	if err != nil {
		t.Fatal(err)
	}
	want := Wanted{Rows: 1 << 30, Width: 1 << 20, Vocabulary: 100}
	to := Limits{Rows: 1 << 30, Sequences: 4, Width: 1 << 20}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, read := range map[string]func() error{
		"operations": func() error { _, err := decode(huge, to, false); return err },
		"rows":       func() error { _, err := decode(append(slices.Clone(ops), huge...), to, false); return err },
		"floats":     func() error { _, err := output(huge, want); return err },
		"samples":    func() error { _, err := output(append(make([]byte, 4), huge...), want); return err },
		"vectors":    func() error { _, err := output(append(make([]byte, 8), huge...), want); return err },
		"tokens":     func() error { c := Read(huge); c.Tokens(); return c.End() },
	} {
		if read() == nil {
			t.Errorf("%s are believed", name)
		}
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("counts without entries took %d bytes", took)
	}
}

func TestSamplersThatCannotTravel(t *testing.T) {
	for name, c := range map[string]struct {
		sampler *engine.Sampler
		want    core.Code
	}{
		"none":      {nil, core.CodeInvalidRequest},
		"NaN":       {&engine.Sampler{Sampling: core.Sampling{TopP: math.NaN()}}, core.CodeInvalidRequest},
		"too large": {&engine.Sampler{Sampling: core.Sampling{Grammar: string(bytes.Repeat([]byte{'x'}, MaxSampler))}}, core.CodeTooLarge},
	} {
		if _, err := AppendOps(nil, []engine.Op{{Kind: engine.OpSampler, Sampler: c.sampler}}, all); core.CodeOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	text := AppendBytes(append([]byte{1, 0, 0, 0, byte(engine.OpSampler)}, make([]byte, 12)...), []byte(`{"TopK":"x"}`))
	if _, err := Read(text).Ops(nil, limits()); core.CodeOf(err) != core.CodeInvalidRequest {
		t.Errorf("text that is no sampler: %v", err)
	}
}

func TestFitHalf(t *testing.T) {
	if !FitHalf([]float32{65504, -65504, 0}) || FitHalf([]float32{65505}) || FitHalf([]float32{1, -70000}) {
		t.Error("what half floats hold is not known")
	}
}

func FuzzBatch(f *testing.F) {
	f.Add(encode(f, someBatch(), all), false)
	half := all
	half.Half = true
	f.Add(encode(f, someBatch(), half), true)
	f.Fuzz(func(t *testing.T, data []byte, half bool) {
		b, err := decode(data, limits(), half)
		if err != nil {
			return
		}
		for _, op := range b.Ops {
			if op.Seq < 0 || op.Seq >= 4 || op.Source < 0 || op.Source >= 4 || op.From < 0 {
				t.Fatalf("accepted %+v", op)
			}
		}
		for _, r := range b.Rows {
			if r.Seq < 0 || r.Seq >= 4 || r.Token < 0 || r.Token >= 100 || r.Pos < 0 {
				t.Fatalf("accepted %+v", r)
			}
		}
		if len(b.Rows) > 8 || len(b.Hidden) != 2*len(b.Rows) || CheckHidden(b.Hidden, 2) != nil {
			t.Fatalf("accepted %+v", b)
		}
		text, err := AppendOps(nil, b.Ops, all)
		if err != nil {
			return // a sampler that JSON reads but does not write
		}
		if _, err := decode(AppendRows(text, b.Rows, b.Hidden, all, false), limits(), false); err != nil {
			t.Fatalf("%+v does not come back: %v", b, err)
		}
	})
}

func FuzzOutput(f *testing.F) {
	f.Add(AppendOutput(nil, someOutput(), false), false, false)
	f.Add(AppendOutput(nil, &engine.Output{Hidden: []float32{1, 2, 3, 4, 5, 6}}, true), true, true)
	f.Fuzz(func(t *testing.T, data []byte, half, hidden bool) {
		want := wanted()
		want.Hidden = hidden
		c := Read(data)
		out, err := c.Output(nil, half, want)
		if err != nil || c.End() != nil {
			return
		}
		for _, s := range out.Samples {
			if s.Row < 0 || s.Row >= 3 || s.Token < -1 || s.Token >= 100 || len(s.Top) > engine.MaxTop {
				t.Fatalf("accepted %+v", s)
			}
		}
		if len(out.Samples) > 3 || len(out.Embeddings) > 3 || hidden && len(out.Hidden) != 6 || !hidden && out.Hidden != nil {
			t.Fatalf("accepted %+v", out)
		}
		if _, err := output(AppendOutput(nil, &out, false), want); err != nil {
			t.Fatalf("%+v does not come back: %v", out, err)
		}
	})
}

// BenchmarkBatch writes and reads a batch, and BenchmarkOutput hidden states.
func BenchmarkBatch(b *testing.B) {
	for _, rows := range []int{1, 512} {
		for _, half := range []bool{false, true} {
			b.Run(fmt.Sprintf("rows=%d/half=%v", rows, half), func(b *testing.B) {
				b.ReportAllocs()
				in, to := many(rows), Limits{Rows: rows, Sequences: 1, Width: 2048}
				var got engine.Batch
				var buf []byte
				for b.Loop() {
					buf = AppendRows(buf[:0], in.Rows, in.Hidden, all, half)
					if err := Read(buf).Rows(&got, to, half); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkOutput(b *testing.B) {
	for _, rows := range []int{1, 512} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			b.ReportAllocs()
			in := &engine.Output{Hidden: many(rows).Hidden}
			spare := make([]float32, len(in.Hidden))
			var buf []byte
			for b.Loop() {
				buf = AppendOutput(buf[:0], in, false)
				if _, err := Read(buf).Output(spare, false, Wanted{Rows: rows, Width: 2048, Hidden: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func many(rows int) *engine.Batch {
	b := &engine.Batch{Hidden: make([]float32, rows*2048)}
	for i := range b.Hidden {
		b.Hidden[i] = float32(i%7) + 0.5
	}
	for i := range rows {
		b.Rows = append(b.Rows, engine.Row{Token: 5, Pos: int32(i), Sample: i == rows-1})
	}
	return b
}
