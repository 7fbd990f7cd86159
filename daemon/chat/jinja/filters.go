package jinja

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

type filterFunc func(r *run, v any, a args) (any, error)

// filterNamed finds a filter. "map" stands apart because it looks up filters itself.
func filterNamed(name string) (filterFunc, bool) {
	if name == "map" {
		return filterMap, true
	}
	f, ok := filters[name]
	return f, ok
}

var filters = map[string]filterFunc{
	"abs":        filterAbs,
	"batch":      filterBatch,
	"capitalize": onText(capitalize),
	"center":     filterCenter,
	"count":      filterLength,
	"d":          filterDefault,
	"default":    filterDefault,
	"dictsort":   filterDictsort,
	"e":          filterEscape,
	"escape":     filterEscape,
	"first":      filterFirst,
	"float":      filterFloat,
	"format":     filterFormat,
	"indent":     filterIndent,
	"int":        filterInt,
	"items":      filterItems,
	"join":       filterJoin,
	"last":       filterLast,
	"length":     filterLength,
	"list":       filterList,
	"lower":      onText(strings.ToLower),
	"max":        filterExtreme(1),
	"min":        filterExtreme(-1),
	"reject":     filterSelect(false, false),
	"rejectattr": filterSelect(true, false),
	"replace":    filterReplace,
	"reverse":    filterReverse,
	"round":      filterRound,
	"safe":       filterString,
	"select":     filterSelect(false, true),
	"selectattr": filterSelect(true, true),
	"sort":       filterSort,
	"string":     filterString,
	"sum":        filterSum,
	"title":      onText(title),
	"tojson":     filterToJSON,
	"trim":       filterTrim,
	"unique":     filterUnique,
	"upper":      onText(strings.ToUpper),
	"wordcount":  filterWordcount,
}

// onText makes a filter of a function on strings that moves bytes about.
func onText(f func(string) string) filterFunc {
	return func(r *run, v any, _ args) (any, error) {
		t, err := r.str(v)
		if err != nil {
			return nil, err
		}
		return t.like(f(t.s)), r.spend(len(t.s))
	}
}

func filterAbs(r *run, v any, _ args) (any, error) {
	if n, ok := integer(v); ok {
		return max(n, -n), nil
	}
	if f, ok := number(v); ok {
		return math.Abs(f), nil
	}
	return nil, r.fail("bad operand type for abs(): '%s'", kind(v))
}

func filterBatch(r *run, v any, a args) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	n, ok := integer(a.at(0, "linecount", nil))
	if !ok || n < 1 {
		return nil, r.fail("batch needs a positive line count")
	}
	out := &List{}
	for part := range slices.Chunk(items, int(min(n, math.MaxInt32))) {
		out.Items = append(out.Items, &List{Items: part})
	}
	return out, r.spend(32 * len(out.Items))
}

func filterCenter(r *run, v any, a args) (any, error) {
	t, err := r.str(v)
	if err != nil {
		return nil, err
	}
	width, _ := integer(a.at(0, "width", int64(80)))
	pad := width - int64(utf8.RuneCountInString(t.s))
	if pad <= 0 {
		return t, nil
	}
	if err := r.repeat(1, pad); err != nil {
		return nil, err
	}
	left := pad/2 + pad&width&1
	return concat(concat(Plain(strings.Repeat(" ", int(left))), t), Plain(strings.Repeat(" ", int(pad-left)))), nil
}

func filterDefault(_ *run, v any, a args) (any, error) {
	_, missing := v.(undefined)
	if missing || truth(a.at(1, "boolean", false)) && !truth(v) {
		return a.at(0, "default_value", Text{}), nil
	}
	return v, nil
}

func filterDictsort(r *run, v any, a args) (any, error) {
	d, ok := v.(*Dict)
	if !ok {
		return nil, r.fail("dictsort needs a mapping")
	}
	field := 0
	if by, _ := a.at(1, "by", Plain("key")).(Text); by.s == "value" {
		field = 1
	}
	key := func(pair any) (any, error) { return pair.(*List).Items[field], nil }
	return r.sorted(d.items().Items, key, truth(a.at(0, "case_sensitive", false)), truth(a.at(2, "reverse", false)))
}

func filterEscape(r *run, v any, _ args) (any, error) {
	t, err := r.str(v)
	if err != nil {
		return nil, err
	}
	html := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;")
	return t.like(html.Replace(t.s)), r.spend(6 * len(t.s))
}

func filterFirst(r *run, v any, _ args) (any, error) { return r.end(v, 0) }
func filterLast(r *run, v any, _ args) (any, error)  { return r.end(v, -1) }

// end is the first (0) or last (-1) item of v.
func (r *run) end(v any, i int64) (any, error) {
	if t, ok := v.(Text); ok {
		return r.char(t, i)
	}
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	if at, ok := indexOf(i, len(items)); ok {
		return items[at], nil
	}
	return undefined{"item of an empty sequence"}, nil
}

func filterFloat(_ *run, v any, a args) (any, error) {
	if f, ok := number(v); ok {
		return f, nil
	}
	if t, ok := v.(Text); ok {
		if f, err := strconv.ParseFloat(strings.TrimSpace(t.s), 64); err == nil {
			return f, nil
		}
	}
	return a.at(0, "default", 0.0), nil
}

func filterInt(r *run, v any, a args) (any, error) {
	if f, ok := v.(float64); ok && math.Abs(f) < 1<<63 {
		return int64(f), nil
	}
	if n, ok := integer(v); ok {
		return n, nil
	}
	if t, ok := v.(Text); ok {
		base, _ := integer(a.at(1, "base", int64(10)))
		s := strings.TrimSpace(t.s)
		if n, err := strconv.ParseInt(s, int(min(max(base, 2), 36)), 64); err == nil {
			return n, nil
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1<<63 {
			return int64(f), nil
		}
	}
	return a.at(0, "default", int64(0)), nil
}

func filterFormat(r *run, v any, a args) (any, error) {
	t, err := r.str(v)
	if err != nil {
		return nil, err
	}
	return r.formatPercent(t, &List{Items: a.positional, tuple: true})
}

func filterIndent(r *run, v any, a args) (any, error) {
	t, err := r.str(v)
	if err != nil {
		return nil, err
	}
	pad, ok := a.at(0, "width", int64(4)).(Text)
	if width, isInt := integer(a.at(0, "width", int64(4))); !ok && isInt {
		if err := r.repeat(1, width); err != nil {
			return nil, err
		}
		pad = Plain(strings.Repeat(" ", int(max(width, 0))))
	}
	first, blank := truth(a.at(1, "first", false)), truth(a.at(2, "blank", false))
	if err := r.repeat(len(pad.s)+1, int64(strings.Count(t.s, "\n")+1)); err != nil {
		return nil, err
	}
	var out Builder
	for at := 0; at <= len(t.s); {
		end := strings.IndexByte(t.s[at:], '\n')
		if end < 0 {
			end = len(t.s) - at
		}
		if at == 0 && first || at > 0 && (blank || end > 0) {
			out.Write(pad)
		}
		stop := min(at+end+1, len(t.s))
		out.Write(t.Slice(at, stop))
		at += end + 1
	}
	return out.Text(), r.spend(len(t.s))
}

func filterItems(r *run, v any, _ args) (any, error) {
	switch v := v.(type) {
	case *Dict:
		return v.items(), r.spend(64 * len(v.entries))
	case undefined:
		return &List{}, nil
	}
	return nil, r.fail("can only get item pairs from a mapping")
}

func filterJoin(r *run, v any, a args) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	sep, err := r.str(a.at(0, "d", Text{}))
	if err != nil {
		return nil, err
	}
	if path, ok := a.at(1, "attribute", nil).(Text); ok {
		named := make([]any, len(items))
		for i, item := range items {
			if named[i], err = r.path(item, path.s); err != nil {
				return nil, err
			}
		}
		items = named
	}
	return r.joined(items, sep)
}

// joined writes items with sep between.
func (r *run) joined(items []any, sep Text) (any, error) {
	var out Builder
	for i, item := range items {
		t, err := r.str(item)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out.Write(sep)
		}
		out.Write(t)
		if err := r.spend(len(sep.s) + len(t.s)); err != nil {
			return nil, err
		}
	}
	return out.Text(), nil
}

// path follows a dotted attribute path such as "function.name" from v.
func (r *run) path(v any, path string) (any, error) {
	for name := range strings.SplitSeq(path, ".") {
		var err error
		if n, bad := strconv.ParseInt(name, 10, 64); bad == nil {
			v, err = r.subscript(v, n)
		} else {
			v, err = r.subscript(v, Plain(name))
		}
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

func filterLength(r *run, v any, _ args) (any, error) {
	switch v := v.(type) {
	case Text:
		return int64(utf8.RuneCountInString(v.s)), r.spend(len(v.s) / 64)
	case *List:
		return int64(len(v.Items)), nil
	case *Dict:
		return int64(len(v.entries)), nil
	case undefined:
		return int64(0), nil
	}
	return nil, r.fail("object of type '%s' has no len()", kind(v))
}

func filterList(r *run, v any, _ args) (any, error) {
	items, err := r.iterate(v)
	return &List{Items: items}, err
}

func filterMap(r *run, v any, a args) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	each := func(item any) (any, error) { return nil, r.fail("map requires a filter argument") }
	if path, ok := a.named("attribute"); ok {
		name, err := r.str(path)
		if err != nil {
			return nil, err
		}
		each = func(item any) (any, error) {
			v, err := r.path(item, name.s)
			if _, missing := v.(undefined); missing && err == nil {
				v = a.at(len(a.positional), "default", v)
			}
			return v, err
		}
	} else if len(a.positional) > 0 {
		name, _ := a.positional[0].(Text)
		apply, ok := filterNamed(name.s)
		if !ok {
			return nil, r.fail("there is no filter '%s'", name.s)
		}
		rest := args{a.positional[1:], a.names, a.values}
		each = func(item any) (any, error) {
			if err := r.enter(); err != nil {
				return nil, err
			}
			defer r.leave()
			return apply(r, item, rest)
		}
	}
	out := &List{}
	for _, item := range items {
		v, err := each(item)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v)
	}
	return out, r.spend(16 * len(out.Items))
}

// filterExtreme is max (sign 1) or min (sign -1).
func filterExtreme(sign int) filterFunc {
	return func(r *run, v any, a args) (any, error) {
		items, err := r.iterate(v)
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			return undefined{"item of an empty sequence"}, nil
		}
		best := items[0]
		for _, item := range items[1:] {
			x, y := best, item
			if sign < 0 {
				x, y = item, best
			}
			if ok, err := r.less(x, y); err != nil {
				return nil, err
			} else if ok {
				best = item
			}
		}
		return best, nil
	}
}

func filterReplace(r *run, v any, a args) (any, error) {
	t, err := r.str(v)
	if err != nil {
		return nil, err
	}
	old, err := r.str(a.at(0, "old", undefined{}))
	if err != nil {
		return nil, err
	}
	with, err := r.str(a.at(1, "new", undefined{}))
	if err != nil {
		return nil, err
	}
	n := int64(-1)
	if c, ok := integer(a.at(2, "count", nil)); ok {
		n = c
	}
	return r.replace(t, old.s, with, n)
}

func filterReverse(r *run, v any, _ args) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(items)
	slices.Reverse(out)
	if _, ok := v.(Text); !ok {
		return &List{Items: out}, r.spend(16 * len(out))
	}
	var b Builder
	for _, c := range out {
		b.Write(c.(Text))
	}
	return b.Text(), r.spend(b.Len())
}

func filterRound(r *run, v any, a args) (any, error) {
	f, ok := number(v)
	precision, okPrecision := integer(a.at(0, "precision", int64(0)))
	if !ok || !okPrecision {
		return nil, r.fail("round needs numbers")
	}
	scale := math.Pow(10, float64(precision))
	round := math.RoundToEven
	switch how, _ := a.at(1, "method", Text{}).(Text); how.s {
	case "ceil":
		round = math.Ceil
	case "floor":
		round = math.Floor
	}
	return round(f*scale) / scale, nil
}

// filterSelect makes select, reject, selectattr and rejectattr: it keeps the items for which a test is as wanted.
func filterSelect(byAttribute, wanted bool) filterFunc {
	return func(r *run, v any, a args) (any, error) {
		items, err := r.iterate(v)
		if err != nil {
			return nil, err
		}
		rest := a.positional
		path := ""
		if byAttribute {
			name, ok := a.at(0, "attribute", nil).(Text)
			if !ok || len(rest) == 0 {
				return nil, r.fail("missing the name of an attribute")
			}
			path, rest = name.s, rest[1:]
		}
		holds := func(v any) (bool, error) { return truth(v), nil }
		if len(rest) > 0 {
			name, _ := rest[0].(Text)
			check, ok := tests[name.s]
			if !ok {
				return nil, r.fail("there is no test '%s'", name.s)
			}
			holds = func(v any) (bool, error) { return check(r, v, args{positional: rest[1:]}) }
		}
		out := &List{}
		for _, item := range items {
			v := item
			if byAttribute {
				if v, err = r.path(item, path); err != nil {
					return nil, err
				}
			}
			ok, err := holds(v)
			if err != nil {
				return nil, err
			}
			if ok == wanted {
				out.Items = append(out.Items, item)
			}
		}
		return out, r.spend(16 * len(items))
	}
}

func filterSort(r *run, v any, a args) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	key := func(v any) (any, error) { return v, nil }
	if path, ok := a.at(2, "attribute", nil).(Text); ok {
		key = func(v any) (any, error) { return r.path(v, path.s) }
	}
	return r.sorted(items, key, truth(a.at(1, "case_sensitive", false)), truth(a.at(0, "reverse", false)))
}

// sorted is a stable sort by key.
func (r *run) sorted(items []any, key func(any) (any, error), caseSensitive, reverse bool) (any, error) {
	type keyed struct{ key, item any }
	all := make([]keyed, len(items))
	for i, item := range items {
		k, err := key(item)
		if err != nil {
			return nil, err
		}
		if t, ok := k.(Text); ok && !caseSensitive {
			k = Plain(strings.ToLower(t.s))
		}
		all[i] = keyed{k, item}
	}
	var failure error
	slices.SortStableFunc(all, func(x, y keyed) int {
		if failure != nil {
			return 0
		}
		if reverse {
			x, y = y, x
		}
		var before, after bool
		if before, failure = r.less(x.key, y.key); failure == nil && !before {
			after, failure = r.less(y.key, x.key)
		}
		return cmp.Compare(intOf(after), intOf(before))
	})
	if failure != nil {
		return nil, failure
	}
	out := &List{Items: make([]any, len(all))}
	for i, k := range all {
		out.Items[i] = k.item
	}
	return out, r.spend(64 * len(all))
}

func filterString(r *run, v any, _ args) (any, error) { return r.str(v) }

func filterSum(r *run, v any, a args) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	path, byAttribute := a.at(0, "attribute", nil).(Text)
	sum := a.at(1, "start", int64(0))
	for _, item := range items {
		if byAttribute {
			if item, err = r.path(item, path.s); err != nil {
				return nil, err
			}
		}
		if sum, err = r.add(sum, item); err != nil {
			return nil, err
		}
	}
	return sum, nil
}

func filterTrim(r *run, v any, a args) (any, error) {
	t, err := r.str(v)
	if err != nil {
		return nil, err
	}
	return r.stripped(t, a.at(0, "chars", nil), true, true)
}

func filterUnique(r *run, v any, a args) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	path, byAttribute := a.at(1, "attribute", nil).(Text)
	seen := NewDict(0)
	out := &List{}
	for _, item := range items {
		key := item
		if byAttribute {
			if key, err = r.path(item, path.s); err != nil {
				return nil, err
			}
		}
		if t, ok := key.(Text); ok && !truth(a.at(0, "case_sensitive", false)) {
			key = Plain(strings.ToLower(t.s))
		}
		if _, ok := hashable(key); !ok {
			return nil, r.fail("unhashable type: '%s'", kind(key))
		}
		if _, ok := seen.Get(key); !ok {
			seen.Set(key, true)
			out.Items = append(out.Items, item)
		}
	}
	return out, r.spend(64 * len(items))
}

func filterWordcount(r *run, v any, _ args) (any, error) {
	t, err := r.str(v)
	if err != nil {
		return nil, err
	}
	n := 0
	for range strings.FieldsSeq(t.s) {
		n++
	}
	return int64(n), r.spend(len(t.s) / 8)
}
