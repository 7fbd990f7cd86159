package template

import (
	"maps"
	"slices"
	"strings"

	"github.com/mitsuhiko/minijinja/minijinja-go/v2/value"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// callMethod does what Python's method of that name does to a string or dict. Any other call goes to the value
// itself, such as a macro of a namespace.
func callMethod(state value.State, args []value.Value, kwargs map[string]value.Value) (value.Value, error) {
	self, name := args[0], args[1].String()
	args = args[2:]
	o := ordersOf(state.Context())
	if s, ok := self.AsString(); ok {
		if name == "format" {
			return o.format(s, args, kwargs)
		}
		return o.stringMethod(s, name, args)
	}
	for i := range args {
		args[i] = itemsOf(args[i])
	}
	if object, ok := self.AsObject(); ok {
		if l, ok := object.(*list); ok {
			if v, ok, err := l.call(name, args); ok {
				return v, err
			}
		}
	}
	if items, ok := self.AsSlice(); ok {
		if v, ok, err := listMethod(items, name, args); ok {
			return v, err
		}
	}
	if d, ok := o.dict(self); ok {
		if v, ok, err := o.dictMethod(d, name, args, kwargs); ok {
			return v, err
		}
	}
	if f, ok := self.GetAttr(name).AsCallable(); ok {
		return f.Call(state, args, kwargs)
	}
	return value.Undefined(), core.Errorf(core.CodeInvalidRequest, "the chat template calls %s on a %s", name, self.Kind())
}

// isMethod tells whether name is one of the methods that callMethod adds.
func isMethod(name string) bool {
	switch name {
	case "items", "keys", "values", "get", "strip", "lstrip", "rstrip", "startswith", "endswith", "split", "rsplit", "splitlines",
		"replace", "upper", "lower", "title", "capitalize", "find", "rfind", "count", "join", "format", "isdigit", "isalpha", "removeprefix", "removesuffix",
		"append", "extend", "insert", "pop", "remove", "clear", "update", "setdefault", "copy", "index":
		return true
	}
	return false
}

// dictMethod does what Python's method of a dict does; ok is false if there is none of that name.
func (o orders) dictMethod(d *dict, name string, args []value.Value, kwargs map[string]value.Value) (out value.Value, ok bool, err error) {
	key := argument(args, 0, value.None()).String()
	otherwise := argument(args, 1, value.None())
	switch name {
	case "items":
		items := []value.Value{}
		for _, k := range d.keys {
			items = append(items, value.FromSlice([]value.Value{value.FromString(k), d.values[k]}))
		}
		return value.FromSlice(items), true, nil
	case "keys":
		keys := []value.Value{}
		for _, k := range d.keys {
			keys = append(keys, value.FromString(k))
		}
		return value.FromSlice(keys), true, nil
	case "values":
		values := []value.Value{}
		for _, k := range d.keys {
			values = append(values, d.values[k])
		}
		return value.FromSlice(values), true, nil
	case "get":
		if v, ok := d.values[key]; ok && len(args) > 0 {
			return v, true, nil
		}
		return otherwise, true, nil
	}
	return o.dictChange(d, name, args, kwargs)
}

// dictChange is dictMethod for the methods that change a dict, or make one.
func (o orders) dictChange(d *dict, name string, args []value.Value, kwargs map[string]value.Value) (out value.Value, ok bool, err error) {
	key := argument(args, 0, value.None()).String()
	otherwise := argument(args, 1, value.None())
	switch name {
	case "copy":
		c := newDict()
		for _, k := range d.keys {
			c.set(k, d.values[k])
		}
		return o.value(c), true, nil
	case "pop":
		v, there := d.values[key]
		if !there && len(args) < 2 {
			return out, true, core.Errorf(core.CodeInvalidRequest, "the chat template takes %.64q from a dict that lacks it", key)
		}
		if !there {
			return otherwise, true, nil
		}
		d.remove(key)
		return v, true, o.changed(d)
	case "setdefault":
		if _, there := d.values[key]; !there {
			d.set(key, otherwise)
		}
		return d.values[key], true, o.changed(d)
	case "clear":
		clear(d.values)
		d.keys = nil
		return value.None(), true, o.changed(d)
	case "update":
		if other, ok := o.dict(argument(args, 0, value.None())); ok {
			for _, k := range other.keys {
				d.set(k, other.values[k])
			}
		}
		for _, k := range slices.Sorted(maps.Keys(kwargs)) {
			d.set(k, itemsOf(kwargs[k]))
		}
		return value.None(), true, o.changed(d)
	}
	return out, false, nil
}

func (o orders) stringMethod(s, name string, args []value.Value) (value.Value, error) {
	first := argument(args, 0, value.None())
	switch name {
	case "strip":
		return value.FromString(strip(s, first, true, true)), nil
	case "lstrip":
		return value.FromString(strip(s, first, true, false)), nil
	case "rstrip":
		return value.FromString(strip(s, first, false, true)), nil
	case "startswith":
		return value.FromBool(anyOf(first, func(p string) bool { return strings.HasPrefix(s, p) })), nil
	case "endswith":
		return value.FromBool(anyOf(first, func(p string) bool { return strings.HasSuffix(s, p) })), nil
	case "removeprefix":
		return value.FromString(strings.TrimPrefix(s, first.String())), nil
	case "removesuffix":
		return value.FromString(strings.TrimSuffix(s, first.String())), nil
	case "split", "rsplit":
		return split(s, args, name == "rsplit")
	case "splitlines":
		return stringList(strings.Split(strings.TrimSuffix(strings.ReplaceAll(s, "\r\n", "\n"), "\n"), "\n")), nil
	case "replace":
		count, ok := argument(args, 2, value.FromInt(-1)).AsInt()
		if len(args) < 2 || !ok {
			break
		}
		return replace(s, args[0].String(), args[1].String(), int(count))
	case "upper":
		return value.FromString(strings.ToUpper(s)), nil
	case "lower":
		return value.FromString(strings.ToLower(s)), nil
	case "title":
		return value.FromString(title(s)), nil
	case "capitalize":
		return value.FromString(capitalize(s)), nil
	case "find":
		return value.FromInt(runeIndex(s, strings.Index(s, first.String()))), nil
	case "rfind":
		return value.FromInt(runeIndex(s, strings.LastIndex(s, first.String()))), nil
	case "count":
		return value.FromInt(int64(strings.Count(s, first.String()))), nil
	case "isdigit":
		return value.FromBool(s != "" && strings.Trim(s, "0123456789") == ""), nil
	case "isalpha":
		return value.FromBool(s != "" && strings.IndexFunc(s, notLetter) < 0), nil
	case "join":
		return o.join(s, first)
	}
	return value.Undefined(), core.Errorf(core.CodeInvalidRequest, "the chat template uses a string's %s in a way Shoal does not know", name)
}

func argument(args []value.Value, i int, otherwise value.Value) value.Value {
	if i < len(args) {
		return args[i]
	}
	return otherwise
}

const pythonSpace = " \t\n\r\v\f\x1c\x1d\x1e\x1f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"

func strip(s string, cut value.Value, left, right bool) string {
	set := pythonSpace
	if c, ok := cut.AsString(); ok {
		set = c
	}
	if left {
		s = strings.TrimLeft(s, set)
	}
	if right {
		s = strings.TrimRight(s, set)
	}
	return s
}

// anyOf asks about a string, or about each of a tuple of them.
func anyOf(v value.Value, ask func(string) bool) bool {
	if items, ok := v.AsSlice(); ok {
		for _, item := range items {
			if ask(item.String()) {
				return true
			}
		}
		return false
	}
	return ask(v.String())
}

func split(s string, args []value.Value, fromRight bool) (value.Value, error) {
	most, ok := argument(args, 1, value.FromInt(-1)).AsInt()
	if !ok {
		return value.Undefined(), core.Errorf(core.CodeInvalidRequest, "the chat template splits a string in a way Shoal does not know")
	}
	separator, given := argument(args, 0, value.None()).AsString()
	switch {
	case !given:
		return stringList(strings.Fields(s)), nil
	case separator == "":
		return value.Undefined(), core.Errorf(core.CodeInvalidRequest, "the chat template splits at nothing")
	case most >= 0 && fromRight:
		all := strings.Split(s, separator)
		if more := len(all) - 1 - int(most); more > 0 {
			all = append([]string{strings.Join(all[:more+1], separator)}, all[more+1:]...)
		}
		return stringList(all), nil
	case most >= 0:
		return stringList(strings.SplitN(s, separator, int(most)+1)), nil
	}
	return stringList(strings.Split(s, separator)), nil
}

// replace is bounded: a template may not grow a text without end.
func replace(s, from, to string, count int) (value.Value, error) {
	if n := strings.Count(s, from); len(s)+n*len(to) > maxOutput {
		return value.Undefined(), errTooLong()
	}
	return value.FromString(strings.Replace(s, from, to, count)), nil
}

func (o orders) join(separator string, list value.Value) (value.Value, error) {
	var parts []string
	size := 0
	for _, item := range list.Iter() {
		parts = append(parts, o.python(item))
		if size += len(separator) + len(parts[len(parts)-1]); size > maxOutput {
			return value.Undefined(), errTooLong()
		}
	}
	return value.FromString(strings.Join(parts, separator)), nil
}

func stringList(parts []string) value.Value {
	list := make([]value.Value, len(parts))
	for i, p := range parts {
		list[i] = value.FromString(p)
	}
	return value.FromSlice(list)
}

func capitalize(s string) string {
	for i := range s {
		if i > 0 {
			return strings.ToUpper(s[:i]) + strings.ToLower(s[i:])
		}
	}
	return strings.ToUpper(s)
}

// title starts every word with a capital; a word is a run of letters.
func title(s string) string {
	start := true
	return strings.Map(func(r rune) rune {
		defer func() { start = notLetter(r) }()
		if start {
			return []rune(strings.ToUpper(string(r)))[0]
		}
		return []rune(strings.ToLower(string(r)))[0]
	}, s)
}

func notLetter(r rune) bool { return strings.ToLower(string(r)) == strings.ToUpper(string(r)) }

// runeIndex turns a byte index into Python's, which counts characters.
func runeIndex(s string, i int) int64 {
	if i < 0 {
		return -1
	}
	return int64(len([]rune(s[:i])))
}
