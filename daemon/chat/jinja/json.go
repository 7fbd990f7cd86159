package jinja

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// filterToJSON is the tojson of transformers: Python's json.dumps that leaves letters as they are, not Jinja's own,
// which escapes for HTML.
func filterToJSON(r *run, v any, a args) (any, error) {
	w := &jsonWriter{run: r, comma: ", ", colon: ": "}
	switch indent := a.at(1, "indent", nil).(type) {
	case nil:
	case Text:
		w.indent, w.broken = indent.s, true
	default:
		n, ok := integer(indent)
		if !ok {
			return nil, r.fail("indent must be an integer or a string")
		}
		if err := r.repeat(1, n); err != nil {
			return nil, err
		}
		w.indent, w.broken = strings.Repeat(" ", int(max(n, 0))), true
	}
	if w.broken {
		w.comma = ","
	}
	if l, ok := a.at(2, "separators", nil).(*List); ok && len(l.Items) == 2 {
		comma, okComma := l.Items[0].(Text)
		colon, okColon := l.Items[1].(Text)
		if !okComma || !okColon {
			return nil, r.fail("separators must be strings")
		}
		w.comma, w.colon = comma.s, colon.s
	}
	w.ascii = truth(a.at(0, "ensure_ascii", false))
	w.sorted = truth(a.at(3, "sort_keys", false))
	err := w.value(v, 0)
	return w.out.Text(), err
}

type jsonWriter struct {
	run                   *run
	out                   Builder
	comma, colon, indent  string
	broken, sorted, ascii bool
}

func (w *jsonWriter) value(v any, level int) error {
	if err := w.run.enter(); err != nil {
		return err
	}
	defer w.run.leave()
	switch v := v.(type) {
	case nil:
		w.out.WriteString("null")
	case bool:
		w.out.WriteString(strconv.FormatBool(v))
	case int64:
		w.out.WriteString(strconv.FormatInt(v, 10))
	case float64:
		w.out.WriteString(jsonFloat(v))
	case Text:
		return w.text(v)
	case *List:
		return w.list(v, level)
	case *Dict:
		return w.dict(v, level)
	default:
		return w.run.fail("object of type %s is not JSON serializable", kind(v))
	}
	return nil
}

func jsonFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return formatFloat(f)
}

// text writes a string in quotes. Each run of bytes keeps its origin.
func (w *jsonWriter) text(t Text) error {
	w.out.WriteString(`"`)
	at := 0
	for _, u := range t.user {
		w.out.WriteString(escapeJSON(t.s[at:u.Start], w.ascii))
		w.out.Write(User(escapeJSON(t.s[u.Start:u.End], w.ascii)))
		at = u.End
	}
	w.out.WriteString(escapeJSON(t.s[at:], w.ascii))
	w.out.WriteString(`"`)
	return w.run.spend(2*len(t.s) + 2)
}

func escapeJSON(s string, ascii bool) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\b':
			b.WriteString(`\b`)
		case c == '\f':
			b.WriteString(`\f`)
		case c < ' ' || ascii && c >= utf8.RuneSelf:
			b.WriteString(escapeUnit(c))
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// escapeUnit writes c as \u escapes: two, a surrogate pair, beyond the first plane.
func escapeUnit(c rune) string {
	hex := func(u rune) string { return `\u` + strconv.FormatInt(0x10000+int64(u), 16)[1:] }
	if c < 0x10000 {
		return hex(c)
	}
	c -= 0x10000
	return hex(0xd800+c>>10) + hex(0xdc00+c&0x3ff)
}

func (w *jsonWriter) newline(level int) error {
	if !w.broken {
		return nil
	}
	if err := w.run.repeat(len(w.indent), int64(level)); err != nil {
		return err
	}
	w.out.WriteString("\n" + strings.Repeat(w.indent, level))
	return nil
}

// members writes n members between brackets.
func (w *jsonWriter) members(open, closer string, n, level int, write func(i int) error) error {
	w.out.WriteString(open)
	if n == 0 {
		w.out.WriteString(closer)
		return nil
	}
	for i := range n {
		if i > 0 {
			w.out.WriteString(w.comma)
		}
		if err := w.newline(level + 1); err != nil {
			return err
		}
		if err := write(i); err != nil {
			return err
		}
	}
	if err := w.newline(level); err != nil {
		return err
	}
	w.out.WriteString(closer)
	return nil
}

func (w *jsonWriter) list(l *List, level int) error {
	return w.members("[", "]", len(l.Items), level, func(i int) error { return w.value(l.Items[i], level+1) })
}

func (w *jsonWriter) dict(d *Dict, level int) error {
	entries := d.entries
	if w.sorted {
		pairs, err := w.run.sorted(d.items().Items, func(p any) (any, error) { return p.(*List).Items[0], nil }, true, false)
		if err != nil {
			return err
		}
		entries = nil
		for _, p := range pairs.(*List).Items {
			pair := p.(*List).Items
			entries = append(entries, entry{pair[0], pair[1]})
		}
	}
	return w.members("{", "}", len(entries), level, func(i int) error {
		key, err := w.key(entries[i].key)
		if err != nil {
			return err
		}
		if err := w.text(key); err != nil {
			return err
		}
		w.out.WriteString(w.colon)
		return w.value(entries[i].value, level+1)
	})
}

// key turns the key of a dict into a string.
func (w *jsonWriter) key(k any) (Text, error) {
	if t, ok := k.(Text); ok {
		return t, nil
	}
	inner := &jsonWriter{run: w.run}
	err := inner.value(k, 0)
	return inner.out.Text(), err
}

// maxJSONDepth bounds how deep a JSON value of a request may nest.
const maxJSONDepth = 200

// FromJSON reads a JSON value with the order of its keys. All text in it counts as a user's. The error has code
// core.CodeInvalidRequest.
func FromJSON(src []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	v, err := jsonValue(d, 0)
	if err != nil {
		return nil, core.Errorf(core.CodeInvalidRequest, "read JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, core.Errorf(core.CodeInvalidRequest, "read JSON: more than one value")
	}
	return v, nil
}

func jsonValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxJSONDepth {
		return nil, core.Errorf(core.CodeInvalidRequest, "nested more than %d levels deep", maxJSONDepth)
	}
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch tok := tok.(type) {
	case json.Delim:
		if tok == '[' {
			return jsonList(d, depth)
		}
		return jsonDict(d, depth)
	case string:
		return User(tok), nil
	case json.Number:
		if n, err := strconv.ParseInt(tok.String(), 10, 64); err == nil {
			return n, nil
		}
		return tok.Float64()
	case bool:
		return tok, nil
	}
	return nil, nil
}

func jsonList(d *json.Decoder, depth int) (any, error) {
	l := &List{}
	for d.More() {
		v, err := jsonValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		l.Items = append(l.Items, v)
	}
	_, err := d.Token()
	return l, err
}

func jsonDict(d *json.Decoder, depth int) (any, error) {
	out := NewDict(0)
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := jsonValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		name, _ := key.(string)
		out.Set(User(name), v)
	}
	_, err := d.Token()
	return out, err
}
