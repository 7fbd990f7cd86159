package template

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mitsuhiko/minijinja/minijinja-go/v2/value"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// dict is a Python dict: it keeps the order of its keys. minijinja's maps do not, so a render remembers it for them.
type dict struct {
	keys   []string
	values map[string]value.Value
}

func newDict() *dict { return &dict{values: map[string]value.Value{}} }

func (d *dict) set(key string, v value.Value) {
	if _, old := d.values[key]; !old {
		d.keys = append(d.keys, key)
	}
	d.values[key] = v
}

func (d *dict) remove(key string) {
	delete(d.values, key)
	d.keys = slices.DeleteFunc(d.keys, func(k string) bool { return k == key })
}

// orders are the dicts of one render with the order of their keys, by the address of their map, which stays theirs as
// long as the dict is here.
type orders map[uintptr]*dict

// value makes a value of d.
func (o orders) value(d *dict) value.Value {
	o[reflect.ValueOf(d.values).Pointer()] = d
	return value.FromMap(d.values)
}

// dict returns v as a dict if it is one. A dict that the template itself wrote has its keys in the alphabet's order.
func (o orders) dict(v value.Value) (*dict, bool) {
	values, ok := v.AsMap()
	if !ok {
		return nil, false
	}
	if d, ok := o[reflect.ValueOf(values).Pointer()]; ok && len(d.keys) == len(values) {
		return d, true
	}
	return &dict{slices.Sorted(maps.Keys(values)), values}, true
}

// changed remembers the order of a dict that a template changed.
func (o orders) changed(d *dict) error {
	o.value(d)
	return nil
}

// renderState is what one render knows beside its variables.
type renderState struct {
	orders orders
	now    time.Time
}

// stateKey is the context's key of a render's state.
type stateKey struct{}

func stateOf(ctx context.Context) *renderState {
	if s, ok := ctx.Value(stateKey{}).(*renderState); ok {
		return s
	}
	return &renderState{orders: orders{}}
}

func ordersOf(ctx context.Context) orders { return stateOf(ctx).orders }

// maxDigits bounds a whole number that is kept exactly, as Python does.
const maxDigits = 4300

// maxDepth bounds how deep values may be nested.
const maxDepth = 64

// jsonReader reads JSON that somebody sent, with objects as dicts; numbers without a fraction are integers.
type jsonReader struct {
	orders  orders
	guard   *strings.Replacer // for every text, keys included
	decoder *json.Decoder
}

// fromJSON reads one JSON value.
func (t *Template) fromJSON(o orders, raw []byte) (value.Value, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	r := jsonReader{o, t.guard, decoder}
	v, err := r.value(0)
	if err != nil {
		return value.Undefined(), core.Errorf(core.CodeInvalidRequest, "JSON: %w", err)
	}
	if decoder.More() {
		return value.Undefined(), core.Errorf(core.CodeInvalidRequest, "JSON: more than one value")
	}
	return v, nil
}

func (r *jsonReader) value(depth int) (value.Value, error) {
	token, err := r.decoder.Token()
	if err != nil {
		return value.Undefined(), err
	}
	if depth > maxDepth {
		return value.Undefined(), core.Errorf(core.CodeInvalidRequest, "nested deeper than %d", maxDepth)
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '[' {
			return r.list(depth)
		}
		return r.dict(depth)
	case json.Number:
		if n, err := t.Int64(); err == nil {
			return value.FromInt(n), nil
		}
		if n, ok := new(big.Int).SetString(t.String(), 10); ok && len(t) <= maxDigits {
			return value.FromBigInt(n), nil
		}
		f, err := t.Float64()
		return value.FromFloat(f), err
	case string:
		return value.FromString(r.guard.Replace(t)), nil
	case bool:
		return value.FromBool(t), nil
	default:
		return value.None(), nil
	}
}

func (r *jsonReader) list(depth int) (value.Value, error) {
	items := []value.Value{}
	for r.decoder.More() {
		v, err := r.value(depth + 1)
		if err != nil {
			return value.Undefined(), err
		}
		items = append(items, v)
	}
	_, err := r.decoder.Token()
	return value.FromSlice(items), err
}

func (r *jsonReader) dict(depth int) (value.Value, error) {
	d := newDict()
	for r.decoder.More() {
		key, err := r.decoder.Token()
		if err != nil {
			return value.Undefined(), err
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return value.Undefined(), err
		}
		d.set(r.guard.Replace(key.(string)), v)
	}
	_, err := r.decoder.Token()
	return r.orders.value(d), err
}

// jsonStyle is how Python's json.dumps lays out text.
type jsonStyle struct {
	item, key string // what follows an item, and a key
	indent    string // one level; empty is all on one line
	ascii     bool   // escape what is not ASCII
}

// toJSON writes v as json.dumps does. The error is that the text is too long or v cannot be written.
func (o orders) toJSON(v value.Value, style jsonStyle) (string, error) {
	w := jsonWriter{orders: o, style: style}
	if err := w.write(v, 0); err != nil {
		return "", err
	}
	return w.out.String(), nil
}

type jsonWriter struct {
	orders orders
	style  jsonStyle
	out    strings.Builder
}

func (w *jsonWriter) write(v value.Value, depth int) error {
	if w.out.Len() > maxOutput || depth > 2*maxDepth {
		return errTooLong()
	}
	if d, ok := w.orders.dict(v); ok {
		return w.group('{', '}', len(d.keys), depth, func(i int) error {
			w.text(d.keys[i])
			w.out.WriteString(w.style.key)
			return w.write(d.values[d.keys[i]], depth+1)
		})
	}
	switch v.Kind() {
	case value.KindString:
		s, _ := v.AsString()
		w.text(s)
	case value.KindBool:
		w.out.WriteString(strconv.FormatBool(v.IsTrue()))
	case value.KindNumber:
		w.out.WriteString(jsonNumber(v))
	case value.KindNone:
		w.out.WriteString("null")
	case value.KindSeq, value.KindIterable:
		items := v.Iter()
		return w.group('[', ']', len(items), depth, func(i int) error { return w.write(items[i], depth+1) })
	default:
		return core.Errorf(core.CodeInvalidRequest, "the chat template writes a %s as JSON", v.Kind())
	}
	return nil
}

// jsonNumber writes a number as json.dumps does, which has names for those that JSON lacks.
func jsonNumber(v value.Value) string {
	s := pythonNumber(v)
	if name, ok := map[string]string{"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}[s]; ok {
		return name
	}
	return s
}

func (w *jsonWriter) group(open, end byte, n, depth int, item func(int) error) error {
	w.out.WriteByte(open)
	for i := range n {
		if i > 0 {
			w.out.WriteString(w.style.item)
		}
		w.line(depth + 1)
		if err := item(i); err != nil {
			return err
		}
	}
	if n > 0 {
		w.line(depth)
	}
	w.out.WriteByte(end)
	return nil
}

func (w *jsonWriter) line(depth int) {
	if w.style.indent != "" {
		w.out.WriteString("\n" + strings.Repeat(w.style.indent, depth))
	}
}

// text writes a JSON string the way Python does: only what must be is escaped.
func (w *jsonWriter) text(s string) {
	w.out.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.out.WriteByte('\\')
			w.out.WriteRune(r)
		case r == '\n':
			w.out.WriteString(`\n`)
		case r == '\r':
			w.out.WriteString(`\r`)
		case r == '\t':
			w.out.WriteString(`\t`)
		case r == '\b':
			w.out.WriteString(`\b`)
		case r == '\f':
			w.out.WriteString(`\f`)
		case r < ' ' || w.style.ascii && r > '~':
			w.escape(r)
		default:
			w.out.WriteRune(r)
		}
	}
	w.out.WriteByte('"')
}

func (w *jsonWriter) escape(r rune) {
	const digits = "0123456789abcdef"
	unit := func(u rune) {
		w.out.WriteString(`\u`)
		for shift := 12; shift >= 0; shift -= 4 {
			w.out.WriteByte(digits[u>>shift&15])
		}
	}
	if r > 0xffff {
		r -= 0x10000
		unit(0xd800 + r>>10)
		r = 0xdc00 + r&0x3ff
	}
	unit(r)
}
