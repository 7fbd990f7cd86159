package grammar

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxDigits is how long an integer without a bound may be.
const maxDigits = 16

// integer is a whole number within bounds.
func (c *converter) integer(o *object) (string, error) {
	low, hasLow, err := bound(o, "minimum", "exclusiveMinimum", 1)
	if err != nil {
		return "", err
	}
	high, hasHigh, err := bound(o, "maximum", "exclusiveMaximum", -1)
	if err != nil {
		return "", err
	}
	if !hasLow && !hasHigh {
		return c.shared("integer"), nil
	}
	if hasLow && hasHigh && low > high {
		return "", invalid("minimum is above maximum")
	}
	var terms []string
	if !hasLow || low < 0 { // the negative ones, by their size without the sign
		from, to := int64(1), int64(-1)
		if hasHigh && high < 0 {
			from = -high
		}
		if hasLow {
			to = -low
		}
		for _, t := range between(from, to) {
			terms = append(terms, `"-" `+t)
		}
	}
	if !hasHigh || high >= 0 {
		from, to := int64(0), int64(-1)
		if hasLow && low > 0 {
			from = low
		}
		if hasHigh {
			to = high
		}
		terms = append(terms, between(from, to)...)
	}
	return c.fresh(strings.Join(terms, " | "))
}

// bound reads an inclusive or exclusive bound; step leads from the exclusive to the inclusive one.
func bound(o *object, inclusive, exclusive string, step int64) (n int64, ok bool, err error) {
	const largest = 1e15 // beyond it a float is not exact, and unbounded numbers end there
	for _, key := range []string{inclusive, exclusive} {
		v, has := o.values[key]
		if !has {
			continue
		}
		number, isNumber := v.(json.Number)
		f, err := number.Float64()
		if !isNumber || err != nil || math.Abs(f) > largest {
			return 0, false, unsupported(key + ": " + encode(v))
		}
		i := int64(math.Ceil(f))
		if step < 0 {
			i = int64(math.Floor(f))
		}
		if key == exclusive && float64(i) == f {
			i += step
		}
		if ok && (i-n)*step < 0 {
			continue // the other bound is tighter
		}
		n, ok = i, true
	}
	return n, ok, nil
}

// between are the terms for the whole numbers from low, at least 0, to high; high below zero is without end.
func between(low, high int64) (terms []string) {
	from := strconv.FormatInt(low, 10)
	if high < 0 {
		terms = append(terms, atLeast(from))
		if from == "0" { // no zero in front of other digits
			terms = []string{`"0"`, "[1-9]"}
		}
		if rest := maxDigits - len(from) - 1; rest >= 0 {
			terms = append(terms, fmt.Sprintf("[1-9] [0-9]{%d,%d}", len(from), maxDigits-1))
		}
		return terms
	}
	to := strconv.FormatInt(high, 10)
	for n := len(from); n <= len(to); n++ {
		a, b := "1"+strings.Repeat("0", n-1), strings.Repeat("9", n)
		if n == len(from) {
			a = from
		}
		if n == len(to) {
			b = to
		}
		terms = append(terms, digits(a, b))
	}
	return terms
}

// digits is the numbers from a to b, which have as many digits.
func digits(a, b string) string {
	if a == b {
		return quote(a)
	}
	same := 0
	for a[same] == b[same] {
		same++
	}
	prefix := ""
	if same > 0 {
		prefix = quote(a[:same]) + " "
	}
	x, y := a[same], b[same]
	restA, restB := a[same+1:], b[same+1:]
	if restA == "" || strings.Trim(restA, "0") == "" && strings.Trim(restB, "9") == "" {
		return prefix + fmt.Sprintf("[%c-%c]", x, y) + anyDigits(len(restA))
	}
	terms := []string{quote(string(x)) + " " + atLeast(restA)}
	if y > x+1 {
		terms = append(terms, fmt.Sprintf("[%c-%c]", x+1, y-1)+anyDigits(len(restA)))
	}
	terms = append(terms, quote(string(y))+" "+atMost(restB))
	return prefix + "(" + strings.Join(terms, " | ") + ")"
}

func atLeast(a string) string { return digits(a, strings.Repeat("9", len(a))) }
func atMost(b string) string  { return digits(strings.Repeat("0", len(b)), b) }

func anyDigits(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" [0-9]{%d}", n)
}
