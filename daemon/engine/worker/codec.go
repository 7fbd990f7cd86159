package worker

import (
	"encoding/binary"
	"errors"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/frame"
)

// Flags of a batch.
const (
	flagEmbed = 1 << iota
	flagEnded // the caller's context has ended: apply the operations only
)

// everything is what a worker of this PC is told.
var everything = frame.View{Tokens: true, Samplers: true, Prompt: true}

// appendBatch encodes a batch; ended tells that only its operations are wanted. The error is for a sampler that
// has no JSON form, such as one with a NaN.
func appendBatch(b []byte, batch *engine.Batch, ended bool) ([]byte, error) {
	b, err := frame.AppendOps(append(b, frame.Marks(batch.Embed, ended)), batch.Ops, everything)
	if err != nil {
		return nil, err
	}
	return frame.AppendRows(b, batch.Rows, batch.Hidden, everything, false), nil
}

// decodeBatch reads a batch into b, whose slices are reused.
func decodeBatch(data []byte, b *engine.Batch, to frame.Limits) (ended bool, err error) {
	c := frame.Read(data)
	f := c.U8()
	b.Embed = f&flagEmbed != 0
	if b.Ops, err = c.Ops(b.Ops, to); err != nil {
		return false, err
	}
	if err := c.Rows(b, to, false); err != nil {
		return false, err
	}
	return f&flagEnded != 0, c.End()
}

// decodeOutput reads an output. What it returns shares no memory with data; hidden states go to spare if it has room.
func decodeOutput(data []byte, spare []float32, want frame.Wanted) (*engine.Output, error) {
	c := frame.Read(data)
	out, err := c.Output(spare, false, want)
	if err != nil {
		return nil, err
	}
	return &out, c.End()
}

// appendText encodes what to tokenize. The text may hold any bytes.
func appendText(b []byte, text string, addSpecial, parseSpecial bool) []byte {
	b = append(b, frame.Marks(addSpecial, false), frame.Marks(parseSpecial, false))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	return append(b, text...)
}

func decodeText(data []byte) (text string, addSpecial, parseSpecial bool, err error) {
	c := frame.Read(data)
	addSpecial, parseSpecial = c.U8() != 0, c.U8() != 0
	text = string(c.Bytes(maxFrame))
	return text, addSpecial, parseSpecial, c.End()
}

func appendPieces(b []byte, pieces [][]byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(pieces)))
	for _, p := range pieces {
		b = frame.AppendBytes(b, p)
	}
	return b
}

func decodePieces(data []byte) ([][]byte, error) {
	c := frame.Read(data)
	list := make([][]byte, c.Count(4))
	for i := range list {
		list[i] = c.Copied(maxFrame)
	}
	return list, c.End()
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
