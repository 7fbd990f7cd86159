package fake

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// width is the number of floats of a hidden state: each carries 16 bits of a 64-bit value, exactly.
const width = 4

// Window is a scripted engine.Window.
type Window struct {
	cfg   Config
	shape engine.Shape

	steps atomic.Int64
	life  context.Context // ends with the window's imagined process
	kill  context.CancelFunc

	stepping  chan struct{} // holds a token while a Step runs
	mu        sync.Mutex    // guards sequences
	sequences []sequence
}

// sequence is the KV cache and the sampler of one sequence.
type sequence struct {
	tokens  []int32
	cells   []uint64 // for each position, one value per layer of the window
	sampler sampler
}

func newWindow(cfg Config, spec engine.Spec) *Window {
	w := &Window{cfg: cfg, stepping: make(chan struct{}, 1)}
	w.life, w.kill = context.WithCancel(context.Background())
	w.shape = engine.Shape{
		Layers:     core.LayerRange{First: spec.FirstShard, End: spec.EndShard},
		First:      spec.FirstShard == 0,
		Last:       spec.EndShard == cfg.Layers,
		Embedding:  width,
		Vocabulary: Vocabulary,
		Context:    orDefault(spec.Context, 4096),
		Sequences:  orDefault(spec.Sequences, 8),
		BatchRows:  orDefault(spec.BatchRows, 512),
		CanTrim:    !cfg.NoTrim,
	}
	w.sequences = make([]sequence, w.shape.Sequences)
	return w
}

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// Shape implements engine.Window.
func (w *Window) Shape() engine.Shape { return w.shape }

// Done implements engine.Window.
func (w *Window) Done() <-chan struct{} { return w.life.Done() }

// Close implements engine.Window.
func (w *Window) Close() error {
	w.Crash()
	return nil
}

// Crash ends the window as if its process had died: a running Step fails with core.CodeEngineCrashed.
func (w *Window) Crash() { w.kill() }

// Steps is how many times Step was called.
func (w *Window) Steps() int { return int(w.steps.Load()) }

// Tokens returns the tokens that the KV cache holds of a sequence.
func (w *Window) Tokens(seq int) []int32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]int32(nil), w.sequences[seq].tokens...)
}

// Step implements engine.Window.
func (w *Window) Step(ctx context.Context, b *engine.Batch) (*engine.Output, error) {
	w.stepping <- struct{}{}
	defer func() { <-w.stepping }()
	w.steps.Add(1)
	if w.cfg.BeforeStep != nil {
		if err := w.cfg.BeforeStep(w, b); err != nil {
			return nil, err
		}
	}
	if w.dead() {
		return nil, errCrashed()
	}
	if err := w.prepare(b); err != nil {
		return nil, err
	}
	if err := w.pass(ctx, len(b.Rows)); err != nil {
		return nil, err
	}
	return w.run(b), nil
}

// prepare applies the operations of a batch and checks its rows.
func (w *Window) prepare(b *engine.Batch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, op := range b.Ops {
		if err := w.apply(op); err != nil {
			return err
		}
	}
	return w.check(b)
}

// pass takes the time of a step of that many rows.
func (w *Window) pass(ctx context.Context, rows int) error {
	whole := w.cfg.StepTime + time.Duration(rows)*w.cfg.RowTime
	if rows > 0 && whole > 0 {
		until, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(w.life, cancel)()
		w.cfg.Wait(until, whole*time.Duration(w.shape.Layers.Len())/time.Duration(w.cfg.Layers))
	}
	if w.dead() {
		return errCrashed()
	}
	if rows > 0 && ctx.Err() != nil {
		return core.Errorf(core.CodeCancelled, "step: %w", context.Cause(ctx))
	}
	return nil
}

func (w *Window) dead() bool { return w.life.Err() != nil }

func errCrashed() error { return core.Errorf(core.CodeEngineCrashed, "fake window has ended") }

func (w *Window) apply(op engine.Op) error {
	if op.Seq < 0 || int(op.Seq) >= len(w.sequences) || op.Source < 0 || int(op.Source) >= len(w.sequences) {
		return core.Errorf(core.CodeInvalidRequest, "operation on sequence %d is out of range", op.Seq)
	}
	s, layers := &w.sequences[op.Seq], w.shape.Layers.Len()
	switch op.Kind {
	case engine.OpTrim:
		if int(op.From) >= len(s.tokens) {
			return nil
		}
		if w.cfg.NoTrim && op.From != 0 {
			return core.Errorf(core.CodeUnsupported, "sequence %d cannot be trimmed to %d", op.Seq, op.From)
		}
		s.tokens, s.cells = s.tokens[:op.From], s.cells[:int(op.From)*layers]
	case engine.OpCopy:
		from := &w.sequences[op.Source]
		if int(op.From) > len(from.tokens) || w.cfg.NoTrim && int(op.From) != len(from.tokens) {
			return core.Errorf(core.CodeInvalidRequest, "sequence %d has no %d positions to copy", op.Source, op.From)
		}
		s.tokens = append(s.tokens[:0], from.tokens[:op.From]...)
		s.cells = append(s.cells[:0], from.cells[:int(op.From)*layers]...)
	case engine.OpSampler:
		return s.sampler.set(op.Sampler)
	default:
		return core.Errorf(core.CodeInvalidRequest, "unknown operation %d", op.Kind)
	}
	return nil
}

// check refuses what a real window refuses, before anything of the rows is kept.
func (w *Window) check(b *engine.Batch) error {
	if len(b.Rows) > w.shape.BatchRows {
		return core.Errorf(core.CodeInvalidRequest, "batch of %d rows, at most %d", len(b.Rows), w.shape.BatchRows)
	}
	if !w.shape.First && len(b.Hidden) != len(b.Rows)*width {
		return core.Errorf(core.CodeInvalidRequest, "hidden states of %d floats for %d rows", len(b.Hidden), len(b.Rows))
	}
	for _, h := range b.Hidden {
		if math.IsNaN(float64(h)) || math.IsInf(float64(h), 0) {
			return core.Errorf(core.CodeInvalidRequest, "hidden states hold NaN or infinity")
		}
	}
	return w.checkRows(b.Rows)
}

func (w *Window) checkRows(rows []engine.Row) error {
	next := make([]int32, len(w.sequences))
	held := len(rows)
	for i := range w.sequences {
		next[i] = int32(len(w.sequences[i].tokens))
		held += len(w.sequences[i].tokens)
	}
	if held > w.shape.Context {
		return core.Errorf(core.CodeInternal, "KV cache of %d tokens is full", w.shape.Context)
	}
	for i, row := range rows {
		if row.Seq < 0 || int(row.Seq) >= len(next) {
			return core.Errorf(core.CodeInvalidRequest, "row %d: no sequence %d", i, row.Seq)
		}
		if row.Pos != next[row.Seq] {
			return core.Errorf(core.CodeInvalidRequest, "row %d: position %d of sequence %d, expected %d", i, row.Pos, row.Seq, next[row.Seq])
		}
		if row.Token < 0 || row.Token >= Vocabulary {
			return core.Errorf(core.CodeInvalidRequest, "row %d: no token %d", i, row.Token)
		}
		next[row.Seq]++
	}
	return nil
}

func (w *Window) run(b *engine.Batch) *engine.Output {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := &engine.Output{}
	if !w.shape.Last {
		out.Hidden = room(b.Spare, len(b.Rows)*width)
	}
	var before *engine.Sample // of the row before
	for i, row := range b.Rows {
		x := uint64(row.Token)
		if !w.shape.First {
			x = unpack(b.Hidden[i*width:])
		}
		s := &w.sequences[row.Seq]
		x = w.layers(s, x, row)
		switch {
		case !w.shape.Last:
			pack(out.Hidden[i*width:], x)
		case row.Sample && b.Embed:
			v := make([]float32, width)
			pack(v, x)
			out.Embeddings = append(out.Embeddings, v)
		case row.Sample && row.Draft && (before == nil || before.End || before.Token != row.Token):
			before = nil
		case row.Sample:
			out.Samples = append(out.Samples, s.sampler.sample(w.cfg, i, x, s.tokens))
			sample := out.Samples[len(out.Samples)-1]
			before = &sample
		}
	}
	return out
}

// layers runs one row: each layer folds its input into what the position before it left in that layer.
func (w *Window) layers(s *sequence, x uint64, row engine.Row) uint64 {
	n := w.shape.Layers.Len()
	s.tokens = append(s.tokens, row.Token)
	for l := range n {
		before := uint64(0)
		if row.Pos > 0 {
			before = s.cells[len(s.cells)-n]
		}
		x = mix(x^uint64(w.shape.Layers.First+l), before+uint64(row.Pos))
		s.cells = append(s.cells, x)
	}
	return x
}

// room returns n floats, of spare if it is large enough.
func room(spare []float32, n int) []float32 {
	if cap(spare) >= n {
		return spare[:n]
	}
	return make([]float32, n)
}

func pack(v []float32, x uint64) {
	for i := range width {
		v[i] = float32(x >> (16 * i) & 0xffff)
	}
}

func unpack(v []float32) (x uint64) {
	for i := range width {
		x |= uint64(v[i]) << (16 * i)
	}
	return x
}

// mix is a cheap hash of two values.
func mix(a, b uint64) uint64 {
	a = (a ^ b*0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	a = (a ^ a>>29) * 0x94d049bb133111eb
	return a ^ a>>32
}
