package pipeline

import (
	"encoding/binary"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/frame"
)

// Flags of a batch or a result.
const (
	flagEmbed  = 1 << iota
	flagHalf   // hidden states are half floats
	flagFailed // a code and a text take the place of the rows
)

const (
	maxFaultText = 1 << 10
	maxFaultWord = 64 // a code or the name of a parameter
)

// header is what batches and results begin with.
type header struct {
	number  uint64
	slowest uint32 // longest step so far, in microseconds
	failed  *core.Error
}

// packet is a batch as it travels from stage to stage. If it has failed it has no rows, but its operations count.
type packet struct {
	header
	batch engine.Batch // in the session's sequences
}

// fail leaves a packet without rows. Its operations have to arrive.
func (p *packet) fail(why error) {
	p.failed = asError(why)
	p.batch.Rows, p.batch.Hidden = nil, nil
}

// refuse fails a packet for one of its samplers: none of them is applied.
func (p *packet) refuse(why error) {
	p.fail(why)
	p.batch.Ops = slices.DeleteFunc(slices.Clone(p.batch.Ops), func(op engine.Op) bool { return op.Kind == engine.OpSampler })
}

func appendPacket(b []byte, p *packet, to frame.View) ([]byte, error) {
	half := to.Half && frame.FitHalf(p.batch.Hidden)
	b, err := frame.AppendOps(appendHeader(b, &p.header, p.batch.Embed, half), p.batch.Ops, to)
	if err != nil {
		return nil, err
	}
	if p.failed != nil {
		return appendFailure(b, p.failed), nil //nolint:nilerr // the failure is what is sent
	}
	return frame.AppendRows(b, p.batch.Rows, p.batch.Hidden, to, half), nil
}

func appendHeader(b []byte, h *header, embed, half bool) []byte {
	b = binary.LittleEndian.AppendUint64(b, h.number)
	var f byte
	if embed {
		f |= flagEmbed
	}
	if half {
		f |= flagHalf
	}
	if h.failed != nil {
		f |= flagFailed
	}
	return binary.LittleEndian.AppendUint32(append(b, f), h.slowest)
}

func readHeader(c *frame.Cursor) (h header, flags byte) {
	h.number = c.U64()
	flags = c.U8()
	h.slowest = c.U32()
	return h, flags
}

func appendFailure(b []byte, e *core.Error) []byte {
	text := e.Msg[:min(len(e.Msg), maxFaultText)]
	return frame.AppendBytes(frame.AppendBytes(frame.AppendBytes(b, []byte(e.Code)), []byte(text)), []byte(e.Param))
}

func readFailure(c *frame.Cursor) *core.Error {
	code, text, param := c.Bytes(maxFaultWord), c.Bytes(maxFaultText), c.Bytes(maxFaultWord)
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

// decodePacket reads a batch into p, whose slices are reused. Everything that is not as it must be has code
// core.CodeInvalidRequest.
func decodePacket(data []byte, p *packet, to frame.Limits) (err error) {
	c := frame.Read(data)
	h, flags := readHeader(c)
	p.header, p.batch.Embed = h, flags&flagEmbed != 0
	if p.batch.Ops, err = c.Ops(p.batch.Ops, to); err != nil {
		return err
	}
	if flags&flagFailed != 0 {
		p.batch.Rows, p.batch.Hidden = p.batch.Rows[:0], p.batch.Hidden[:0]
		p.failed = readFailure(c)
		return c.End()
	}
	if err := c.Rows(&p.batch, to, flags&flagHalf != 0); err != nil {
		return err
	}
	return c.End()
}

// result is what the last stage sends: hidden states, or samples and vectors.
type result struct {
	header
	output engine.Output
}

func appendResult(b []byte, r *result, to frame.View) []byte {
	half := to.Half && frame.FitHalf(r.output.Hidden)
	b = appendHeader(b, &r.header, false, half)
	if r.failed != nil {
		return appendFailure(b, r.failed)
	}
	return frame.AppendOutput(b, &r.output, half)
}

// decodeResult reads a result. What it returns shares no memory with data; hidden states go to spare if it has room.
func decodeResult(data []byte, spare []float32, want frame.Wanted) (r *result, err error) {
	c := frame.Read(data)
	h, flags := readHeader(c)
	r = &result{header: h}
	if flags&flagFailed != 0 {
		r.failed = readFailure(c)
		return r, c.End()
	}
	if r.output, err = c.Output(spare, flags&flagHalf != 0, want); err != nil {
		return nil, err
	}
	return r, c.End()
}
