package pipeline

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/half"
)

// Flags of a batch or an output.
const (
	flagEmbed  = 1 << iota
	flagHalf   // hidden states are half floats
	flagFailed // a code and a text take the place of the rows
)

// Flags of a row.
const (
	flagSample = 1 << iota
	flagDraft
)

// Bounds and least sizes, in bytes.
const (
	batchSize    = 8 + 1 + 4 // number, flags, slowest step
	rowSize      = 13
	opSize       = 17
	sampleSize   = 25
	candSize     = 16
	maxSampler   = 1 << 20
	maxOps       = 1 << 10
	maxPiece     = 1 << 10
	maxTop       = 128
	maxFaultText = 1 << 10
	maxNorm      = 1e5 // root mean square of a hidden state; real ones stay below a tenth of it
	maxHalf      = 65504
)

// packet is a batch as it travels from stage to stage.
type packet struct {
	number  uint64
	slowest uint32 // longest step so far, in microseconds
	failed  *core.Error
	embed   bool
	ops     []engine.Op
	rows    []engine.Row
	hidden  []float32
}

// view says which parts of a batch a stage needs to see.
type view struct {
	tokens  bool // it embeds them
	samples bool // it samples
	half    bool
}

func appendPacket(b []byte, p *packet, to view) ([]byte, error) {
	halves := to.half && fitsHalf(p.hidden)
	b = appendHead(b, p, halves)
	var err error
	if b, err = appendOps(b, p.ops, to); err != nil {
		return nil, err
	}
	if p.failed != nil {
		return appendFailure(b, p.failed), nil
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(p.rows)))
	for _, r := range p.rows {
		var f byte
		if r.Sample {
			f |= flagSample
		}
		if r.Draft {
			f |= flagDraft
		}
		if !to.tokens && !(to.samples && r.Draft) {
			r.Token = 0
		}
		b = appendI32(appendI32(appendI32(b, r.Token), r.Pos), r.Seq)
		b = append(b, f)
	}
	return appendFloats(b, p.hidden, halves), nil
}

func appendHead(b []byte, p *packet, halves bool) []byte {
	b = binary.LittleEndian.AppendUint64(b, p.number)
	var f byte
	if p.embed {
		f |= flagEmbed
	}
	if halves {
		f |= flagHalf
	}
	if p.failed != nil {
		f |= flagFailed
	}
	return binary.LittleEndian.AppendUint32(append(b, f), p.slowest)
}

func appendFailure(b []byte, e *core.Error) []byte {
	text := e.Msg[:min(len(e.Msg), maxFaultText)]
	return appendBytes(appendBytes(appendBytes(b, []byte(e.Code)), []byte(text)), []byte(e.Param))
}

func (c *cursor) failure() *core.Error {
	code, text, param := c.bytes(64), c.bytes(maxFaultText), c.bytes(64)
	e := core.Errorf(faultCode(string(code)), "%s", text)
	e.Param = string(param)
	return e
}

// faultCode reads a code of another node; what this one does not know is an internal error there.
func faultCode(s string) core.Code {
	if code := core.Code(s); core.ReportOf(code) != core.ReportOf(core.CodeInternal) {
		return code
	}
	return core.CodeInternal
}

// appendOps encodes operations. A sampler goes only to who samples, or passes on the way there.
func appendOps(b []byte, ops []engine.Op, to view) ([]byte, error) {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(ops)))
	for i := range ops {
		op := &ops[i]
		b = append(b, byte(op.Kind))
		b = appendI32(appendI32(appendI32(b, op.Seq), op.From), op.Source)
		var sampler []byte
		if op.Sampler != nil && to.samples {
			var err error
			if sampler, err = encodeSampler(op.Sampler); err != nil {
				return nil, err
			}
		}
		b = appendBytes(b, sampler)
	}
	return b, nil
}

// encodeSampler leaves out the history where no penalty looks at it: it is part of the prompt.
func encodeSampler(s *engine.Sampler) ([]byte, error) {
	slim := *s
	if s.RepeatPenalty == 0 || s.RepeatPenalty == 1 {
		if s.FrequencyPenalty == 0 && s.PresencePenalty == 0 {
			slim.History = nil
			if s.Grammar == "" {
				slim.Accepted = nil
			}
		}
	}
	text, err := json.Marshal(&slim)
	if err != nil {
		return nil, core.Errorf(core.CodeInvalidRequest, "sampler: %w", err)
	}
	if len(text) > maxSampler {
		return nil, core.Errorf(core.CodeTooLarge, "sampler of %d bytes, most are %d", len(text), maxSampler)
	}
	return text, nil
}

// bounds is what a batch must keep to.
type bounds struct {
	rows, sequences, vocabulary int
	width                       int // floats of an incoming hidden state; 0 for a stage that takes tokens
}

// decodePacket reads a batch into p, whose slices are reused. Sequences are checked, positions are the window's to
// check. Everything that is not as it must be has code core.CodeInvalidRequest.
func decodePacket(data []byte, p *packet, to bounds) error {
	c := &cursor{data: data}
	p.number = c.u64()
	f := c.u8()
	p.slowest = c.u32()
	p.embed = f&flagEmbed != 0
	if err := c.ops(p, to); err != nil {
		return err
	}
	p.rows, p.hidden, p.failed = p.rows[:0], p.hidden[:0], nil
	if f&flagFailed != 0 {
		p.failed = c.failure()
		return c.end()
	}
	n := c.count(rowSize)
	if n > to.rows {
		return core.Errorf(core.CodeInvalidRequest, "batch of %d rows, most are %d", n, to.rows)
	}
	p.rows = slices.Grow(p.rows, n)[:n]
	for i := range p.rows {
		r := engine.Row{Token: c.i32(), Pos: c.i32(), Seq: c.i32()}
		mark := c.u8()
		r.Sample, r.Draft = mark&flagSample != 0, mark&flagDraft != 0
		if err := checkRow(p.rows[:i], r, to); err != nil {
			return err
		}
		p.rows[i] = r
	}
	if p.hidden = c.floats(p.hidden, f&flagHalf != 0, n*to.width); len(p.hidden) != n*to.width {
		return core.Errorf(core.CodeInvalidRequest, "%d floats for %d rows of %d", len(p.hidden), n, to.width)
	}
	if err := c.end(); err != nil {
		return err
	}
	return checkHidden(p.hidden, to.width)
}

func checkRow(before []engine.Row, r engine.Row, to bounds) error {
	switch {
	case r.Seq < 0 || int(r.Seq) >= to.sequences:
		return core.Errorf(core.CodeInvalidRequest, "row of sequence %d of %d", r.Seq, to.sequences)
	case r.Pos < 0:
		return core.Errorf(core.CodeInvalidRequest, "row at position %d", r.Pos)
	case r.Token < 0 || to.vocabulary > 0 && int(r.Token) >= to.vocabulary:
		return core.Errorf(core.CodeInvalidRequest, "token %d of %d", r.Token, to.vocabulary)
	case r.Draft && (!r.Sample || len(before) == 0 || before[len(before)-1].Seq != r.Seq || !before[len(before)-1].Sample):
		return core.Errorf(core.CodeInvalidRequest, "draft without a row before it")
	}
	return nil
}

func (c *cursor) ops(p *packet, to bounds) error {
	clear(p.ops)
	p.ops = p.ops[:0]
	n := c.count(opSize)
	if n > maxOps {
		return core.Errorf(core.CodeInvalidRequest, "%d operations, most are %d", n, maxOps)
	}
	for range n {
		op := engine.Op{Kind: engine.OpKind(c.u8()), Seq: c.i32(), From: c.i32(), Source: c.i32()}
		sampler := c.bytes(maxSampler)
		if op.Seq < 0 || int(op.Seq) >= to.sequences || op.Source < 0 || int(op.Source) >= to.sequences || op.From < 0 {
			return core.Errorf(core.CodeInvalidRequest, "operation on sequence %d of %d", op.Seq, to.sequences)
		}
		if op.Kind < engine.OpTrim || op.Kind > engine.OpSampler {
			return core.Errorf(core.CodeInvalidRequest, "operation of unknown kind %d", op.Kind)
		}
		if op.Kind == engine.OpSampler {
			op.Sampler = new(engine.Sampler)
			if len(sampler) > 0 {
				if err := json.Unmarshal(sampler, op.Sampler); err != nil {
					return core.Errorf(core.CodeInvalidRequest, "sampler: %w", err)
				}
			}
		}
		p.ops = append(p.ops, op)
	}
	return nil
}

// result is what the last stage sends: hidden states, or samples and vectors.
type result struct {
	packet
	samples    []engine.Sample
	embeddings [][]float32
}

func appendResult(b []byte, r *result, to view) []byte {
	halves := to.half && fitsHalf(r.hidden)
	b = appendHead(b, &r.packet, halves)
	if r.failed != nil {
		return appendFailure(b, r.failed)
	}
	b = appendFloats(b, r.hidden, halves)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.samples)))
	for i := range r.samples {
		s := &r.samples[i]
		b = appendI32(appendI32(b, int32(s.Row)), s.Token)
		end := byte(0)
		if s.End {
			end = 1
		}
		b = appendBytes(appendF64(append(b, end), s.Logprob), s.Piece)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s.Top)))
		for _, t := range s.Top {
			b = appendBytes(appendF64(appendI32(b, t.Token), t.Logprob), t.Piece)
		}
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.embeddings)))
	for _, e := range r.embeddings {
		b = appendFloats(b, e, false)
	}
	return b
}

// wanted is what a result must be like.
type wanted struct {
	rows       int
	width      int // floats of a hidden state, or of a vector
	hidden     bool
	vocabulary int
}

// decodeResult reads a result. What it returns shares no memory with data; hidden states go to spare if it has room.
func decodeResult(data []byte, spare []float32, want wanted) (*result, error) {
	c := &cursor{data: data}
	r := &result{}
	r.number = c.u64()
	f := c.u8()
	r.slowest = c.u32()
	if f&flagFailed != 0 {
		r.failed = c.failure()
		return r, c.end()
	}
	floats := 0
	if want.hidden {
		floats = want.rows * want.width
	}
	if r.hidden = c.floats(spare, f&flagHalf != 0, floats); len(r.hidden) != floats {
		return nil, core.Errorf(core.CodeInvalidRequest, "%d floats, want %d", len(r.hidden), floats)
	}
	if err := checkHidden(r.hidden, want.width); err != nil {
		return nil, err
	}
	if err := c.samples(r, want); err != nil {
		return nil, err
	}
	for range c.count(4) {
		v := c.floats(nil, false, want.width)
		if len(v) != want.width || len(r.embeddings) == want.rows {
			return nil, core.Errorf(core.CodeInvalidRequest, "vector %d has %d floats", len(r.embeddings), len(v))
		}
		if err := checkFinite(v); err != nil {
			return nil, err
		}
		r.embeddings = append(r.embeddings, v)
	}
	return r, c.end()
}

func (c *cursor) samples(r *result, want wanted) error {
	n := c.count(sampleSize)
	if n > want.rows {
		return core.Errorf(core.CodeInvalidRequest, "%d samples for %d rows", n, want.rows)
	}
	for range n {
		s := engine.Sample{Row: int(c.i32()), Token: c.i32(), End: c.u8() != 0, Logprob: c.f64(), Piece: c.copied(maxPiece)}
		if s.Token < -1 || int(s.Token) >= want.vocabulary || s.Token == -1 && !s.End || math.IsNaN(s.Logprob) || math.IsInf(s.Logprob, 1) {
			return core.Errorf(core.CodeInvalidRequest, "sample of token %d of %d", s.Token, want.vocabulary)
		}
		top := c.count(candSize)
		if top > maxTop {
			return core.Errorf(core.CodeInvalidRequest, "%d alternatives, most are %d", top, maxTop)
		}
		for range top {
			t := engine.Candidate{Token: c.i32(), Logprob: c.f64(), Piece: c.copied(maxPiece)}
			if math.IsNaN(t.Logprob) || math.IsInf(t.Logprob, 1) {
				return core.Errorf(core.CodeInvalidRequest, "alternative with log-probability %v", t.Logprob)
			}
			s.Top = append(s.Top, t)
		}
		r.samples = append(r.samples, s)
	}
	return nil
}

// checkHidden refuses rows that no model gives: NaN, infinity, or of a length that is out of this world.
func checkHidden(list []float32, width int) error {
	for at := 0; at < len(list); at += width {
		sum := float64(0)
		for _, f := range list[at : at+width] {
			sum += float64(f) * float64(f)
		}
		// A NaN or an infinity makes the sum one too, which no comparison below lets pass.
		if norm := math.Sqrt(sum / float64(width)); !(norm > 0 && norm <= maxNorm) {
			return core.Errorf(core.CodeInvalidRequest, "hidden state of norm %v", norm)
		}
	}
	return nil
}

func checkFinite(list []float32) error {
	for _, f := range list {
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			return core.Errorf(core.CodeInvalidRequest, "vector with NaN or infinity")
		}
	}
	return nil
}

// fitsHalf tells whether no float is too large for a half float.
func fitsHalf(list []float32) bool {
	for _, f := range list {
		if f > maxHalf || f < -maxHalf {
			return false
		}
	}
	return true
}

func appendFloats(b []byte, list []float32, halves bool) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(list)))
	at := len(b)
	if halves {
		b = slices.Grow(b, 2*len(list))[:at+2*len(list)]
		for i, f := range list {
			binary.LittleEndian.PutUint16(b[at+2*i:], half.From(f))
		}
		return b
	}
	b = slices.Grow(b, 4*len(list))[:at+4*len(list)]
	for i, f := range list {
		binary.LittleEndian.PutUint32(b[at+4*i:], math.Float32bits(f))
	}
	return b
}
