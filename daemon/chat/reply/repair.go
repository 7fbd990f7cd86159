package reply

import (
	"encoding/json"
	"strings"
)

// repairer checks one JSON object byte by byte, and mends what models often get wrong: a comma behind the last item, a
// line break inside a string, an escape that JSON lacks, Python's True, False and None. What it gives out is JSON.
type repairer struct {
	open   []byte // brackets, the innermost last
	want   want
	key    bool   // the string being read is one
	text   bool   // inside a string
	escape bool   // behind a backslash, which is held back
	hex    int    // digits of \u that are to come
	scalar []byte // number or word, held back until its end
	comma  string // and the whitespace behind it, held back until something follows
}

type want uint8

const (
	wantValue want = iota
	wantKey
	wantKeyOrEnd
	wantValueOrEnd
	wantColon
	wantCommaOrEnd
)

// longestScalar bounds a number or word.
const longestScalar = 400

// feed takes the next byte and gives what is certain; ok is false when this can be no JSON.
func (r *repairer) feed(b byte) (out string, ok bool) {
	switch {
	case r.text:
		return r.string(b)
	case r.scalar != nil && !space(b) && strings.IndexByte(",]}", b) < 0:
		r.scalar = append(r.scalar, b)
		return "", len(r.scalar) <= longestScalar
	case r.scalar != nil:
		word := string(r.scalar)
		if python, ok := map[string]string{"True": "true", "False": "false", "None": "null"}[word]; ok {
			word = python
		}
		if !json.Valid([]byte(word)) {
			return "", false
		}
		r.scalar, r.want = nil, wantCommaOrEnd
		out, ok = r.feed(b)
		return word + out, ok
	case space(b) && r.comma == "":
		return string(b), true
	case space(b):
		r.comma += string(b)
		return "", len(r.comma) <= longestScalar
	}
	return r.token(b)
}

// token takes a byte that is no whitespace and in no string or scalar.
func (r *repairer) token(b byte) (out string, ok bool) {
	comma := r.comma
	r.comma = ""
	switch {
	case b == '"' && r.want != wantColon && r.want != wantCommaOrEnd:
		r.text, r.key = true, r.want == wantKey || r.want == wantKeyOrEnd
	case b == '{' && (r.want == wantValue || r.want == wantValueOrEnd):
		r.open, r.want = append(r.open, b), wantKeyOrEnd
	case b == '[' && (r.want == wantValue || r.want == wantValueOrEnd):
		r.open, r.want = append(r.open, b), wantValueOrEnd
	case b == ':' && r.want == wantColon:
		r.want = wantValue
	case b == ',' && r.want == wantCommaOrEnd:
		r.comma, r.want = ",", wantValue
		if r.inside() == '{' {
			r.want = wantKey
		}
		return "", true
	case b == '}' && r.inside() == '{' && (r.want == wantKeyOrEnd || r.want == wantCommaOrEnd || comma != ""),
		b == ']' && r.inside() == '[' && (r.want == wantValueOrEnd || r.want == wantCommaOrEnd || comma != ""):
		r.open, r.want = r.open[:len(r.open)-1], wantCommaOrEnd
		comma = strings.TrimPrefix(comma, ",")
	case (r.want == wantValue || r.want == wantValueOrEnd) && len(r.open) > 0 && strings.IndexByte("-0123456789tfnTFN", b) >= 0:
		r.scalar = []byte{b}
		return comma, true
	default:
		return "", false
	}
	return comma + string(b), true
}

// inside is the innermost bracket.
func (r *repairer) inside() byte {
	if len(r.open) == 0 {
		return 0
	}
	return r.open[len(r.open)-1]
}

// string takes a byte inside a string.
func (r *repairer) string(b byte) (out string, ok bool) {
	switch {
	case r.hex > 0:
		r.hex--
		return string([]byte{b}), strings.IndexByte("0123456789abcdefABCDEF", b) >= 0
	case r.escape && b == 'u':
		r.escape, r.hex = false, 4
		return `\u`, true
	case r.escape && strings.IndexByte(`"\/bfnrt`, b) >= 0:
		r.escape = false
		return `\` + string(b), true
	case r.escape && b >= ' ' && b < 0x7f:
		r.escape = false
		return `\\` + string(b), true
	case r.escape:
		return "", false
	case b == '\\':
		r.escape = true
		return "", true
	case b == '"':
		r.text, r.want = false, wantCommaOrEnd
		if r.key {
			r.want = wantColon
		}
	case b == '\n':
		return `\n`, true
	case b == '\r':
		return `\r`, true
	case b == '\t':
		return `\t`, true
	case b < ' ':
		return "", false
	}
	return string([]byte{b}), true
}
