package template

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/mitsuhiko/minijinja/minijinja-go/v2/value"
)

// python writes a value as Python's str does.
func (o orders) python(v value.Value) string {
	switch v.Kind() {
	case value.KindNone, value.KindBool, value.KindNumber, value.KindSeq, value.KindMap:
		var out strings.Builder
		o.repr(&out, v, 0)
		return out.String()
	}
	return v.String()
}

// repr writes a value as Python's repr does, in other words as it stands inside a list.
func (o orders) repr(out *strings.Builder, v value.Value, depth int) {
	if depth > maxDepth {
		out.WriteString("...")
		return
	}
	if d, ok := o.dict(v); ok {
		out.WriteByte('{')
		for i, k := range d.keys {
			if i > 0 {
				out.WriteString(", ")
			}
			out.WriteString(pythonQuote(k) + ": ")
			o.repr(out, d.values[k], depth+1)
		}
		out.WriteByte('}')
		return
	}
	switch v.Kind() {
	case value.KindNone:
		out.WriteString("None")
	case value.KindBool:
		out.WriteString(map[bool]string{true: "True", false: "False"}[v.IsTrue()])
	case value.KindNumber:
		out.WriteString(pythonNumber(v))
	case value.KindString:
		out.WriteString(pythonQuote(v.String()))
	case value.KindSeq:
		out.WriteByte('[')
		for i, item := range v.Iter() {
			if i > 0 {
				out.WriteString(", ")
			}
			o.repr(out, item, depth+1)
		}
		out.WriteByte(']')
	default:
		out.WriteString(v.String())
	}
}

// pythonNumber writes a number as Python does: whole ones exactly, others with the fewest digits that tell them apart,
// and an exponent only for the very large and the very small.
func pythonNumber(v value.Value) string {
	f, ok := v.AsFloat()
	if !ok || !v.IsActualFloat() {
		return v.String()
	}
	switch size := math.Abs(f); {
	case math.IsInf(f, 0) || math.IsNaN(f):
		return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(f, 'g', -1, 64), "+"))
	case size >= 1e16 || size < 1e-4 && size > 0:
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// pythonQuote writes a string literal as Python's repr does.
func pythonQuote(s string) string {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var out strings.Builder
	out.WriteByte(quote)
	for _, r := range s {
		switch {
		case r == rune(quote) || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case string(r) == cut || unicode.IsPrint(r): // a cut is taken out again behind the render
			out.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&out, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			fmt.Fprintf(&out, `\U%08x`, r)
		}
	}
	out.WriteByte(quote)
	return out.String()
}
