// Package half turns floats into IEEE half floats and back.
package half

import "math"

// From rounds to the nearest IEEE half float, ties to even. What is too large becomes infinity.
func From(f float32) uint16 {
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

// To is the value of a half float.
func To(h uint16) float32 {
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
