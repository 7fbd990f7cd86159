package grammar

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// property is one named member of an object.
type property struct {
	pair     string // rule of "name": value
	required bool
}

// object is an object with its properties in order. One without any may have all members; one with some has those
// and no others unless additionalProperties says so.
func (c *converter) object(o *object, depth int) (string, error) {
	named, err := c.properties(o, depth)
	if err != nil {
		return "", err
	}
	extra := o.values["additionalProperties"]
	if extra == nil && len(named) == 0 && !o.has("additionalProperties") {
		extra = true
	}
	other := ""
	switch {
	case extra == nil && o.has("additionalProperties"):
		return "", invalid("additionalProperties must be true, false or a schema")
	case extra == nil || extra == false:
	case extra == true && len(named) == 0:
		return c.shared("object"), nil
	default:
		if other, err = c.otherPair(o, extra, depth); err != nil {
			return "", err
		}
	}
	members, err := c.members(named, other)
	if err != nil {
		return "", err
	}
	return c.fresh(`"{" ` + c.shared("ws") + " " + members + ` "}"`)
}

// properties reads the named members of an object. One that is required but not described may be anything.
func (c *converter) properties(o *object, depth int) ([]property, error) {
	described := newObject()
	if v, ok := o.values["properties"]; ok {
		if described, ok = v.(*object); !ok {
			return nil, invalid("properties must be an object")
		}
	}
	required, err := namesOf(o)
	if err != nil {
		return nil, err
	}
	required, must := distinct(required)
	all := newObject()
	for _, name := range described.keys {
		all.set(name, described.values[name])
	}
	for _, name := range required {
		extra := o.values["additionalProperties"]
		switch {
		case all.has(name):
			continue
		case extra == false:
			return nil, invalid("%q is required but not allowed", quoted(name, maxQuote))
		case extra == nil:
			extra = true
		}
		all.set(name, extra)
	}
	var named []property
	for _, name := range all.keys {
		pair, err := c.pair(quote(encode(name)), all.values[name], depth)
		if err != nil {
			return nil, at(err, name)
		}
		named = append(named, property{pair, must[name]})
	}
	return named, nil
}

// namesOf are the names under "required".
func namesOf(o *object) (names []string, err error) {
	v, ok := o.values["required"]
	if !ok {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, invalid("required must be a list")
	}
	for _, v := range list {
		name, ok := v.(string)
		if !ok {
			return nil, invalid("required must be a list of names")
		}
		names = append(names, name)
	}
	return names, nil
}

func (c *converter) pair(key string, schema any, depth int) (string, error) {
	value, err := c.schema(schema, depth+1)
	if err != nil {
		return "", err
	}
	ws := c.shared("ws")
	return c.fresh(key + ` ":" ` + ws + " " + value + " " + ws)
}

// otherPair is a member with a name that is not among the properties.
func (c *converter) otherPair(o *object, schema any, depth int) (string, error) {
	var taken []string
	if described, ok := o.values["properties"].(*object); ok {
		taken = slices.Clone(described.keys)
	}
	required, err := namesOf(o)
	if err != nil {
		return "", err
	}
	taken, _ = distinct(append(taken, required...))
	key := c.shared("string")
	if len(taken) > 0 {
		body, err := c.notAmong(taken)
		if err != nil {
			return "", err
		}
		key = body
	}
	return c.pair(key, schema, depth)
}

// notAmong is a string of plain characters that is none of the names.
func (c *rules) notAmong(names []string) (string, error) {
	type node struct {
		next map[rune]*node
		end  bool
	}
	root := &node{next: map[rune]*node{}}
	for _, name := range names {
		at := root
		for _, r := range name {
			if at.next[r] == nil {
				at.next[r] = &node{next: map[rune]*node{}}
			}
			at = at.next[r]
		}
		at.end = true
	}
	var write func(n *node, depth int) (string, error)
	write = func(n *node, depth int) (string, error) {
		const longest = 256
		if depth > longest {
			return "", unsupported("additionalProperties beside a property with a very long name")
		}
		letters := make([]rune, 0, len(n.next))
		for r := range n.next {
			letters = append(letters, r)
		}
		slices.Sort(letters)
		var other strings.Builder
		var terms []string
		for _, r := range letters {
			other.WriteString(classRune(r))
			if r == '"' || r == '\\' || r < ' ' {
				continue // would need an escape, which these strings lack
			}
			rest, err := write(n.next[r], depth+1)
			if err != nil {
				return "", err
			}
			terms = append(terms, quote(string(r))+" "+rest)
		}
		terms = append(terms, `[^"\\\x00-\x1F\x7F`+other.String()+`] plain*`)
		if !n.end {
			terms = append(terms, `""`)
		}
		return c.fresh(strings.Join(terms, " | "))
	}
	if _, err := c.define("plain", `[^"\\\x00-\x1F\x7F]`); err != nil {
		return "", err
	}
	body, err := write(root, 0)
	if err != nil {
		return "", err
	}
	return c.fresh(`"\"" ` + body + ` "\""`)
}

// members writes the properties in order, those not required optional, and the others behind them. Each place has
// two rules: with a member before it, which needs a comma, and without.
func (c *rules) members(named []property, other string) (string, error) {
	comma := `"," ` + c.shared("ws") + " "
	after, first := `""`, `""`
	if other != "" {
		after = "(" + comma + other + ")*"
		first = "(" + other + " " + after + ")?"
	}
	var err error
	for _, p := range slices.Backward(named) {
		withComma, without := comma+p.pair+" "+after, p.pair+" "+after
		if !p.required {
			withComma += " | " + after
			without += " | " + first
		}
		if after, err = c.fresh(withComma); err != nil {
			return "", err
		}
		if first, err = c.fresh(without); err != nil {
			return "", err
		}
	}
	return first, nil
}

func (c *converter) array(o *object, depth int) (string, error) {
	low, high, err := bounds(o, "minItems", "maxItems")
	if err != nil {
		return "", err
	}
	ws := c.shared("ws")
	comma := `"," ` + ws + " "
	if o.has("prefixItems") {
		return c.tuple(o, depth)
	}
	items, ok := o.values["items"]
	if !ok {
		items = true
	}
	if items == false {
		high = 0
	}
	if high == 0 {
		if low > 0 {
			return "", invalid("an array can have neither none nor more items")
		}
		return c.fresh(`"[" ` + ws + ` "]"`)
	}
	item, err := c.schema(items, depth+1)
	if err != nil {
		return "", at(err, "[]")
	}
	rest := repeat("("+comma+item+" "+ws+")", max(low-1, 0), max(high-1, -1))
	body := item + " " + ws + " " + rest
	if low == 0 {
		body = "(" + body + ")?"
	}
	return c.fresh(`"[" ` + ws + " " + body + ` "]"`)
}

// tuple is an array whose first items have schemas of their own and that has no others.
func (c *converter) tuple(o *object, depth int) (string, error) {
	list, ok := o.values["prefixItems"].([]any)
	if !ok || len(list) == 0 {
		return "", invalid("prefixItems must be a list")
	}
	low, high, err := bounds(o, "minItems", "maxItems")
	if err != nil {
		return "", err
	}
	if items, ok := o.values["items"]; ok && items != false {
		return "", unsupported("items beside prefixItems")
	}
	if o.has("minItems") && low != len(list) || o.has("maxItems") && high != len(list) {
		return "", unsupported("minItems and maxItems beside prefixItems")
	}
	ws := c.shared("ws")
	var parts []string
	for _, v := range list {
		item, err := c.schema(v, depth+1)
		if err != nil {
			return "", at(err, "[]")
		}
		parts = append(parts, item+" "+ws)
	}
	return c.fresh(`"[" ` + ws + " " + strings.Join(parts, ` "," `+ws+" ") + ` "]"`)
}

// bounds reads a least and a greatest count; the greatest is -1 for none.
func bounds(o *object, least, greatest string) (low, high int, err error) {
	low, high = 0, -1
	for _, b := range []struct {
		key string
		to  *int
	}{{least, &low}, {greatest, &high}} {
		v, ok := o.values[b.key]
		if !ok {
			continue
		}
		n, ok := v.(json.Number)
		if !ok {
			return 0, 0, invalid("%s must be a number", b.key)
		}
		i, err := strconv.Atoi(n.String())
		if err != nil || i < 0 {
			return 0, 0, invalid("%s must be a whole number, 0 or more", b.key)
		}
		if b.key == greatest && i >= wideRepeat {
			continue
		}
		if i > maxRepeat {
			return 0, 0, unsupported(fmt.Sprintf("%s above %d", b.key, maxRepeat))
		}
		*b.to = i
	}
	if high >= 0 && low > high {
		return 0, 0, invalid("%s is above %s", least, greatest)
	}
	return low, high, nil
}

// text is a string, of a length, of a format or after a pattern.
func (c *rules) text(o *object) (string, error) {
	low, high, err := bounds(o, "minLength", "maxLength")
	if err != nil {
		return "", err
	}
	sized := low > 0 || high >= 0
	format, ok := o.values["format"].(string)
	if !ok && o.has("format") {
		return "", invalid("format must be a string")
	}
	if ok && !sized && !o.has("pattern") && slices.Contains(formats, format) { // others only describe
		return c.fresh(`"\"" ` + c.shared(format) + ` "\""`)
	}
	if pattern, ok := o.values["pattern"].(string); ok {
		if sized {
			return "", unsupported("pattern beside minLength or maxLength")
		}
		body, err := c.pattern(pattern)
		if err != nil {
			return "", err
		}
		return c.fresh(`"\"" ` + body + ` "\""`)
	}
	if o.has("pattern") {
		return "", invalid("pattern must be a string")
	}
	if !sized {
		return c.shared("string"), nil
	}
	return c.fresh(`"\"" ` + repeat(c.shared("char"), low, high) + ` "\""`)
}
