package worker

import (
	"encoding/binary"
	"math"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// cursor reads a body. After the first error everything it returns is zero.
type cursor struct {
	data []byte
	err  error
}

func (c *cursor) take(n int) []byte {
	if c.err == nil && n > len(c.data) {
		c.err = core.Errorf(core.CodeInvalidRequest, "frame ends %d bytes early", n-len(c.data))
	}
	if c.err != nil {
		return nil
	}
	b := c.data[:n]
	c.data = c.data[n:]
	return b
}

func (c *cursor) u8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) i32() int32 { return int32(c.u32()) }

func (c *cursor) f64() float64 {
	if b := c.take(8); b != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// count reads how many entries of at least size bytes follow, which must be there.
func (c *cursor) count(size int) int {
	n := c.u32()
	if c.err == nil && uint64(n)*uint64(size) > uint64(len(c.data)) {
		c.err = core.Errorf(core.CodeInvalidRequest, "frame promises %d entries in %d bytes", n, len(c.data))
	}
	if c.err != nil {
		return 0
	}
	return int(n)
}

// bytes reads a counted string; it is not copied.
func (c *cursor) bytes() []byte { return c.take(c.count(1)) }

// copied reads a counted string into memory of its own; nil if it is empty.
func (c *cursor) copied() []byte { return append([]byte(nil), c.bytes()...) }

// end tells whether all was read and well.
func (c *cursor) end() error {
	if c.err == nil && len(c.data) != 0 {
		c.err = core.Errorf(core.CodeInvalidRequest, "frame has %d bytes too many", len(c.data))
	}
	return c.err
}

func appendBytes(b, s []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

func appendI32(b []byte, v int32) []byte { return binary.LittleEndian.AppendUint32(b, uint32(v)) }

func appendF64(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

func appendTokens(b []byte, tokens []int32) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(tokens)))
	for _, t := range tokens {
		b = appendI32(b, t)
	}
	return b
}

func (c *cursor) tokens() []int32 {
	list := make([]int32, c.count(4))
	for i := range list {
		list[i] = c.i32()
	}
	return list
}
