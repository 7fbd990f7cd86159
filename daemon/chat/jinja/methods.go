package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Methods that change a list or dict are missing on purpose: transformers' sandbox refuses them too.
var dictMethods = map[string]func(r *run, d *Dict, a args) (any, error){
	"get": func(_ *run, d *Dict, a args) (any, error) {
		if v, ok := d.Get(a.at(0, "key", nil)); ok {
			return v, nil
		}
		return a.at(1, "default", nil), nil
	},
	"items":  func(r *run, d *Dict, _ args) (any, error) { return d.items(), r.spend(64 * len(d.entries)) },
	"keys":   func(r *run, d *Dict, _ args) (any, error) { return d.keys(), r.spend(16 * len(d.entries)) },
	"values": func(r *run, d *Dict, _ args) (any, error) { return d.values(), r.spend(16 * len(d.entries)) },
	"copy":   func(_ *run, d *Dict, _ args) (any, error) { return d, nil },
}

var listMethods = map[string]func(r *run, l *List, a args) (any, error){
	"count": func(r *run, l *List, a args) (any, error) {
		n := int64(0)
		for _, item := range l.Items {
			same, err := r.equal(item, a.at(0, "value", nil))
			if err != nil {
				return nil, err
			}
			n += int64(intOf(same))
		}
		return n, nil
	},
	"index": func(r *run, l *List, a args) (any, error) {
		for i, item := range l.Items {
			if same, err := r.equal(item, a.at(0, "value", nil)); same || err != nil {
				return int64(i), err
			}
		}
		return nil, r.fail("value is not in list")
	},
	"copy": func(_ *run, l *List, _ args) (any, error) { return l, nil },
}

var textMethods = map[string]func(r *run, t Text, a args) (any, error){
	"capitalize":   changed(capitalize),
	"casefold":     changed(strings.ToLower),
	"count":        func(r *run, t Text, a args) (any, error) { return r.search(t, a, strings.Count) },
	"endswith":     func(r *run, t Text, a args) (any, error) { return r.affix(t, a, strings.HasSuffix) },
	"find":         textFind,
	"format":       textFormat,
	"isalnum":      every(func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) }),
	"isalpha":      every(unicode.IsLetter),
	"isdecimal":    every(unicode.IsDigit),
	"isdigit":      every(unicode.IsDigit),
	"islower":      cased(unicode.IsUpper, unicode.IsLower),
	"isnumeric":    every(unicode.IsNumber),
	"isspace":      every(unicode.IsSpace),
	"isupper":      cased(unicode.IsLower, unicode.IsUpper),
	"join":         textJoin,
	"lower":        changed(strings.ToLower),
	"lstrip":       func(r *run, t Text, a args) (any, error) { return r.stripped(t, a.at(0, "chars", nil), true, false) },
	"partition":    func(r *run, t Text, a args) (any, error) { return r.partition(t, a, strings.Index, false) },
	"removeprefix": textRemovePrefix,
	"removesuffix": textRemoveSuffix,
	"replace":      textReplace,
	"rfind":        func(r *run, t Text, a args) (any, error) { return r.search(t, a, lastRune) },
	"rpartition":   func(r *run, t Text, a args) (any, error) { return r.partition(t, a, strings.LastIndex, true) },
	"rsplit":       textRSplit,
	"rstrip":       func(r *run, t Text, a args) (any, error) { return r.stripped(t, a.at(0, "chars", nil), false, true) },
	"split":        textSplit,
	"splitlines":   textSplitLines,
	"startswith":   func(r *run, t Text, a args) (any, error) { return r.affix(t, a, strings.HasPrefix) },
	"strip":        func(r *run, t Text, a args) (any, error) { return r.stripped(t, a.at(0, "chars", nil), true, true) },
	"title":        changed(title),
	"upper":        changed(strings.ToUpper),
}

func changed(f func(string) string) func(*run, Text, args) (any, error) {
	return func(r *run, t Text, _ args) (any, error) { return t.like(f(t.s)), r.spend(len(t.s)) }
}

func every(f func(rune) bool) func(*run, Text, args) (any, error) {
	return func(_ *run, t Text, _ args) (any, error) {
		return t.s != "" && strings.IndexFunc(t.s, func(c rune) bool { return !f(c) }) < 0, nil
	}
}

func cased(not, some func(rune) bool) func(*run, Text, args) (any, error) {
	return func(r *run, t Text, _ args) (any, error) { return isCase(not, some)(r, t, args{}) }
}

func capitalize(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return strings.ToUpper(s[:n]) + strings.ToLower(s[n:])
}

// title makes each word's first letter upper case, the others lower case.
func title(s string) string {
	inWord := false
	return strings.Map(func(c rune) rune {
		was := inWord
		inWord = unicode.IsLetter(c) || unicode.IsDigit(c) || c == '\''
		if was {
			return unicode.ToLower(c)
		}
		return unicode.ToTitle(c)
	}, s)
}

// text is the i-th argument, which must be a string.
func (r *run) text(a args, i int, name string) (Text, error) {
	v := a.at(i, name, undefined{name})
	t, ok := v.(Text)
	if !ok {
		return Text{}, r.fail("argument must be str, not %s", kind(v))
	}
	return t, nil
}

// search counts or finds an argument in t.
func (r *run) search(t Text, a args, f func(s, sub string) int) (any, error) {
	sub, err := r.text(a, 0, "sub")
	if err != nil {
		return nil, err
	}
	return int64(f(t.s, sub.s)), r.spend(len(t.s) / 16)
}

// lastRune is strings.LastIndex counted in characters.
func lastRune(s, sub string) int {
	i := strings.LastIndex(s, sub)
	if i < 0 {
		return -1
	}
	return utf8.RuneCountInString(s[:i])
}

func textFind(r *run, t Text, a args) (any, error) {
	return r.search(t, a, func(s, sub string) int {
		i := strings.Index(s, sub)
		if i < 0 {
			return -1
		}
		return utf8.RuneCountInString(s[:i])
	})
}

// affix tells whether t starts or ends with an argument, or with one of a tuple.
func (r *run) affix(t Text, a args, has func(s, affix string) bool) (any, error) {
	v := a.at(0, "prefix", undefined{"prefix"})
	if l, ok := v.(*List); ok && l.tuple {
		for _, item := range l.Items {
			if one, ok := item.(Text); ok && has(t.s, one.s) {
				return true, nil
			}
		}
		return false, r.spend(len(l.Items))
	}
	one, ok := v.(Text)
	if !ok {
		return nil, r.fail("affix must be str or a tuple of str, not %s", kind(v))
	}
	return has(t.s, one.s), nil
}

// stripped removes whitespace, or the characters in chars, from the sides asked for.
func (r *run) stripped(t Text, chars any, left, right bool) (any, error) {
	cut := unicode.IsSpace
	switch set := chars.(type) {
	case Text:
		cut = func(c rune) bool { return strings.ContainsRune(set.s, c) }
	case nil:
	default:
		return nil, r.fail("strip arg must be None or str")
	}
	start, end := 0, len(t.s)
	if left {
		start = end - len(strings.TrimLeftFunc(t.s, cut))
	}
	if right {
		end = start + len(strings.TrimRightFunc(t.s[start:], cut))
	}
	return t.Slice(start, end), r.spend(len(t.s) / 64)
}

func textRemovePrefix(r *run, t Text, a args) (any, error) {
	p, err := r.text(a, 0, "prefix")
	if err != nil || !strings.HasPrefix(t.s, p.s) {
		return t, err
	}
	return t.Slice(len(p.s), len(t.s)), nil
}

func textRemoveSuffix(r *run, t Text, a args) (any, error) {
	p, err := r.text(a, 0, "suffix")
	if err != nil || !strings.HasSuffix(t.s, p.s) {
		return t, err
	}
	return t.Slice(0, len(t.s)-len(p.s)), nil
}

func textReplace(r *run, t Text, a args) (any, error) {
	old, err := r.text(a, 0, "old")
	if err != nil {
		return nil, err
	}
	with, err := r.text(a, 1, "new")
	if err != nil {
		return nil, err
	}
	n, ok := integer(a.at(2, "count", int64(-1)))
	if !ok {
		return nil, r.fail("count must be an integer")
	}
	return r.replace(t, old.s, with, n)
}

// replace changes the first n occurrences of old, all when n is negative.
func (r *run) replace(t Text, old string, with Text, n int64) (any, error) {
	found := int64(strings.Count(t.s, old))
	if n < 0 || n > found {
		n = found
	}
	if err := r.repeat(len(with.s), n); err != nil {
		return nil, err
	}
	var out Builder
	at := 0
	for ; n > 0; n-- {
		i := strings.Index(t.s[at:], old)
		if old == "" { // Python puts it before each character and at the end
			i = 0
		}
		out.Write(t.Slice(at, at+i))
		out.Write(with)
		at += i + len(old)
		if old == "" {
			_, size := utf8.DecodeRuneInString(t.s[at:])
			out.Write(t.Slice(at, at+size))
			at += size
		}
	}
	out.Write(t.Slice(at, len(t.s)))
	return out.Text(), r.spend(len(t.s))
}

func (r *run) partition(t Text, a args, find func(s, sep string) int, last bool) (any, error) {
	sep, err := r.text(a, 0, "sep")
	if err != nil {
		return nil, err
	}
	if sep.s == "" {
		return nil, r.fail("empty separator")
	}
	i := find(t.s, sep.s)
	parts := []any{t, Text{}, Text{}}
	switch {
	case i >= 0:
		parts = []any{t.Slice(0, i), sep, t.Slice(i+len(sep.s), len(t.s))}
	case last:
		parts = []any{Text{}, Text{}, t}
	}
	return &List{Items: parts, tuple: true}, r.spend(len(t.s) / 64)
}

// separator reads the arguments of split: the separator, none for whitespace, and the most splits, -1 for all.
func (r *run) separator(a args) (sep string, n int64, err error) {
	switch v := a.at(0, "sep", nil).(type) {
	case nil:
	case Text:
		if v.s == "" {
			return "", 0, r.fail("empty separator")
		}
		sep = v.s
	default:
		return "", 0, r.fail("separator must be str or None")
	}
	n, ok := integer(a.at(1, "maxsplit", int64(-1)))
	if !ok {
		return "", 0, r.fail("maxsplit must be an integer")
	}
	return sep, n, nil
}

func textSplit(r *run, t Text, a args) (any, error) {
	sep, n, err := r.separator(a)
	if err != nil {
		return nil, err
	}
	out := &List{}
	at := 0
	for {
		if sep == "" {
			at = len(t.s) - len(strings.TrimLeftFunc(t.s[at:], unicode.IsSpace))
			if at == len(t.s) {
				return out, nil
			}
		}
		if err := r.spend(64); err != nil {
			return nil, err
		}
		i, width := strings.Index(t.s[at:], sep), len(sep)
		if sep == "" {
			if i = strings.IndexFunc(t.s[at:], unicode.IsSpace); i >= 0 {
				_, width = utf8.DecodeRuneInString(t.s[at+i:])
			}
		}
		if i < 0 || n == 0 {
			out.Items = append(out.Items, t.Slice(at, len(t.s)))
			return out, nil
		}
		out.Items = append(out.Items, t.Slice(at, at+i))
		at += i + width
		n--
	}
}

func textRSplit(r *run, t Text, a args) (any, error) {
	sep, n, err := r.separator(a)
	if err != nil {
		return nil, err
	}
	if n < 0 || sep == "" {
		return textSplit(r, t, a)
	}
	var reversed []any
	end := len(t.s)
	for ; n > 0; n-- {
		i := strings.LastIndex(t.s[:end], sep)
		if i < 0 {
			break
		}
		reversed = append(reversed, t.Slice(i+len(sep), end))
		end = i
		if err := r.spend(64); err != nil {
			return nil, err
		}
	}
	reversed = append(reversed, t.Slice(0, end))
	return filterReverse(r, &List{Items: reversed}, args{})
}

func textSplitLines(r *run, t Text, a args) (any, error) {
	keep := intOf(truth(a.at(0, "keepends", false)))
	out := &List{}
	for at := 0; at < len(t.s); {
		end, width := len(t.s), 0
		if i := strings.IndexAny(t.s[at:], "\r\n"); i >= 0 {
			end, width = at+i, 1
			if strings.HasPrefix(t.s[end:], "\r\n") {
				width = 2
			}
		}
		out.Items = append(out.Items, t.Slice(at, end+keep*width))
		at = end + width
		if err := r.spend(64); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func textJoin(r *run, t Text, a args) (any, error) {
	items, err := r.iterate(a.at(0, "iterable", nil))
	if err != nil {
		return nil, err
	}
	return r.joined(items, t)
}
