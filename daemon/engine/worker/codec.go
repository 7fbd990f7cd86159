package worker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// Flags of a batch.
const (
	flagEmbed = 1 << iota
	flagEnded // the caller's context has ended: apply the operations only
)

// Flags of a row.
const (
	flagSample = 1 << iota
	flagDraft
)

// Least sizes of entries, for checking counts.
const (
	opSize     = 17
	rowSize    = 13
	sampleSize = 25
	candSize   = 16
)

// appendBatch encodes a batch; ended tells that only its operations are wanted. The error is for a sampler that
// has no JSON form, such as one with a NaN.
func appendBatch(b []byte, batch *engine.Batch, ended bool) ([]byte, error) {
	b = append(b, flags(batch.Embed, ended))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(batch.Ops)))
	for i := range batch.Ops {
		op := &batch.Ops[i]
		b = append(b, byte(op.Kind))
		b = appendI32(appendI32(appendI32(b, op.Seq), op.From), op.Source)
		var sampler []byte
		if op.Sampler != nil {
			var err error
			if sampler, err = json.Marshal(op.Sampler); err != nil {
				return nil, core.Errorf(core.CodeInvalidRequest, "sampler: %w", err)
			}
		}
		b = appendBytes(b, sampler)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(batch.Rows)))
	for _, r := range batch.Rows {
		b = appendI32(appendI32(appendI32(b, r.Token), r.Pos), r.Seq)
		b = append(b, flags(r.Sample, r.Draft))
	}
	return appendFloats(b, batch.Hidden), nil
}

// flags packs two marks: embed and ended of a batch, sample and draft of a row.
func flags(first, second bool) (f byte) {
	if first {
		f |= 1
	}
	if second {
		f |= 2
	}
	return f
}

// decodeBatch reads a batch into b, whose slices are reused.
func decodeBatch(data []byte, b *engine.Batch) (ended bool, err error) {
	c := &cursor{data: data}
	f := c.u8()
	b.Embed = f&flagEmbed != 0
	b.Ops = b.Ops[:0]
	for range c.count(opSize) {
		op := engine.Op{Kind: engine.OpKind(c.u8()), Seq: c.i32(), From: c.i32(), Source: c.i32()}
		if sampler := c.bytes(); len(sampler) > 0 {
			op.Sampler = new(engine.Sampler)
			if err := json.Unmarshal(sampler, op.Sampler); err != nil {
				return false, core.Errorf(core.CodeInvalidRequest, "sampler: %w", err)
			}
		}
		b.Ops = append(b.Ops, op)
	}
	n := c.count(rowSize)
	b.Rows = slices.Grow(b.Rows[:0], n)[:n]
	for i := range b.Rows {
		b.Rows[i] = engine.Row{Token: c.i32(), Pos: c.i32(), Seq: c.i32()}
		mark := c.u8()
		b.Rows[i].Sample, b.Rows[i].Draft = mark&flagSample != 0, mark&flagDraft != 0
	}
	b.Hidden = c.floats(b.Hidden)
	return f&flagEnded != 0, c.end()
}

func appendOutput(b []byte, out *engine.Output) []byte {
	b = appendFloats(b, out.Hidden)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(out.Samples)))
	for i := range out.Samples {
		s := &out.Samples[i]
		b = appendI32(appendI32(b, int32(s.Row)), s.Token)
		b = append(b, flags(s.End, false))
		b = appendBytes(appendF64(b, s.Logprob), s.Piece)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s.Top)))
		for _, t := range s.Top {
			b = appendBytes(appendF64(appendI32(b, t.Token), t.Logprob), t.Piece)
		}
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(out.Embeddings)))
	for _, e := range out.Embeddings {
		b = appendFloats(b, e)
	}
	return b
}

// decodeOutput reads an output. What it returns shares no memory with data; hidden states go to spare if it has room.
func decodeOutput(data []byte, spare []float32) (*engine.Output, error) {
	c := &cursor{data: data}
	out := &engine.Output{Hidden: c.floats(spare)}
	if n := c.count(sampleSize); n > 0 {
		out.Samples = make([]engine.Sample, 0, n)
		for range n {
			out.Samples = append(out.Samples, c.sample())
		}
	}
	for range c.count(4) {
		out.Embeddings = append(out.Embeddings, c.floats(nil))
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *cursor) sample() engine.Sample {
	s := engine.Sample{Row: int(c.i32()), Token: c.i32(), End: c.u8() != 0, Logprob: c.f64(), Piece: c.copied()}
	for range c.count(candSize) {
		s.Top = append(s.Top, engine.Candidate{Token: c.i32(), Logprob: c.f64(), Piece: c.copied()})
	}
	return s
}

// appendText encodes what to tokenize. The text may hold any bytes.
func appendText(b []byte, text string, addSpecial, parseSpecial bool) []byte {
	b = append(b, flags(addSpecial, false), flags(parseSpecial, false))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	return append(b, text...)
}

func decodeText(data []byte) (text string, addSpecial, parseSpecial bool, err error) {
	c := &cursor{data: data}
	addSpecial, parseSpecial = c.u8() != 0, c.u8() != 0
	text = string(c.bytes())
	return text, addSpecial, parseSpecial, c.end()
}

func appendPieces(b []byte, pieces [][]byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(pieces)))
	for _, p := range pieces {
		b = appendBytes(b, p)
	}
	return b
}

func decodePieces(data []byte) ([][]byte, error) {
	c := &cursor{data: data}
	list := make([][]byte, c.count(4))
	for i := range list {
		list[i] = c.copied()
	}
	return list, c.end()
}

// infoRequest asks what the libraries in Dir are.
type infoRequest struct {
	Dir string
}

// loadRequest asks for a window.
type loadRequest struct {
	Dir  string
	Spec engine.Spec
}

// errorReply is a core.Error on the wire.
type errorReply struct {
	Code  core.Code
	Text  string
	Param string
	Hint  string
}

func replyOf(err error) errorReply {
	r := errorReply{Code: core.CodeOf(err), Text: err.Error()}
	if e, ok := errors.AsType[*core.Error](err); ok {
		r.Param, r.Hint = e.Param, e.Hint
	}
	return r
}

func (r errorReply) error() error {
	return &core.Error{Code: r.Code, Msg: r.Text, Param: r.Param, Hint: r.Hint}
}
