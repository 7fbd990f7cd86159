package jinja

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A value of a template is one of: nil (None), bool, int64, float64, Text, *List, *Dict, *namespace, *loop, function
// or undefined. None of them changes once made, but for namespaces.
type (
	// List is a Python list, or a tuple.
	List struct {
		Items []any
		tuple bool
	}

	// Dict is a Python dict: keys keep the order they came in.
	Dict struct {
		entries []entry
		index   map[any]int
	}

	entry struct{ key, value any }

	// undefined is what a missing name or member gives.
	undefined struct{ name string }

	namespace struct{ members *Dict }

	function struct {
		name string
		call func(r *run, args args) (any, error)
	}
)

// NewDict returns a dict with room for n entries.
func NewDict(n int) *Dict {
	return &Dict{entries: make([]entry, 0, n), index: make(map[any]int, n)}
}

// hashable is the map key of a dict's key: its bytes for text, the number for numbers that are whole.
func hashable(key any) (any, bool) {
	switch k := key.(type) {
	case Text:
		return k.s, true
	case float64:
		if k == math.Trunc(k) && math.Abs(k) < 1<<53 {
			return int64(k), true
		}
		return k, true
	case bool:
		return int64(intOf(k)), true
	case int64, nil:
		return k, true
	}
	return nil, false
}

func intOf(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Set adds an entry, or changes its value. The key must be a Text, a number, a bool or nil.
func (d *Dict) Set(key, value any) {
	h, ok := hashable(key)
	if !ok {
		return
	}
	if i, ok := d.index[h]; ok {
		d.entries[i].value = value
		return
	}
	d.index[h] = len(d.entries)
	d.entries = append(d.entries, entry{key, value})
}

// SetString adds an entry whose key is not a user's.
func (d *Dict) SetString(key string, value any) { d.Set(Plain(key), value) }

// Get returns the value of a key.
func (d *Dict) Get(key any) (any, bool) {
	h, ok := hashable(key)
	if !ok {
		return nil, false
	}
	i, ok := d.index[h]
	if !ok {
		return nil, false
	}
	return d.entries[i].value, true
}

func (d *Dict) keys() *List {
	l := &List{Items: make([]any, len(d.entries))}
	for i, e := range d.entries {
		l.Items[i] = e.key
	}
	return l
}

func (d *Dict) values() *List {
	l := &List{Items: make([]any, len(d.entries))}
	for i, e := range d.entries {
		l.Items[i] = e.value
	}
	return l
}

func (d *Dict) items() *List {
	l := &List{Items: make([]any, len(d.entries))}
	for i, e := range d.entries {
		l.Items[i] = &List{Items: []any{e.key, e.value}, tuple: true}
	}
	return l
}

// truth is Python's bool().
func truth(v any) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case Text:
		return v.s != ""
	case *List:
		return len(v.Items) > 0
	case *Dict:
		return len(v.entries) > 0
	}
	return true
}

// kind is the name of a value's type in Python.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case Text:
		return "str"
	case *List:
		if v.tuple {
			return "tuple"
		}
		return "list"
	case *Dict:
		return "dict"
	case undefined:
		return "Undefined"
	}
	return "object"
}

// number gives ints, floats and bools as a float.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case bool:
		return float64(intOf(v)), true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// integer gives ints and bools.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case bool:
		return int64(intOf(v)), true
	case int64:
		return v, true
	}
	return 0, false
}

// formatFloat is Python's repr of a float.
func formatFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// str writes Python's str() of v.
func (r *run) str(v any) (Text, error) {
	if t, ok := v.(Text); ok {
		return t, nil
	}
	if _, ok := v.(undefined); ok {
		return Text{}, nil
	}
	var b Builder
	if err := r.repr(&b, v); err != nil {
		return Text{}, err
	}
	return b.Text(), r.spend(b.Len())
}

// repr writes Python's repr() of v.
func (r *run) repr(b *Builder, v any) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		b.WriteString([]string{"False", "True"}[intOf(v)])
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		b.WriteString(formatFloat(v))
	case Text:
		b.Write(v.like(quotePython(v.s)))
		return r.spend(len(v.s))
	case *List:
		return r.reprList(b, v)
	case *Dict:
		return r.reprDict(b, v)
	case *namespace:
		b.WriteString("<Namespace ")
		defer b.WriteString(">")
		return r.repr(b, v.members)
	case undefined:
		b.WriteString("Undefined")
	default:
		b.WriteString("<object>")
	}
	return nil
}

func (r *run) reprList(b *Builder, l *List) error {
	open, closer := "[", "]"
	if l.tuple {
		open, closer = "(", ")"
		if len(l.Items) == 1 {
			closer = ",)"
		}
	}
	b.WriteString(open)
	for i, item := range l.Items {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := r.repr(b, item); err != nil {
			return err
		}
	}
	b.WriteString(closer)
	return r.spend(len(l.Items))
}

func (r *run) reprDict(b *Builder, d *Dict) error {
	b.WriteString("{")
	for i, e := range d.entries {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := r.repr(b, e.key); err != nil {
			return err
		}
		b.WriteString(": ")
		if err := r.repr(b, e.value); err != nil {
			return err
		}
	}
	b.WriteString("}")
	return r.spend(len(d.entries))
}

func quotePython(s string) string {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.WriteByte(quote)
	for _, c := range s {
		switch {
		case c == rune(quote) || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		case strconv.IsPrint(c):
			b.WriteRune(c)
		case c < 0x100:
			fmt.Fprintf(&b, `\x%02x`, c)
		case c < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			fmt.Fprintf(&b, `\U%08x`, c)
		}
	}
	b.WriteByte(quote)
	return b.String()
}

// equal is Python's ==.
func (r *run) equal(a, b any) (bool, error) {
	if err := r.enter(); err != nil {
		return false, err
	}
	defer r.leave()
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return x == y, nil
		}
		return false, nil
	}
	switch a := a.(type) {
	case nil:
		return b == nil, nil
	case undefined:
		_, ok := b.(undefined)
		return ok, nil
	case Text:
		t, ok := b.(Text)
		return ok && a.s == t.s, r.spend(len(a.s) / 64)
	case *List:
		return r.equalLists(a, b)
	case *Dict:
		return r.equalDicts(a, b)
	case *namespace:
		return any(a) == b, nil
	}
	return false, nil
}

func (r *run) equalLists(a *List, v any) (bool, error) {
	b, ok := v.(*List)
	if !ok || a.tuple != b.tuple || len(a.Items) != len(b.Items) {
		return false, nil
	}
	for i := range a.Items {
		if same, err := r.equal(a.Items[i], b.Items[i]); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (r *run) equalDicts(a *Dict, v any) (bool, error) {
	b, ok := v.(*Dict)
	if !ok || len(a.entries) != len(b.entries) {
		return false, nil
	}
	for _, e := range a.entries {
		other, ok := b.Get(e.key)
		if !ok {
			return false, nil
		}
		if same, err := r.equal(e.value, other); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

// less is Python's <.
func (r *run) less(a, b any) (bool, error) {
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return x < y, nil
		}
	}
	switch x := a.(type) {
	case Text:
		if y, ok := b.(Text); ok {
			return x.s < y.s, r.spend(1)
		}
	case *List:
		if y, ok := b.(*List); ok && x.tuple == y.tuple {
			return r.lessLists(x, y)
		}
	}
	return false, r.fail("'<' not supported between instances of '%s' and '%s'", kind(a), kind(b))
}

func (r *run) lessLists(a, b *List) (bool, error) {
	if err := r.enter(); err != nil {
		return false, err
	}
	defer r.leave()
	for i := range min(len(a.Items), len(b.Items)) {
		same, err := r.equal(a.Items[i], b.Items[i])
		if err != nil {
			return false, err
		}
		if !same {
			return r.less(a.Items[i], b.Items[i])
		}
	}
	return len(a.Items) < len(b.Items), nil
}
