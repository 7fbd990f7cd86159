package worker

import (
	"encoding/binary"
	"math"
	"slices"
)

// appendFloats appends a count and rows of floats.
func appendFloats(b []byte, list []float32) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(list)))
	at := len(b)
	b = slices.Grow(b, 4*len(list))[:at+4*len(list)]
	for i, f := range list {
		binary.LittleEndian.PutUint32(b[at+4*i:], math.Float32bits(f))
	}
	return b
}

// floats reads what appendFloats wrote, into buf if it has room; nil if there are none.
func (c *cursor) floats(buf []float32) []float32 {
	n := c.count(4)
	if n == 0 {
		return nil
	}
	data := c.take(4 * n)
	list := slices.Grow(buf[:0], n)[:n]
	for i := range list {
		list[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return list
}
