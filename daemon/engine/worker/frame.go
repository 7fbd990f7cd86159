package worker

import (
	"encoding/binary"
	"io"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// kind is the type of a frame.
type kind uint8

// Frames of the node.
const (
	kindHello    kind = iota + 1 // worker to node, the first of all: the token
	kindInfo                     // JSON infoRequest
	kindLoad                     // JSON loadRequest
	kindStep                     // a batch
	kindCancel                   // no body: stop the step with the frame's id
	kindTokenize                 // text
	kindPieces                   // tokens
)

// Frames of the worker. Each answers the frame of the same id.
const (
	kindError  kind = iota + 64 // JSON errorReply
	kindReply                   // JSON
	kindOutput                  // an output
	kindTokens
	kindTexts
)

const (
	headerSize = 9         // u32 length of the body, u8 kind, u32 id, all little-endian
	maxFrame   = 256 << 20 // bytes of a body
	maxHello   = 1 << 10
)

// message is one frame. The body is valid until the next frame is read into the same buffer.
type message struct {
	kind kind
	id   uint32
	body []byte
}

// readFrame reads a frame with a body of at most limit bytes, into buf if it has room.
func readFrame(r io.Reader, buf []byte, limit uint32) (message, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return message{}, err
	}
	n := binary.LittleEndian.Uint32(h[:])
	if n > limit {
		return message{}, core.Errorf(core.CodeTooLarge, "frame of %d bytes, most are %d", n, limit)
	}
	f := message{kind: kind(h[4]), id: binary.LittleEndian.Uint32(h[5:])}
	if f.body = buf; uint32(cap(buf)) < n {
		f.body = make([]byte, n)
	}
	f.body = f.body[:n]
	_, err := io.ReadFull(r, f.body)
	return f, err
}

// startFrame appends a header to an empty buffer; endFrame sets its length once the body is there.
func startFrame(buf []byte, k kind, id uint32) []byte {
	buf = append(buf[:0], 0, 0, 0, 0, byte(k))
	return binary.LittleEndian.AppendUint32(buf, id)
}

func endFrame(buf []byte) ([]byte, error) {
	n := len(buf) - headerSize
	if n > maxFrame {
		return nil, core.Errorf(core.CodeTooLarge, "frame of %d bytes, most are %d", n, maxFrame)
	}
	binary.LittleEndian.PutUint32(buf, uint32(n))
	return buf, nil
}
