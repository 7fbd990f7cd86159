package worker

import (
	"encoding/binary"
	"math"
	"slices"
)

// appendFloats appends a count and rows of floats, as half floats if half is set.
func appendFloats(b []byte, list []float32, half bool) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(list)))
	at := len(b)
	if half {
		b = slices.Grow(b, 2*len(list))[:at+2*len(list)]
		for i, f := range list {
			binary.LittleEndian.PutUint16(b[at+2*i:], toHalf(f))
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
func (c *cursor) floats(buf []float32, half bool) []float32 {
	size := 4
	if half {
		size = 2
	}
	n := c.count(size)
	if n == 0 {
		return nil
	}
	data := c.take(n * size)
	list := slices.Grow(buf[:0], n)[:n]
	if half {
		for i := range list {
			list[i] = fromHalf(binary.LittleEndian.Uint16(data[2*i:]))
		}
		return list
	}
	for i := range list {
		list[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return list
}

// toHalf rounds to the nearest IEEE half float, ties to even. What is too large becomes infinity.
func toHalf(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000)
	exp := int32(bits>>23&0xff) - 112
	frac := bits & 0x7fffff
	switch {
	case exp == 143 && frac != 0:
		return sign | 0x7e00
	case exp >= 31:
		return sign | 0x7c00
	case exp > 0:
		v := uint32(exp)<<23 | frac
		return sign + uint16((v+0xfff+(v>>13&1))>>13)
	case exp < -10:
		return sign
	}
	frac |= 0x800000
	shift := uint32(14 - exp)
	v := frac >> shift
	rest, tie := frac&(1<<shift-1), uint32(1)<<(shift-1)
	if rest > tie || rest == tie && v&1 == 1 {
		v++
	}
	return sign | uint16(v)
}

func fromHalf(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp, frac := uint32(h>>10&31), uint32(h&0x3ff)
	switch {
	case exp == 31:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	case frac == 0:
		return math.Float32frombits(sign)
	}
	f := float32(frac) / (1 << 24)
	return math.Float32frombits(math.Float32bits(f) | sign)
}
