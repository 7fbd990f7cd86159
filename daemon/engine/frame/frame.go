// Package frame is the one byte form of batches and outputs, and the one place that checks what comes in that form. The
// worker's socket and the chain between nodes use it, each inside frames of its own.
//
// All numbers are little-endian. A list is its count as u32, then its entries; text is a list of bytes.
//
//	operations  list of: kind u8, sequence i32, from i32, source i32, sampler as JSON text (empty for none)
//	rows        list of: token i32, position i32, sequence i32, marks u8 (1 sample, 2 draft)
//	floats      list of: f32, or f16 where the frame around says so
//	output      floats (hidden states), list of samples, list of floats (vectors)
//	sample      row i32, token i32, end u8 (1, and 2 if it failed), log-probability f64, piece text, list of:
//	            token i32, log-probability f64, piece text
//
// A count is believed only if the bytes for its least entries are there. What does not keep to the Limits is an error
// of code core.CodeInvalidRequest, before anything of it is used. Positions are the window's to check, who alone knows
// what is in its cache; samplers are checked by engine.Sampler.Check.
package frame

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// Marks of a row.
const (
	markSample = 1 << iota
	markDraft
)

const markFailed = 2 // beside the 1 of a sample that ends

// Sizes in bytes. Those of entries are the least.
const (
	RowSize    = 13
	opSize     = 17
	sampleSize = 25
	candSize   = 16

	MaxSampler = 1 << 20 // of a sampler's JSON
	maxPiece   = 64 << 10
)

const (
	maxOps  = 1 << 10
	maxNorm = 1e5 // root mean square of a hidden state; real ones stay below a tenth of it
)

// View says which parts of a batch its receiver needs to see.
type View struct {
	Tokens   bool // it embeds them
	Samplers bool // it samples, or passes on to who does
	Prompt   bool // samplers hold tokens of the prompt that they do not look at, too
	Half     bool // hidden states may travel as half floats
}

// Limits are what a batch must keep to. Vocabulary 0 is not known.
type Limits struct {
	Rows, Sequences, Vocabulary int

	Width   int  // floats of an incoming hidden state; 0 for a window that takes tokens
	Foreign bool // it comes from another node: hidden states must be of a length that models give
}

// LimitsOf are those of a window.
func LimitsOf(s engine.Shape) Limits {
	l := Limits{Rows: s.BatchRows, Sequences: s.Sequences, Vocabulary: s.Vocabulary}
	if !s.First {
		l.Width = s.Embedding
	}
	return l
}

// Wanted is what the output for a batch must be like.
type Wanted struct {
	Rows       int
	Width      int  // floats of a hidden state, or of a vector
	Hidden     bool // the window is not the last
	Vocabulary int
	Foreign    bool // as in Limits
}

// WantedOf is what a window gives for a number of rows.
func WantedOf(s engine.Shape, rows int) Wanted {
	return Wanted{Rows: rows, Width: s.Embedding, Hidden: !s.Last, Vocabulary: s.Vocabulary}
}

// AppendOps encodes operations. The error is for a sampler that is missing, too large, or has no JSON form.
func AppendOps(b []byte, ops []engine.Op, to View) ([]byte, error) {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(ops)))
	for i := range ops {
		op := &ops[i]
		b = append(b, byte(op.Kind))
		b = AppendI32(AppendI32(AppendI32(b, op.Seq), op.From), op.Source)
		var sampler []byte
		if op.Kind == engine.OpSampler {
			if op.Sampler == nil {
				return nil, core.Errorf(core.CodeInvalidRequest, "operation without a sampler")
			}
			var err error
			if sampler, err = encodeSampler(op.Sampler, to); err != nil {
				return nil, err
			}
		}
		b = AppendBytes(b, sampler)
	}
	return b, nil
}

func encodeSampler(s *engine.Sampler, to View) ([]byte, error) {
	if !to.Samplers {
		return nil, nil
	}
	slim := *s
	penalties := s.RepeatPenalty != 0 && s.RepeatPenalty != 1 || s.FrequencyPenalty != 0 || s.PresencePenalty != 0
	if !to.Prompt && !penalties {
		slim.History = nil
		if s.Grammar == "" {
			slim.Accepted = nil
		}
	}
	text, err := json.Marshal(&slim)
	if err != nil {
		return nil, core.Errorf(core.CodeInvalidRequest, "sampler: %w", err)
	}
	if len(text) > MaxSampler {
		return nil, core.Errorf(core.CodeTooLarge, "sampler of %d bytes, most are %d", len(text), MaxSampler)
	}
	return text, nil
}

// AppendRows encodes rows and hidden states, the latter as half floats if half is set.
func AppendRows(b []byte, rows []engine.Row, hidden []float32, to View, half bool) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(rows)))
	for _, r := range rows {
		if !to.Tokens && !(to.Samplers && r.Draft) {
			r.Token = 0
		}
		b = AppendI32(AppendI32(AppendI32(b, r.Token), r.Pos), r.Seq)
		b = append(b, Marks(r.Sample, r.Draft))
	}
	return AppendFloats(b, hidden, half)
}

// Marks packs two marks into the lowest bits.
func Marks(first, second bool) (m byte) {
	if first {
		m |= 1
	}
	if second {
		m |= 2
	}
	return m
}

// Ops reads operations into ops, whose memory is reused. An OpSampler whose sampler was left out gets an empty one.
func (c *Cursor) Ops(ops []engine.Op, to Limits) ([]engine.Op, error) {
	clear(ops)
	ops = ops[:0]
	n := c.Count(opSize)
	if n > maxOps {
		return ops, refuse("%d operations, most are %d", n, maxOps)
	}
	for range n {
		op := engine.Op{Kind: engine.OpKind(c.U8()), Seq: c.I32(), From: c.I32(), Source: c.I32()}
		sampler := c.Bytes(MaxSampler)
		if err := checkOp(&op, to); err != nil {
			return ops, err
		}
		if op.Kind == engine.OpSampler {
			op.Sampler = new(engine.Sampler)
			if len(sampler) > 0 {
				if err := json.Unmarshal(sampler, op.Sampler); err != nil {
					return ops, refuse("sampler: %w", err)
				}
			}
		}
		ops = append(ops, op)
	}
	return ops, c.err
}

func checkOp(op *engine.Op, to Limits) error {
	switch {
	case op.Seq < 0 || int(op.Seq) >= to.Sequences || op.Source < 0 || int(op.Source) >= to.Sequences:
		return refuse("operation on sequence %d of %d, from sequence %d", op.Seq, to.Sequences, op.Source)
	case op.From < 0:
		return refuse("operation at position %d", op.From)
	case op.Kind < engine.OpTrim || op.Kind > engine.OpSampler:
		return refuse("operation of unknown kind %d", op.Kind)
	}
	return nil
}

// Rows reads rows and hidden states into b, whose memory is reused.
func (c *Cursor) Rows(b *engine.Batch, to Limits, half bool) error {
	b.Rows, b.Hidden = b.Rows[:0], b.Hidden[:0]
	n := c.Count(RowSize)
	if n > to.Rows {
		return refuse("batch of %d rows, most are %d", n, to.Rows)
	}
	b.Rows = slices.Grow(b.Rows, n)[:n]
	for i := range b.Rows {
		r := engine.Row{Token: c.I32(), Pos: c.I32(), Seq: c.I32()}
		mark := c.U8()
		r.Sample, r.Draft = mark&markSample != 0, mark&markDraft != 0
		if err := checkRow(b.Rows[:i], r, to); err != nil {
			return err
		}
		b.Rows[i] = r
	}
	b.Hidden = c.hidden(b.Hidden, half, n, to.Width, to.Foreign)
	return c.err
}

func checkRow(before []engine.Row, r engine.Row, to Limits) error {
	switch {
	case r.Seq < 0 || int(r.Seq) >= to.Sequences:
		return refuse("row of sequence %d of %d", r.Seq, to.Sequences)
	case r.Pos < 0:
		return refuse("row at position %d", r.Pos)
	case r.Token < 0 || to.Vocabulary > 0 && int(r.Token) >= to.Vocabulary:
		return refuse("token %d of %d", r.Token, to.Vocabulary)
	case r.Draft && (!r.Sample || len(before) == 0 || before[len(before)-1].Seq != r.Seq || !before[len(before)-1].Sample):
		return refuse("draft without a row before it")
	}
	return nil
}

// AppendOutput encodes an output, its hidden states as half floats if half is set.
func AppendOutput(b []byte, out *engine.Output, half bool) []byte {
	b = AppendFloats(b, out.Hidden, half)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(out.Samples)))
	for i := range out.Samples {
		s := &out.Samples[i]
		b = AppendI32(AppendI32(b, int32(s.Row)), s.Token)
		b = append(b, Marks(s.End, s.Failed))
		b = AppendBytes(appendF64(b, s.Logprob), s.Piece)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s.Top)))
		for _, t := range s.Top {
			b = AppendBytes(appendF64(AppendI32(b, t.Token), t.Logprob), t.Piece)
		}
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(out.Embeddings)))
	for _, e := range out.Embeddings {
		b = AppendFloats(b, e, false)
	}
	return b
}

// Output reads an output. It shares no memory with the frame; hidden states go to spare if it has room.
func (c *Cursor) Output(spare []float32, half bool, want Wanted) (engine.Output, error) {
	var out engine.Output
	rows := 0
	if want.Hidden {
		rows = want.Rows
	}
	if hidden := c.hidden(spare, half, rows, want.Width, want.Foreign); len(hidden) > 0 {
		out.Hidden = hidden
	}
	if c.err != nil {
		return out, c.err
	}
	var err error
	if out.Samples, err = c.samples(want); err != nil {
		return out, err
	}
	n := c.Count(4)
	if n > want.Rows {
		return out, refuse("%d vectors for %d rows", n, want.Rows)
	}
	for range n {
		out.Embeddings = append(out.Embeddings, c.vector(want.Width))
		if c.err != nil {
			break
		}
	}
	return out, c.err
}

func (c *Cursor) samples(want Wanted) (list []engine.Sample, err error) {
	n := c.Count(sampleSize)
	if n > want.Rows {
		return nil, refuse("%d samples for %d rows", n, want.Rows)
	}
	if n > 0 {
		list = make([]engine.Sample, 0, n)
	}
	before := -1
	for range n {
		s := engine.Sample{Row: int(c.I32()), Token: c.I32()}
		end := c.U8()
		s.End, s.Failed = end != 0, end&markFailed != 0
		s.Logprob, s.Piece = c.f64(), c.Copied(maxPiece)
		if c.err != nil {
			return nil, c.err
		}
		if err := checkSample(&s, before, want); err != nil {
			return nil, err
		}
		if s.Top, err = c.candidates(want); err != nil {
			return nil, err
		}
		list, before = append(list, s), s.Row
	}
	return list, c.err
}

func checkSample(s *engine.Sample, before int, want Wanted) error {
	switch {
	case s.Row <= before || s.Row >= want.Rows:
		return refuse("sample of row %d of %d after row %d", s.Row, want.Rows, before)
	case s.Token < -1 || int(s.Token) >= want.Vocabulary || s.Token == -1 && !s.End || s.Failed && s.Token != -1:
		return refuse("sample of token %d of %d", s.Token, want.Vocabulary)
	case math.IsNaN(s.Logprob) || math.IsInf(s.Logprob, 1):
		return refuse("sample with log-probability %v", s.Logprob)
	}
	return nil
}

func (c *Cursor) candidates(want Wanted) (list []engine.Candidate, err error) {
	n := c.Count(candSize)
	if n > engine.MaxTop {
		return nil, refuse("%d alternatives, most are %d", n, engine.MaxTop)
	}
	for range n {
		t := engine.Candidate{Token: c.I32(), Logprob: c.f64(), Piece: c.Copied(maxPiece)}
		if t.Token < 0 || int(t.Token) >= want.Vocabulary || math.IsNaN(t.Logprob) || math.IsInf(t.Logprob, 1) {
			return nil, refuse("alternative of token %d of %d with log-probability %v", t.Token, want.Vocabulary, t.Logprob)
		}
		list = append(list, t)
	}
	return list, c.err
}

// CheckHidden refuses rows that no model gives: NaN, infinity, or of a length that is out of this world.
func CheckHidden(list []float32, width int) error {
	for at := 0; at < len(list); at += width {
		if err := checkState(list[at:at+width], true); err != nil {
			return err
		}
	}
	return nil
}

// checkState checks one hidden state. A NaN or an infinity makes the norm one too.
func checkState(row []float32, foreign bool) error {
	norm := math.Sqrt(squares(row) / float64(len(row)))
	if math.IsNaN(norm) || math.IsInf(norm, 0) || foreign && (norm == 0 || norm > maxNorm) {
		return refuse("hidden state of norm %v", norm)
	}
	return nil
}

// squares is the sum of the squares. Four sums run beside one another, so that none waits for the addition before.
func squares(row []float32) float64 {
	var a, b, c, d float64
	for ; len(row) >= 4; row = row[4:] {
		a += float64(row[0]) * float64(row[0])
		b += float64(row[1]) * float64(row[1])
		c += float64(row[2]) * float64(row[2])
		d += float64(row[3]) * float64(row[3])
	}
	for _, f := range row {
		a += float64(f) * float64(f)
	}
	return a + b + c + d
}

func refuse(format string, args ...any) error {
	return core.Errorf(core.CodeInvalidRequest, format, args...)
}
