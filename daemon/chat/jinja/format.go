package jinja

import (
	"fmt"
	"strconv"
	"strings"
)

// formatPercent is Python's "text" % values, for %s, %d, %r, %f, %x and %% with a width and precision.
func (r *run) formatPercent(t Text, v any) (any, error) {
	values := []any{v}
	if l, ok := v.(*List); ok && l.tuple {
		values = l.Items
	}
	var out Builder
	at := 0
	for {
		i := strings.IndexByte(t.s[at:], '%')
		if i < 0 {
			out.Write(t.Slice(at, len(t.s)))
			return out.Text(), r.spend(len(t.s))
		}
		out.Write(t.Slice(at, at+i))
		at += i + 1
		end := at
		for end < len(t.s) && strings.IndexByte("+-0123456789. #", t.s[end]) >= 0 {
			end++
		}
		if end == len(t.s) || end-at > 8 {
			return nil, r.fail("incomplete format")
		}
		spec, verb := t.s[at:end], t.s[end]
		at = end + 1
		if verb == '%' {
			out.WriteString("%")
			continue
		}
		if len(values) == 0 {
			return nil, r.fail("not enough arguments for format string")
		}
		s, err := r.verb(spec, verb, values[0])
		if err != nil {
			return nil, err
		}
		out.Write(s)
		values = values[1:]
	}
}

func (r *run) verb(spec string, verb byte, v any) (Text, error) {
	width, precision, _ := strings.Cut(strings.TrimLeft(spec, "+- #0"), ".")
	for _, n := range []string{width, precision} {
		if n, _ := strconv.Atoi(n); n > 1000 {
			return Text{}, r.fail("format is too wide")
		}
	}
	switch verb {
	case 's', 'r':
		var b Builder
		t, err := r.str(v)
		if verb == 'r' {
			err = r.repr(&b, v)
			t = b.Text()
		}
		if err != nil || spec == "" {
			return t, err
		}
		return t.like(fmt.Sprintf("%"+spec+"s", t.s)), nil
	case 'd', 'i', 'x', 'X', 'o':
		f, ok := number(v)
		n, whole := integer(v)
		if !whole {
			n = int64(f)
		}
		if !ok {
			break
		}
		if verb == 'i' {
			verb = 'd'
		}
		return Plain(fmt.Sprintf("%"+spec+string(verb), n)), nil
	case 'f', 'F', 'e', 'g':
		if f, ok := number(v); ok {
			if verb == 'g' && precision == "" {
				spec += ".6"
			}
			return Plain(fmt.Sprintf("%"+spec+string(verb), f)), nil
		}
	}
	return Text{}, r.fail("unsupported format %%%s%c for '%s'", spec, verb, kind(v))
}

// textFormat is str.format with plain fields: {}, {0} and {name}.
func textFormat(r *run, t Text, a args) (any, error) {
	var out Builder
	next := int64(0)
	for at := 0; at < len(t.s); {
		i := strings.IndexAny(t.s[at:], "{}")
		if i < 0 {
			out.Write(t.Slice(at, len(t.s)))
			break
		}
		out.Write(t.Slice(at, at+i))
		at += i
		if at+1 < len(t.s) && t.s[at+1] == t.s[at] {
			out.Write(t.Slice(at, at+1))
			at += 2
			continue
		}
		end := strings.IndexByte(t.s[at:], '}')
		if t.s[at] == '}' || end < 0 {
			return nil, r.fail("single brace in format string")
		}
		v, err := r.field(t.s[at+1:at+end], &next, a)
		if err != nil {
			return nil, err
		}
		s, err := r.str(v)
		if err != nil {
			return nil, err
		}
		out.Write(s)
		at += end + 1
		if err := r.spend(len(s.s)); err != nil {
			return nil, err
		}
	}
	return out.Text(), r.spend(len(t.s))
}

// field finds the value of one replacement field; next counts the {} seen.
func (r *run) field(name string, next *int64, a args) (any, error) {
	n, err := strconv.ParseInt(name, 10, 64)
	if name == "" {
		n, err = *next, nil
		*next++
	}
	if err == nil {
		if n < 0 || n >= int64(len(a.positional)) {
			return nil, r.fail("replacement index is out of range")
		}
		return a.positional[n], nil
	}
	v, ok := a.named(name)
	if !ok {
		return nil, r.fail("there is no value for the field '%s'", name)
	}
	return v, nil
}
