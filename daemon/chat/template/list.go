package template

import (
	"slices"
	"strings"

	"github.com/mitsuhiko/minijinja/minijinja-go/v2/value"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// list is a list that a template changes. minijinja's own cannot be changed: so what is assigned to a name on which a
// template calls append and the like becomes a list, and wherever else the name stands, the items as they are.
type list struct{ items []value.Value }

// GetAttr implements value.Object.
func (l *list) GetAttr(string) value.Value { return value.Undefined() }

// newList makes v a list that can be changed; what is no list stays as it is.
func newList(v value.Value) value.Value {
	if items, ok := v.AsSlice(); ok {
		return value.FromObject(&list{slices.Clone(items)})
	}
	return v
}

// itemsOf is the other way round.
func itemsOf(v value.Value) value.Value {
	if o, ok := v.AsObject(); ok {
		if l, ok := o.(*list); ok {
			return value.FromSlice(append([]value.Value{}, l.items...))
		}
	}
	return v
}

// changers are the methods that change what they are called on.
var changers = []string{"append", "extend", "insert", "pop", "remove", "clear", "update", "setdefault"}

// changedNames are the names in a template on which it calls a changer: l of l.append(x) and of ns.l.append(x).
func changedNames(source string) map[string]bool {
	names := map[string]bool{}
	for _, method := range changers {
		for before, rest, found := strings.Cut(source, "."+method); found; before, rest, found = strings.Cut(rest, "."+method) {
			if !strings.HasPrefix(strings.TrimLeft(rest, " "), "(") {
				continue
			}
			end := len(before)
			start := end
			for start > 0 && identifier(before[start-1:end]) != "" && len(identifier(before[start-1:end])) == end-start+1 {
				start--
			}
			if start < end {
				names[before[start:end]] = true
			}
		}
	}
	return names
}

// call does what Python's method of a list does; ok is false if there is none of that name.
func (l *list) call(name string, args []value.Value) (out value.Value, ok bool, err error) {
	first := argument(args, 0, value.None())
	switch name {
	case "append":
		l.items = append(l.items, first)
	case "extend":
		l.items = append(l.items, itemsOf(first).Iter()...)
	case "insert":
		l.items = slices.Insert(l.items, l.index(first, true), argument(args, 1, value.None()))
	case "clear":
		l.items = nil
	case "pop":
		i := len(l.items) - 1
		if len(args) > 0 {
			i = l.index(first, false)
		}
		if i < 0 || i >= len(l.items) {
			return out, true, core.Errorf(core.CodeInvalidRequest, "the chat template takes an item from a list that lacks it")
		}
		out = l.items[i]
		l.items = slices.Delete(l.items, i, i+1)
		return out, true, nil
	case "remove":
		i := slices.IndexFunc(l.items, first.Equal)
		if i < 0 {
			return out, true, core.Errorf(core.CodeInvalidRequest, "the chat template removes what is not in a list")
		}
		l.items = slices.Delete(l.items, i, i+1)
	default:
		return listMethod(l.items, name, args)
	}
	return value.None(), true, nil
}

// index is a place in the list, counted from its end if it is negative; clamp keeps it inside.
func (l *list) index(v value.Value, clamp bool) int {
	n, ok := v.AsInt()
	if n < 0 {
		n += int64(len(l.items))
	}
	switch {
	case clamp:
		return int(min(max(n, 0), int64(len(l.items))))
	case !ok || n < 0 || n >= int64(len(l.items)):
		return -1
	}
	return int(n)
}

// listMethod does what Python's methods do that change nothing.
func listMethod(items []value.Value, name string, args []value.Value) (out value.Value, ok bool, err error) {
	first := argument(args, 0, value.None())
	switch name {
	case "copy":
		return value.FromSlice(append([]value.Value{}, items...)), true, nil
	case "index":
		return value.FromInt(int64(slices.IndexFunc(items, first.Equal))), true, nil
	case "count":
		n := 0
		for _, item := range items {
			if item.Equal(first) {
				n++
			}
		}
		return value.FromInt(int64(n)), true, nil
	}
	if slices.Contains(changers, name) {
		return out, true, core.Errorf(core.CodeUnsupported, "the chat template changes a list with %s where Shoal cannot let it", name)
	}
	return out, false, nil
}
