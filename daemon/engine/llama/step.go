package llama

import (
	"context"
	"slices"

	binding "github.com/hybridgroup/yzma/pkg/llama"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// lost is the length of a sequence whose state is broken until all of it is dropped.
const lost = -1

// What llama_decode returns.
const (
	decodeOK      = 0
	decodeFull    = 1
	decodeAborted = 2
)

// rowBatch holds the arrays of a llama_batch.
type rowBatch struct {
	token  []binding.Token
	pos    []binding.Pos
	seq    []binding.SeqId
	seqAt  []*binding.SeqId
	seqs   []int32
	want   []int8
	hidden []float32 // looked-up rows
	best   []int32   // likeliest tokens
}

func newRowBatch(rows int) rowBatch {
	b := rowBatch{
		token: make([]binding.Token, rows),
		pos:   make([]binding.Pos, rows),
		seq:   make([]binding.SeqId, rows),
		seqAt: make([]*binding.SeqId, rows),
		seqs:  make([]int32, rows),
		want:  make([]int8, rows),
	}
	for i := range rows {
		b.seqAt[i], b.seqs[i] = &b.seq[i], 1
	}
	return b
}

// fill sets the arrays for rows. With all, every row is an output.
func (b *rowBatch) fill(rows []engine.Row, all bool) {
	for i, r := range rows {
		b.token[i], b.pos[i], b.seq[i], b.want[i] = binding.Token(r.Token), binding.Pos(r.Pos), binding.SeqId(r.Seq), 0
		if all || r.Sample {
			b.want[i] = 1
		}
	}
}

// Step implements engine.Window. The operations of a batch that passes the checks are applied even if ctx ends
// before its rows run.
func (w *Window) Step(ctx context.Context, b *engine.Batch) (*engine.Output, error) {
	w.step.Lock()
	defer w.step.Unlock()
	release, err := w.use()
	if err != nil {
		return nil, err
	}
	defer release()
	samplers, err := w.check(b)
	if err != nil {
		return nil, err
	}
	if err := w.apply(b.Ops, samplers); err != nil {
		return nil, err
	}
	if len(b.Rows) == 0 {
		return &engine.Output{}, nil
	}
	stop := w.stopWith(ctx)
	defer stop()
	if ctx.Err() != nil {
		return nil, cancelled(ctx)
	}
	hidden, err := w.input(b)
	if err != nil {
		return nil, err
	}
	if b.Embed && w.plan.last {
		return w.embed(ctx, b, hidden)
	}
	if err := w.decode(ctx, b.Rows, hidden, b.Spare, false); err != nil {
		return nil, err
	}
	best, err := w.likeliest(b.Rows)
	if err != nil {
		w.undo(b.Rows)
		return nil, err
	}
	w.advance(b.Rows)
	return w.output(ctx, b, best)
}

// stopWith aborts the running graph when ctx ends. The function it returns undoes that.
func (w *Window) stopWith(ctx context.Context) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	raised := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		w.abort.raise()
		close(raised)
	})
	return func() {
		if !unhook() {
			<-raised
			w.abort.lower()
		}
	}
}

func cancelled(ctx context.Context) error {
	return core.Errorf(core.CodeCancelled, "step: %w", context.Cause(ctx))
}

// input is the rows that the window takes instead of tokens; nil for a whole model.
func (w *Window) input(b *engine.Batch) ([]float32, error) {
	if w.rows == nil {
		return b.Hidden, nil
	}
	width := w.shape.Embedding
	w.batch.hidden = slices.Grow(w.batch.hidden[:0], len(b.Rows)*width)[:len(b.Rows)*width]
	for i, r := range b.Rows {
		if err := w.rows.read(r.Token, w.batch.hidden[i*width:(i+1)*width]); err != nil {
			return nil, err
		}
	}
	return w.batch.hidden, nil
}

// decode runs rows and leaves the KV cache as it was if that fails.
func (w *Window) decode(ctx context.Context, rows []engine.Row, hidden, spare []float32, all bool) error {
	w.batch.fill(rows, all || !w.plan.last)
	var b binding.Batch
	b.NTokens = int32(len(rows))
	if w.plan.window.StandIn {
		clear(w.batch.token[:len(rows)])
	}
	if hidden == nil || w.plan.window.StandIn {
		b.Token = &w.batch.token[0]
	} else {
		b.Embd = &hidden[0]
	}
	b.Pos, b.NSeqId, b.SeqId, b.Logits = &w.batch.pos[0], &w.batch.seqs[0], &w.batch.seqAt[0], &w.batch.want[0]
	w.export.begin(len(rows), hidden, spare)
	w.lib.lines.reset()
	code, err := binding.Decode(w.ctx, b)
	if err == nil && code == decodeOK {
		if w.plan.last || len(w.export.out) == len(rows)*w.shape.Embedding {
			return nil
		}
		w.undo(rows)
		return core.Errorf(core.CodeInternal, "the graph gave %d floats of %s for %d rows", len(w.export.out), w.export.take, len(rows))
	}
	w.undo(rows)
	switch {
	case code == decodeAborted && ctx.Err() != nil:
		return cancelled(ctx)
	case code == decodeAborted:
		return core.Errorf(core.CodeCancelled, "step: the window is closing")
	case code == decodeFull:
		return core.Errorf(core.CodeOverloaded, "the KV cache of %d tokens has no room for %d more", w.shape.Context, len(rows))
	}
	return core.Errorf(core.CodeInternal, "llama_decode returned %d: %s", code, w.lib.lines.reason())
}

// undo drops the positions of rows from the KV cache.
func (w *Window) undo(rows []engine.Row) {
	for _, r := range rows {
		if w.lengths[r.Seq] == lost {
			continue
		}
		ok, err := binding.MemorySeqRm(w.mem, binding.SeqId(r.Seq), binding.Pos(w.lengths[r.Seq]), -1)
		if !ok || err != nil {
			w.lengths[r.Seq] = lost
		}
	}
}

func (w *Window) advance(rows []engine.Row) {
	for _, r := range rows {
		w.lengths[r.Seq] = r.Pos + 1
	}
}

// likeliest is the token with the largest logit of each row to be sampled. It refuses logits that are not numbers: once
// one row has been sampled, nothing can go wrong with another any more.
func (w *Window) likeliest(rows []engine.Row) ([]int32, error) {
	if !w.plan.last {
		return nil, nil
	}
	w.batch.best = slices.Grow(w.batch.best[:0], len(rows))[:len(rows)]
	for i, r := range rows {
		if !r.Sample {
			continue
		}
		logits, err := binding.GetLogitsIth(w.ctx, int32(i), w.shape.Vocabulary)
		if err != nil || logits == nil {
			return nil, core.Errorf(core.CodeInternal, "no logits for row %d: %s", i, w.lib.lines.reason())
		}
		best, ok := argmax(logits)
		if !ok {
			return nil, core.Errorf(core.CodeInternal, "the model's logits are not numbers")
		}
		w.batch.best[i] = best
	}
	return w.batch.best, nil
}

// output collects the hidden states, or samples.
func (w *Window) output(ctx context.Context, b *engine.Batch, best []int32) (*engine.Output, error) {
	if !w.plan.last {
		out := &engine.Output{Hidden: w.export.out}
		w.export.out = nil
		return out, nil
	}
	out := &engine.Output{}
	right := false // whether a draft in this row would follow what has been sampled
	for i, r := range b.Rows {
		if !r.Sample || r.Draft && !right {
			right = false
			continue
		}
		logits, err := binding.GetLogitsIth(w.ctx, int32(i), w.shape.Vocabulary)
		if err != nil || logits == nil {
			return nil, core.Errorf(core.CodeInternal, "no logits for row %d: %s", i, w.lib.lines.reason())
		}
		s := w.sampler[r.Seq].sample(ctx, w, i, logits, best[i])
		out.Samples = append(out.Samples, s)
		right = !s.End && i+1 < len(b.Rows) && b.Rows[i+1].Token == s.Token
	}
	return out, nil
}

// embed runs rows in parts small enough for the memory that outputs may take, since every row is one.
func (w *Window) embed(ctx context.Context, b *engine.Batch, hidden []float32) (*engine.Output, error) {
	binding.SetEmbeddings(w.ctx, true)
	defer binding.SetEmbeddings(w.ctx, false)
	out := &engine.Output{}
	for at := 0; at < len(b.Rows); at += w.outputs {
		rows := b.Rows[at:min(at+w.outputs, len(b.Rows))]
		var part []float32
		if hidden != nil {
			part = hidden[at*w.shape.Embedding:]
		}
		err := w.decode(ctx, rows, part, nil, true)
		for i := 0; err == nil && i < len(rows); i++ {
			err = w.embedding(out, i, rows[i])
		}
		if err != nil {
			w.undo(b.Rows)
			return nil, err
		}
	}
	w.advance(b.Rows)
	return out, nil
}

func (w *Window) embedding(out *engine.Output, i int, r engine.Row) error {
	if !r.Sample {
		return nil
	}
	state, err := binding.GetEmbeddingsIth(w.ctx, int32(i), int32(w.shape.Embedding))
	if err != nil || state == nil {
		return core.Errorf(core.CodeInternal, "no final state for row %d: %s", i, w.lib.lines.reason())
	}
	out.Embeddings = append(out.Embeddings, slices.Clone(state))
	return nil
}
