package pipeline

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/half"
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

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (c *cursor) i32() int32 { return int32(c.u32()) }

func (c *cursor) f64() float64 { return math.Float64frombits(c.u64()) }

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

// bytes reads a counted string of at most limit bytes; it is not copied.
func (c *cursor) bytes(limit int) []byte {
	n := c.count(1)
	if c.err == nil && n > limit {
		c.err = core.Errorf(core.CodeInvalidRequest, "string of %d bytes, most are %d", n, limit)
	}
	return c.take(n)
}

// copied reads a counted string into memory of its own; nil if it is empty.
func (c *cursor) copied(limit int) []byte { return append([]byte(nil), c.bytes(limit)...) }

// floats reads what appendFloats wrote, at most limit of them, into buf if it has room.
func (c *cursor) floats(buf []float32, halves bool, limit int) []float32 {
	size := 4
	if halves {
		size = 2
	}
	n := c.count(size)
	if c.err == nil && n > limit {
		c.err = core.Errorf(core.CodeInvalidRequest, "%d floats, most are %d", n, limit)
	}
	data := c.take(n * size)
	if c.err != nil || n == 0 {
		return buf[:0]
	}
	list := slices.Grow(buf[:0], n)[:n]
	if halves {
		for i := range list {
			list[i] = half.To(binary.LittleEndian.Uint16(data[2*i:]))
		}
		return list
	}
	for i := range list {
		list[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return list
}

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
