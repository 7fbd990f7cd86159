package frame

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/engine/half"
)

const maxHalf = 65504 // the largest half float

// Cursor reads a body. After the first error everything it returns is zero.
type Cursor struct {
	data []byte
	err  error
}

// Read begins to read a body.
func Read(body []byte) *Cursor { return &Cursor{data: body} }

func (c *Cursor) take(n int) []byte {
	if c.err == nil && n > len(c.data) {
		c.err = refuse("frame ends %d bytes early", n-len(c.data))
	}
	if c.err != nil {
		return nil
	}
	b := c.data[:n]
	c.data = c.data[n:]
	return b
}

// U8 reads a byte.
func (c *Cursor) U8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

// U32 reads a number.
func (c *Cursor) U32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// U64 reads a number.
func (c *Cursor) U64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// I32 reads a number.
func (c *Cursor) I32() int32 { return int32(c.U32()) }

func (c *Cursor) f64() float64 { return math.Float64frombits(c.U64()) }

// Count reads how many entries of at least size bytes follow, which must be there.
func (c *Cursor) Count(size int) int {
	n := c.U32()
	if c.err == nil && uint64(n)*uint64(size) > uint64(len(c.data)) {
		c.err = refuse("frame promises %d entries in %d bytes", n, len(c.data))
	}
	if c.err != nil {
		return 0
	}
	return int(n)
}

// Bytes reads text of at most limit bytes; it is not copied.
func (c *Cursor) Bytes(limit int) []byte {
	n := c.Count(1)
	if c.err == nil && n > limit {
		c.err = refuse("string of %d bytes, most are %d", n, limit)
	}
	return c.take(n)
}

// Copied reads text into memory of its own; nil if it is empty.
func (c *Cursor) Copied(limit int) []byte { return append([]byte(nil), c.Bytes(limit)...) }

// Tokens reads what AppendTokens wrote.
func (c *Cursor) Tokens() []int32 {
	list := make([]int32, c.Count(4))
	for i := range list {
		list[i] = c.I32()
	}
	return list
}

// floats begins to read what AppendFloats wrote: exactly n floats, or none. The data is still in bytes.
func (c *Cursor) floats(halves bool, n int) (data []byte, size int) {
	size = 4
	if halves {
		size = 2
	}
	if got := c.Count(size); c.err == nil && got != n {
		c.err = refuse("%d floats, want %d", got, n)
	}
	if c.err != nil {
		return nil, size
	}
	return c.take(n * size), size
}

// vector reads n floats, none of which may be NaN or infinite.
func (c *Cursor) vector(n int) []float32 {
	data, _ := c.floats(false, n)
	if c.err != nil {
		return nil
	}
	v := make([]float32, n)
	toFloats(v, data, false)
	for _, f := range v {
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			c.err = refuse("vector with NaN or infinity")
		}
	}
	return v
}

// hidden reads the hidden states of rows into buf if it has room. Each row is checked while it is near.
func (c *Cursor) hidden(buf []float32, halves bool, rows, width int, foreign bool) []float32 {
	data, size := c.floats(halves, rows*width)
	if c.err != nil || len(data) == 0 {
		return buf[:0]
	}
	list := slices.Grow(buf[:0], rows*width)[:rows*width]
	for at := 0; at < len(list); at += width {
		row := list[at : at+width]
		toFloats(row, data[at*size:], halves)
		if c.err = checkState(row, foreign); c.err != nil {
			return buf[:0]
		}
	}
	return list
}

func toFloats(list []float32, data []byte, halves bool) {
	if halves {
		data = data[:2*len(list)]
		for i := range list {
			list[i] = half.To(binary.LittleEndian.Uint16(data[2*i:]))
		}
		return
	}
	data = data[:4*len(list)]
	for i := range list {
		list[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
}

// End tells whether all was read and well.
func (c *Cursor) End() error {
	if c.err == nil && len(c.data) != 0 {
		c.err = refuse("frame has %d bytes too many", len(c.data))
	}
	return c.err
}

// AppendBytes appends text.
func AppendBytes(b, s []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

// AppendI32 appends a number.
func AppendI32(b []byte, v int32) []byte { return binary.LittleEndian.AppendUint32(b, uint32(v)) }

func appendF64(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

// AppendTokens appends a list of tokens.
func AppendTokens(b []byte, tokens []int32) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(tokens)))
	for _, t := range tokens {
		b = AppendI32(b, t)
	}
	return b
}

// AppendFloats appends a list of floats, as half floats if halves is set: none may be too large for one then.
func AppendFloats(b []byte, list []float32, halves bool) []byte {
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

// FitHalf tells whether no float is too large for a half float.
func FitHalf(list []float32) bool {
	for _, f := range list {
		if f > maxHalf || f < -maxHalf {
			return false
		}
	}
	return true
}
