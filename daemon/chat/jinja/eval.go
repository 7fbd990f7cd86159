package jinja

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// args are the evaluated arguments of a call.
type args struct {
	positional []any
	names      []string
	values     []any
}

func (a args) named(name string) (any, bool) {
	if i := slices.Index(a.names, name); i >= 0 {
		return a.values[i], true
	}
	return nil, false
}

// at is the i-th positional argument, or the one called name, or otherwise.
func (a args) at(i int, name string, otherwise any) any {
	if i < len(a.positional) {
		return a.positional[i]
	}
	if v, ok := a.named(name); ok {
		return v
	}
	return otherwise
}

func (r *run) args(a arguments) (out args, err error) {
	for _, e := range a.positional {
		v, err := r.eval(e)
		if err != nil {
			return args{}, err
		}
		out.positional = append(out.positional, v)
	}
	for i, e := range a.named {
		v, err := r.eval(e)
		if err != nil {
			return args{}, err
		}
		out.names, out.values = append(out.names, a.names[i]), append(out.values, v)
	}
	return out, nil
}

func (r *run) eval(e expr) (any, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	r.line = e.pos()
	switch e := e.(type) {
	case *literal:
		return e.value, nil
	case *variable:
		return r.scope.get(e.name), nil
	case *attribute:
		of, err := r.eval(e.of)
		if err != nil {
			return nil, err
		}
		return r.attribute(of, e.name)
	case *item:
		return r.item(e)
	case *slice:
		return r.slice(e)
	case *call:
		fn, err := r.eval(e.fn)
		if err != nil {
			return nil, err
		}
		a, err := r.args(e.args)
		if err != nil {
			return nil, err
		}
		r.line = e.pos()
		return r.invoke(fn, a)
	case *filter:
		return r.filtered(e, nil)
	case *test:
		return r.test(e)
	case *listOf:
		return r.list(e)
	case *dictOf:
		return r.dict(e)
	case *unary:
		return r.unary(e)
	case *binary:
		return r.binary(e)
	case *compare:
		return r.compare(e)
	case *choice:
		return r.choice(e)
	}
	return nil, r.fail("unknown expression")
}

func (r *run) list(e *listOf) (any, error) {
	l := &List{Items: make([]any, len(e.items)), tuple: e.tuple}
	for i, item := range e.items {
		v, err := r.eval(item)
		if err != nil {
			return nil, err
		}
		l.Items[i] = v
	}
	return l, nil
}

func (r *run) dict(e *dictOf) (any, error) {
	d := NewDict(len(e.keys))
	for i := range e.keys {
		key, err := r.eval(e.keys[i])
		if err != nil {
			return nil, err
		}
		if _, ok := hashable(key); !ok {
			return nil, r.fail("unhashable type: '%s'", kind(key))
		}
		value, err := r.eval(e.values[i])
		if err != nil {
			return nil, err
		}
		d.Set(key, value)
	}
	return d, nil
}

func (r *run) choice(e *choice) (any, error) {
	c, err := r.eval(e.cond)
	switch {
	case err != nil:
		return nil, err
	case truth(c):
		return r.eval(e.then)
	case e.otherwise == nil:
		return undefined{"the else of an inline if"}, nil
	}
	return r.eval(e.otherwise)
}

// filtered applies a chain of filters and tests; input stands at its start where the chain has none of its own.
func (r *run) filtered(e expr, input any) (any, error) {
	f, ok := e.(*filter)
	if !ok {
		return r.eval(e)
	}
	if inner, ok := f.of.(*filter); ok {
		if err := r.enter(); err != nil {
			return nil, err
		}
		defer r.leave()
		v, err := r.filtered(inner, input)
		if err != nil {
			return nil, err
		}
		input = v
	} else if f.of != nil {
		v, err := r.eval(f.of)
		if err != nil {
			return nil, err
		}
		input = v
	}
	a, err := r.args(f.args)
	if err != nil {
		return nil, err
	}
	r.line = f.pos()
	apply, _ := filterNamed(f.name)
	return apply(r, input, a)
}

func (r *run) test(e *test) (any, error) {
	v, err := r.eval(e.of)
	if err != nil {
		return nil, err
	}
	a, err := r.args(e.args)
	if err != nil {
		return nil, err
	}
	ok, err := tests[e.name](r, v, a)
	return ok != e.not, err
}

func (r *run) unary(e *unary) (any, error) {
	v, err := r.eval(e.of)
	if err != nil {
		return nil, err
	}
	if e.op == "not" {
		return !truth(v), nil
	}
	sign := int64(1)
	if e.op == "-" {
		sign = -1
	}
	if f, ok := v.(float64); ok {
		return f * float64(sign), nil
	}
	if n, ok := integer(v); ok {
		return n * sign, nil
	}
	return nil, r.fail("bad operand type for unary %s: '%s'", e.op, kind(v))
}

func (r *run) compare(e *compare) (any, error) {
	left, err := r.eval(e.first)
	if err != nil {
		return nil, err
	}
	for i, op := range e.ops {
		right, err := r.eval(e.rest[i])
		if err != nil {
			return nil, err
		}
		ok, err := r.holds(op, left, right)
		if !ok || err != nil {
			return false, err
		}
		left = right
	}
	return true, nil
}

func (r *run) holds(op string, a, b any) (ok bool, err error) {
	switch op {
	case "==":
		return r.equal(a, b)
	case "!=":
		ok, err = r.equal(a, b)
		return !ok, err
	case "in":
		return r.contains(b, a)
	case "not in":
		ok, err = r.contains(b, a)
		return !ok, err
	case "<":
		return r.less(a, b)
	case ">":
		return r.less(b, a)
	case "<=":
		return r.atMost(a, b)
	}
	return r.atMost(b, a)
}

func (r *run) atMost(a, b any) (bool, error) {
	if ok, err := r.less(a, b); ok || err != nil {
		return ok, err
	}
	return r.equal(a, b)
}

func (r *run) contains(in, v any) (bool, error) {
	switch in := in.(type) {
	case Text:
		t, ok := v.(Text)
		if !ok {
			return false, r.fail("'in <string>' requires string as left operand, not %s", kind(v))
		}
		return strings.Contains(in.s, t.s), r.spend(len(in.s) / 64)
	case *Dict:
		_, ok := in.Get(v)
		return ok, nil
	case *List:
		for _, item := range in.Items {
			if same, err := r.equal(item, v); same || err != nil {
				return same, err
			}
		}
		return false, nil
	case undefined:
		return false, nil
	}
	return false, r.fail("argument of type '%s' is not iterable", kind(in))
}

// attribute is v.name: a method or member first, an item of a dict second.
func (r *run) attribute(v any, name string) (any, error) {
	switch v := v.(type) {
	case undefined:
		return nil, r.fail("'%s' is undefined", v.name)
	case *namespace:
		if m, ok := v.members.Get(Plain(name)); ok {
			return m, nil
		}
		return undefined{name}, nil
	case *loop:
		return v.attribute(name), nil
	case *Dict:
		if m, ok := dictMethods[name]; ok {
			return bindMethod(name, v, m), nil
		}
		if item, ok := v.Get(Plain(name)); ok {
			return item, nil
		}
	case Text:
		if m, ok := textMethods[name]; ok {
			return bindMethod(name, v, m), nil
		}
	case *List:
		if m, ok := listMethods[name]; ok {
			return bindMethod(name, v, m), nil
		}
	}
	return undefined{name}, nil
}

func bindMethod[T any](name string, of T, m func(r *run, of T, a args) (any, error)) function {
	return function{name, func(r *run, a args) (any, error) { return m(r, of, a) }}
}

func (l *loop) attribute(name string) any {
	n, i := len(l.items), l.index
	switch name {
	case "index":
		return int64(i + 1)
	case "index0":
		return int64(i)
	case "revindex":
		return int64(n - i)
	case "revindex0":
		return int64(n - i - 1)
	case "first":
		return i == 0
	case "last":
		return i == n-1
	case "length":
		return int64(n)
	case "depth":
		return int64(l.depth)
	case "depth0":
		return int64(l.depth - 1)
	case "previtem":
		if i > 0 {
			return l.items[i-1]
		}
	case "nextitem":
		if i < n-1 {
			return l.items[i+1]
		}
	case "cycle":
		return function{name, func(r *run, a args) (any, error) {
			if len(a.positional) == 0 {
				return nil, r.fail("no items for cycling given")
			}
			return a.positional[i%len(a.positional)], nil
		}}
	case "changed":
		return function{name, func(r *run, a args) (any, error) {
			now := &List{Items: a.positional}
			same, err := r.equal(l.changed, now)
			l.changed = now
			return !same, err
		}}
	}
	return undefined{name}
}

// item is v[key].
func (r *run) item(e *item) (any, error) {
	of, err := r.eval(e.of)
	if err != nil {
		return nil, err
	}
	key, err := r.eval(e.key)
	if err != nil {
		return nil, err
	}
	return r.subscript(of, key)
}

// subscript is of[key]: an item first, an attribute second.
func (r *run) subscript(of, key any) (any, error) {
	switch v := of.(type) {
	case undefined:
		return nil, r.fail("'%s' is undefined", v.name)
	case *Dict:
		if item, ok := v.Get(key); ok {
			return item, nil
		}
	case *List:
		if n, ok := integer(key); ok {
			if i, ok := indexOf(n, len(v.Items)); ok {
				return v.Items[i], nil
			}
			return undefined{"list item"}, nil
		}
	case Text:
		if n, ok := integer(key); ok {
			return r.char(v, n)
		}
	}
	if name, ok := key.(Text); ok {
		return r.attribute(of, name.s)
	}
	return undefined{"item"}, nil
}

// indexOf turns a Python index into one that is in range, if it is.
func indexOf(i int64, n int) (int, bool) {
	if i < 0 {
		i += int64(n)
	}
	return int(i), i >= 0 && i < int64(n)
}

// char is the i-th character of t.
func (r *run) char(t Text, i int64) (any, error) {
	if err := r.spend(len(t.s) / 64); err != nil {
		return nil, err
	}
	at, ok := indexOf(i, utf8.RuneCountInString(t.s))
	if !ok {
		return undefined{"character"}, nil
	}
	start := runeOffset(t.s, at)
	_, size := utf8.DecodeRuneInString(t.s[start:])
	return t.Slice(start, start+size), nil
}

// runeOffset is the byte at which the n-th character of s starts.
func runeOffset(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}

func (r *run) slice(e *slice) (any, error) {
	of, err := r.eval(e.of)
	if err != nil {
		return nil, err
	}
	var bounds [3]*int64
	for i, b := range []expr{e.start, e.stop, e.step} {
		if b == nil {
			continue
		}
		v, err := r.eval(b)
		if err != nil {
			return nil, err
		}
		if n, ok := integer(v); ok {
			bounds[i] = &n
		} else if v != nil {
			return nil, r.fail("slice indices must be integers or None")
		}
	}
	switch v := of.(type) {
	case Text:
		return r.sliceText(v, bounds)
	case *List:
		start, stop, step, err := r.sliceBounds(bounds, len(v.Items))
		if err != nil {
			return nil, err
		}
		if step == 1 {
			return &List{Items: v.Items[start:max(start, stop):max(start, stop)], tuple: v.tuple}, nil
		}
		out := &List{tuple: v.tuple}
		for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
			out.Items = append(out.Items, v.Items[i])
		}
		return out, r.spend(16 * len(out.Items))
	case undefined:
		return nil, r.fail("'%s' is undefined", v.name)
	}
	return undefined{"slice"}, nil
}

func (r *run) sliceText(t Text, bounds [3]*int64) (any, error) {
	start, stop, step, err := r.sliceBounds(bounds, utf8.RuneCountInString(t.s))
	if err != nil {
		return nil, err
	}
	if step == 1 {
		from := runeOffset(t.s, start)
		return t.Slice(from, from+runeOffset(t.s[from:], max(start, stop)-start)), r.spend(len(t.s) / 64)
	}
	chars, err := r.iterate(t)
	if err != nil {
		return nil, err
	}
	var b Builder
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		b.Write(chars[i].(Text))
	}
	return b.Text(), nil
}

// sliceBounds is what Python's slice.indices gives.
func (r *run) sliceBounds(b [3]*int64, length int) (start, stop, step int, err error) {
	n := int64(length)
	by := int64(1)
	if b[2] != nil {
		by = *b[2]
	}
	if by == 0 {
		return 0, 0, 0, r.fail("slice step cannot be zero")
	}
	low, high := int64(0), n
	if by < 0 {
		low, high = -1, n-1
	}
	place := func(p *int64, otherwise int64) int {
		if p == nil {
			return int(otherwise)
		}
		i := *p
		if i < 0 {
			i += n
		}
		return int(min(max(i, low), high))
	}
	by = min(max(by, -n-1), n+1) // keeps the sum of a step from overflowing
	if by > 0 {
		return place(b[0], low), place(b[1], high), int(by), nil
	}
	return place(b[0], high), place(b[1], low), int(by), nil
}

func (r *run) invoke(fn any, a args) (any, error) {
	switch fn := fn.(type) {
	case function:
		if err := r.enter(); err != nil {
			return nil, err
		}
		defer r.leave()
		return fn.call(r, a)
	case *loop:
		if fn.recursive != nil && len(a.positional) == 1 {
			return fn.recursive(r, a.positional[0])
		}
		return nil, r.fail("the loop is not recursive")
	case undefined:
		return nil, r.fail("'%s' is undefined", fn.name)
	}
	return nil, r.fail("'%s' object is not callable", kind(fn))
}

func (r *run) binary(e *binary) (any, error) {
	left, err := r.eval(e.left)
	if err != nil {
		return nil, err
	}
	if e.op == "and" && !truth(left) || e.op == "or" && truth(left) {
		return left, nil
	}
	right, err := r.eval(e.right)
	if err != nil || e.op == "and" || e.op == "or" {
		return right, err
	}
	r.line = e.pos()
	switch e.op {
	case "~":
		return r.join(left, right)
	case "+":
		return r.add(left, right)
	case "*":
		return r.multiply(left, right)
	case "%":
		if t, ok := left.(Text); ok {
			return r.formatPercent(t, right)
		}
	}
	return r.arithmetic(e.op, left, right)
}

func (r *run) join(a, b any) (any, error) {
	x, err := r.str(a)
	if err != nil {
		return nil, err
	}
	y, err := r.str(b)
	if err != nil {
		return nil, err
	}
	return concat(x, y), r.spend(len(x.s) + len(y.s))
}

func (r *run) add(a, b any) (any, error) {
	switch x := a.(type) {
	case Text:
		if y, ok := b.(Text); ok {
			if err := r.spend(len(x.s) + len(y.s)); err != nil {
				return nil, err
			}
			return concat(x, y), nil
		}
	case *List:
		if y, ok := b.(*List); ok && x.tuple == y.tuple {
			if err := r.spend(16 * (len(x.Items) + len(y.Items))); err != nil {
				return nil, err
			}
			return &List{Items: slices.Concat(x.Items, y.Items), tuple: x.tuple}, nil
		}
	}
	return r.arithmetic("+", a, b)
}

func (r *run) multiply(a, b any) (any, error) {
	if _, ok := integer(a); ok {
		a, b = b, a
	}
	n, ok := integer(b)
	if !ok {
		return r.arithmetic("*", a, b)
	}
	switch x := a.(type) {
	case Text:
		if err := r.repeat(len(x.s), n); err != nil {
			return nil, err
		}
		var out Builder
		for range n {
			out.Write(x)
		}
		return out.Text(), nil
	case *List:
		if err := r.repeat(16*len(x.Items), n); err != nil {
			return nil, err
		}
		return &List{Items: slices.Repeat(x.Items, int(max(n, 0))), tuple: x.tuple}, nil
	}
	return r.arithmetic("*", a, b)
}

// repeat spends what n times size bytes cost.
func (r *run) repeat(size int, n int64) error {
	if n > maxWork || size > 0 && n > int64(maxWork/size) {
		return r.spend(maxWork + 1)
	}
	return r.spend(int(max(n, 0)) * (size + 1))
}

func (r *run) arithmetic(op string, a, b any) (any, error) {
	if x, ok := integer(a); ok {
		if y, ok := integer(b); ok {
			return r.integers(op, x, y)
		}
	}
	x, okX := number(a)
	y, okY := number(b)
	if u, ok := a.(undefined); ok {
		return nil, r.fail("'%s' is undefined", u.name)
	}
	if u, ok := b.(undefined); ok {
		return nil, r.fail("'%s' is undefined", u.name)
	}
	if !okX || !okY {
		return nil, r.fail("unsupported operand type(s) for %s: '%s' and '%s'", op, kind(a), kind(b))
	}
	if y == 0 && (op == "/" || op == "//" || op == "%") {
		return nil, r.fail("division by zero")
	}
	switch op {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	case "/":
		return x / y, nil
	case "//":
		return math.Floor(x / y), nil
	case "%":
		return x - y*math.Floor(x/y), nil
	}
	return math.Pow(x, y), nil
}

// integers computes as Python does, but for sums and products beyond 64 bits, which are errors.
func (r *run) integers(op string, x, y int64) (any, error) {
	exact := int64(0)
	switch op {
	case "+":
		exact = x + y
		if (exact > x) != (y > 0) && y != 0 {
			return nil, r.fail("number is out of range")
		}
		return exact, nil
	case "-":
		exact = x - y
		if (exact < x) != (y > 0) && y != 0 {
			return nil, r.fail("number is out of range")
		}
		return exact, nil
	case "*":
		exact = x * y
		if x != 0 && (exact/x != y || x == -1 && y == math.MinInt64) {
			return nil, r.fail("number is out of range")
		}
		return exact, nil
	case "**":
		return r.power(x, y)
	}
	if y == 0 {
		return nil, r.fail("division by zero")
	}
	if y == -1 && op != "/" {
		if op == "%" {
			return int64(0), nil
		}
		return r.integers("-", 0, x)
	}
	floor := x / y
	if x%y != 0 && (x < 0) != (y < 0) {
		floor--
	}
	switch op {
	case "/":
		return float64(x) / float64(y), nil
	case "//":
		return floor, nil
	}
	return x - y*floor, nil
}

func (r *run) power(x, y int64) (any, error) {
	if y < 0 {
		return math.Pow(float64(x), float64(y)), nil
	}
	f := math.Pow(float64(x), float64(y))
	if math.Abs(f) >= 1<<53 {
		return nil, r.fail("number is out of range")
	}
	return int64(f), nil
}
