package worker

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/engine/half"
)

// appendFloats appends a count and rows of floats, as half floats if halves is set.
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

// floats reads what appendFloats wrote, into buf if it has room; nil if there are none.
func (c *cursor) floats(buf []float32, halves bool) []float32 {
	size := 4
	if halves {
		size = 2
	}
	n := c.count(size)
	if n == 0 {
		return nil
	}
	data := c.take(n * size)
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
