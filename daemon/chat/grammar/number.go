package grammar

import (
	"encoding/json"
	"math"
)

// edge is one end of a range of numbers. Only whole ones can be kept: what lies between fractions would take a rule
// for every digit.
type edge struct {
	set  bool
	n    int64
	open bool // the end itself is not in the range
}

// Fractions of a number within bounds. Numbers without bounds may have an exponent too.
const (
	anyFraction  = ` ("." [0-9]{1,16})?`
	someFraction = ` "." "0"{0,15} [1-9] [0-9]{0,15}` // not zero
	noFraction   = ` ("." "0"{1,16})?`
)

// number is any number within bounds.
func (c *rules) number(o *object) (string, error) {
	low, err := edgeOf(o, "minimum", "exclusiveMinimum", 1)
	if err != nil {
		return "", err
	}
	high, err := edgeOf(o, "maximum", "exclusiveMaximum", -1)
	if err != nil {
		return "", err
	}
	if !low.set && !high.set {
		return c.shared("number"), nil
	}
	var terms []string
	if !low.set || low.n < 0 { // the negative ones, by their size without the sign
		near := edge{true, 0, true}
		if high.set && high.n < 0 {
			near = edge{true, -high.n, high.open}
		}
		for _, t := range sizes(near, edge{low.set, -low.n, low.open}) {
			terms = append(terms, `"-" `+t)
		}
	}
	if !high.set || high.n >= 0 {
		near := edge{true, 0, false}
		if low.set && low.n >= 0 {
			near = low
		}
		terms = append(terms, sizes(near, high)...)
	}
	if len(terms) == 0 {
		return "", invalid("minimum is above maximum")
	}
	return c.choiceOf(terms)
}

// edgeOf reads an inclusive or exclusive bound, the tighter of the two; step leads into the range. A bound that no
// number here can reach is none.
func edgeOf(o *object, inclusive, exclusive string, step int64) (e edge, err error) {
	const far = 1e15 // floats are exact up to here, and numbers without bounds end there
	for _, key := range []string{inclusive, exclusive} {
		v, has := o.values[key]
		if !has {
			continue
		}
		number, ok := v.(json.Number)
		f, err := number.Float64()
		beyond := f * float64(-step)
		switch {
		case ok && err == nil && beyond > far:
			continue
		case !ok || err != nil || beyond < -far || f != math.Trunc(f):
			return edge{}, unsupported(key + ": " + quoted(encode(v), maxQuote))
		}
		n := int64(f)
		if !e.set || (n-e.n)*step > 0 || n == e.n && key == exclusive {
			e = edge{true, n, key == exclusive}
		}
	}
	return e, nil
}

// sizes are the terms for the numbers from near, at least 0, to far, without a sign.
func sizes(near, far edge) (terms []string) {
	if far.set && (near.n > far.n || near.n == far.n && (near.open || far.open)) {
		return nil
	}
	from := quote(itoa(near.n))
	switch {
	case far.set && near.n == far.n:
		return []string{from + noFraction}
	case near.open:
		terms = append(terms, from+someFraction)
	default:
		terms = append(terms, from+anyFraction)
	}
	if !far.set {
		for _, t := range upwards(uint64(near.n) + 1) {
			terms = append(terms, t+anyFraction)
		}
		return terms
	}
	if near.n+1 < far.n {
		for _, t := range between(uint64(near.n)+1, uint64(far.n)-1) {
			terms = append(terms, t+anyFraction)
		}
	}
	if !far.open {
		terms = append(terms, quote(itoa(far.n))+noFraction)
	}
	return terms
}
