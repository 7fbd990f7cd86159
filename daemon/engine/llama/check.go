package llama

import (
	"math"

	binding "github.com/hybridgroup/yzma/pkg/llama"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// check refuses whatever could break the KV cache or make the libraries abort, before anything is changed. It
// returns the samplers of the batch's operations, ready to use, in their order.
func (w *Window) check(b *engine.Batch) (samplers []*sampler, err error) {
	if w.model == 0 {
		return nil, core.Errorf(core.CodeUnsupported, "this window is a tokenizer only")
	}
	if len(b.Rows) > w.shape.BatchRows {
		return nil, refuse("%d rows, most are %d", len(b.Rows), w.shape.BatchRows)
	}
	copy(w.after, w.lengths)
	for i := range b.Ops {
		if err := w.checkOp(&b.Ops[i]); err != nil {
			return nil, err
		}
	}
	if err := w.checkHidden(b); err != nil {
		return nil, err
	}
	if err := w.checkRows(b); err != nil {
		return nil, err
	}
	return w.newSamplers(b.Ops)
}

func (w *Window) newSamplers(ops []engine.Op) (list []*sampler, err error) {
	if !w.plan.last {
		return nil, nil
	}
	for _, op := range ops {
		if op.Kind != engine.OpSampler {
			continue
		}
		s, err := newSampler(w, op.Sampler)
		if err != nil {
			for _, s := range list {
				s.free()
			}
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// checkOp checks an operation against the lengths that those before it leave, and updates them.
func (w *Window) checkOp(op *engine.Op) error {
	if op.Seq < 0 || int(op.Seq) >= w.shape.Sequences {
		return refuse("sequence %d of %d", op.Seq, w.shape.Sequences)
	}
	switch op.Kind {
	case engine.OpTrim:
		if op.From < 0 {
			return refuse("trim to position %d", op.From)
		}
		if op.From < w.after[op.Seq] || op.From == 0 {
			if err := w.checkCut(op.Seq, op.From); err != nil {
				return err
			}
			w.after[op.Seq] = op.From
		}
	case engine.OpCopy:
		if op.Source < 0 || int(op.Source) >= w.shape.Sequences || op.Source == op.Seq {
			return refuse("copy of sequence %d of %d", op.Source, w.shape.Sequences)
		}
		if op.From < 0 || op.From > w.after[op.Source] {
			return refuse("copy of %d positions of %d", op.From, w.after[op.Source])
		}
		if op.From < w.after[op.Source] {
			if err := w.checkCut(op.Source, op.From); err != nil {
				return err
			}
		}
		w.after[op.Seq] = op.From
	case engine.OpSampler:
		if op.Sampler == nil {
			return refuse("no sampler")
		}
	default:
		return refuse("operation %d", op.Kind)
	}
	return nil
}

// checkCut refuses to keep only the positions below from where what they need is no longer in the cache.
func (w *Window) checkCut(seq, from int32) error {
	if from == 0 || w.trims {
		return nil
	}
	if !w.state {
		oldest, err := binding.MemorySeqPosMin(w.mem, binding.SeqId(seq))
		if err == nil && (oldest == 0 || int32(oldest) < from-w.slides) {
			return nil
		}
	}
	return core.Errorf(core.CodeUnsupported, "this model cannot go back to position %d of %d", from, w.lengths[seq])
}

func (w *Window) checkHidden(b *engine.Batch) error {
	if w.plan.first {
		if len(b.Hidden) != 0 {
			return refuse("hidden states for the first window")
		}
		return nil
	}
	if len(b.Hidden) != len(b.Rows)*w.shape.Embedding {
		return refuse("%d floats of hidden states for %d rows of %d", len(b.Hidden), len(b.Rows), w.shape.Embedding)
	}
	if !allFinite(b.Hidden) {
		return refuse("hidden states with NaN or infinity")
	}
	return nil
}

// allFinite tells whether no float is NaN or infinite.
func allFinite(list []float32) bool {
	const exponent = 0x7f800000
	bad := uint32(0)
	for _, f := range list {
		if math.Float32bits(f)&exponent == exponent {
			bad = 1
		}
	}
	return bad == 0
}

// checkRows refuses rows that do not go on where their sequences end.
func (w *Window) checkRows(b *engine.Batch) error {
	outputs := 0
	for i := range b.Rows {
		r := &b.Rows[i]
		switch {
		case r.Seq < 0 || int(r.Seq) >= w.shape.Sequences:
			return refuse("row %d: sequence %d of %d", i, r.Seq, w.shape.Sequences)
		case w.after[r.Seq] == lost:
			return core.Errorf(core.CodeConflict, "row %d: sequence %d was cut off and must be dropped first", i, r.Seq)
		case r.Pos != w.after[r.Seq]:
			return refuse("row %d: position %d of sequence %d, want %d", i, r.Pos, r.Seq, w.after[r.Seq])
		case int(r.Pos) >= w.shape.Context:
			return core.Errorf(core.CodeContextTooLong, "row %d: position %d of %d", i, r.Pos, w.shape.Context)
		case w.plan.first && (r.Token < 0 || int(r.Token) >= w.shape.Vocabulary):
			return refuse("row %d: token %d of %d", i, r.Token, w.shape.Vocabulary)
		}
		w.after[r.Seq]++
		if r.Sample {
			outputs++
		}
	}
	if w.plan.last && !b.Embed && outputs > w.outputs {
		return refuse("%d sampled rows, most are %d", outputs, w.outputs)
	}
	return nil
}

func refuse(format string, args ...any) error {
	return core.Errorf(core.CodeInvalidRequest, "batch refused: "+format, args...)
}

// apply carries out operations that passed the checks.
func (w *Window) apply(ops []engine.Op, samplers []*sampler) error {
	for _, op := range ops {
		switch op.Kind {
		case engine.OpTrim:
			w.trim(op.Seq, op.From)
		case engine.OpCopy:
			w.trim(op.Seq, 0)
			if op.From > 0 {
				if err := binding.MemorySeqCp(w.mem, binding.SeqId(op.Source), binding.SeqId(op.Seq), 0, binding.Pos(op.From)); err != nil {
					return core.Errorf(core.CodeInternal, "copy sequence: %w", err)
				}
			}
			w.lengths[op.Seq] = op.From
		case engine.OpSampler:
			if w.plan.last {
				w.sampler[op.Seq].free()
				w.sampler[op.Seq], samplers = samplers[0], samplers[1:]
			}
		}
	}
	return nil
}

// trim drops positions from and after of a sequence.
func (w *Window) trim(seq, from int32) {
	if from >= w.lengths[seq] && from > 0 {
		return
	}
	ok, err := binding.MemorySeqRm(w.mem, binding.SeqId(seq), binding.Pos(from), -1)
	if !ok || err != nil {
		w.lengths[seq] = lost
		return
	}
	w.lengths[seq] = from
}
