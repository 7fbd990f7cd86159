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
func (c *rules) integer(o *object) (string, error) {
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
	var terms, negative []string
	if !hasLow || low < 0 { // the negative ones, by their size without the sign
		from := uint64(1)
		if hasHigh && high < 0 {
			from = size(high)
		}
		if negative = upwards(from); hasLow {
			negative = between(from, size(low))
		}
		for _, t := range negative {
			terms = append(terms, `"-" `+t)
		}
	}
	if !hasHigh || high >= 0 {
		from := uint64(max(low, 0))
		if hasHigh {
			terms = append(terms, between(from, uint64(high))...)
		} else {
			terms = append(terms, upwards(from)...)
		}
	}
	return c.choiceOf(terms)
}

// choiceOf adds a rule that is one of the terms, which are no names of rules.
func (c *rules) choiceOf(terms []string) (string, error) {
	return c.fresh(strings.Join(terms, " | "))
}

// size is n without its sign.
func size(n int64) uint64 {
	if n < 0 {
		return uint64(-(n + 1)) + 1
	}
	return uint64(n)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// bound reads an inclusive or exclusive bound; step leads from the exclusive to the inclusive one. Numbers have at
// most 64 bits: a bound outside of them is none.
func bound(o *object, inclusive, exclusive string, step int64) (n int64, ok bool, err error) {
	for _, key := range []string{inclusive, exclusive} {
		v, has := o.values[key]
		if !has {
			continue
		}
		number, isNumber := v.(json.Number)
		i, exact := number.Int64()
		if f, err := number.Float64(); exact != nil {
			switch beyond := f * float64(-step); {
			case isNumber && (err == nil || math.IsInf(f, 0)) && beyond >= math.MaxInt64:
				continue
			case !isNumber || err != nil || beyond <= -math.MaxInt64:
				return 0, false, unsupported(key + ": " + quoted(encode(v), maxQuote))
			}
			if i = int64(math.Ceil(f)); step < 0 {
				i = int64(math.Floor(f))
			}
			if float64(i) == f { // 1.0, 1e3
				exact = nil
			}
		}
		if key == exclusive && exact == nil {
			if i += step; (i < 0) == (step > 0) && (i == math.MinInt64 || i == math.MaxInt64) {
				return 0, false, invalid("%s leaves nothing", key)
			}
		}
		if ok && (i-n)*step < 0 {
			continue // the other bound is tighter
		}
		n, ok = i, true
	}
	return n, ok, nil
}

// upwards are the terms for the whole numbers from low on, as long as an integer without bounds may be.
func upwards(low uint64) []string {
	from := strconv.FormatUint(low, 10)
	if from == "0" { // no zero in front of other digits
		return append([]string{`"0"`}, upwards(1)...)
	}
	terms := []string{atLeast(from)}
	if len(from) < maxDigits {
		terms = append(terms, fmt.Sprintf("[1-9] [0-9]{%d,%d}", len(from), maxDigits-1))
	}
	return terms
}

// between are the terms for the whole numbers from low to high.
func between(low, high uint64) (terms []string) {
	from, to := strconv.FormatUint(low, 10), strconv.FormatUint(high, 10)
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
