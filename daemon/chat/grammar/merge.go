package grammar

import (
	"encoding/json"
	"slices"
)

// merge makes one schema of two that must both hold.
func (c *converter) merge(a, b *object, depth int) (*object, error) {
	if depth > maxNesting {
		return nil, invalid("nested too deeply")
	}
	if err := c.work.spend(workOfMerge + len(a.keys) + len(b.keys)); err != nil {
		return nil, err
	}
	a, err := c.flat(a, depth)
	if err != nil {
		return nil, err
	}
	if b, err = c.flat(b, depth); err != nil {
		return nil, err
	}
	if closed(a) != closed(b) && !sameProperties(a, b) || closed(a) && closed(b) && !sameProperties(a, b) {
		return nil, unsupported("additionalProperties")
	}
	out := newObject()
	for _, k := range a.keys {
		out.set(k, a.values[k])
	}
	for _, k := range b.keys {
		v := b.values[k]
		if old, ok := out.values[k]; ok {
			if v, err = c.mergeKeyword(k, old, v, depth); err != nil {
				return nil, err
			}
		}
		out.set(k, v)
	}
	return out, nil
}

func closed(o *object) bool { return o.values["additionalProperties"] == false }

func sameProperties(a, b *object) bool {
	x, _ := a.values["properties"].(*object)
	y, _ := b.values["properties"].(*object)
	if x == nil || y == nil {
		return x == y
	}
	return len(x.keys) == len(y.keys) && !slices.ContainsFunc(x.keys, func(k string) bool { return !y.has(k) })
}

// flat replaces $ref and allOf at the top of a schema by what they stand for.
func (c *converter) flat(o *object, depth int) (*object, error) {
	var parts []any
	if ref, ok := o.values["$ref"].(string); ok {
		if err := c.work.spend(len(ref)); err != nil {
			return nil, err
		}
		target, err := resolve(c.root, ref)
		if err != nil {
			return nil, err
		}
		parts = append(parts, target)
	}
	if all, ok := o.values["allOf"].([]any); ok {
		parts = append(parts, all...)
	}
	if len(parts) == 0 {
		return o, nil
	}
	out := o.without("$ref", "allOf")
	for _, part := range parts {
		if part == true {
			continue
		}
		p, ok := part.(*object)
		if !ok {
			return nil, invalid("a part of allOf must be an object")
		}
		var err error
		if out, err = c.merge(out, p, depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *converter) mergeKeyword(key string, a, b any, depth int) (any, error) {
	x, y := encode(a), encode(b)
	if err := c.work.spend((len(x) + len(y)) / 8); err != nil || x == y {
		return a, err
	}
	switch key {
	case "properties":
		return c.mergeProperties(a, b, depth)
	case "required":
		x, okX := a.([]any)
		y, okY := b.([]any)
		if okX && okY {
			return append(slices.Clone(x), y...), nil
		}
	case "type", "enum":
		x, y := asList(a), asList(b)
		if err := c.work.spend(len(x) + len(y)); err != nil {
			return nil, err
		}
		if both := common(x, y); len(both) > 0 {
			return both, nil
		}
		return nil, invalid("parts of allOf exclude each other in %q", key)
	case "minimum", "minLength", "minItems", "maximum", "maxLength", "maxItems":
		x, okX := a.(json.Number)
		y, okY := b.(json.Number)
		if okX && okY {
			fx, _ := x.Float64()
			fy, _ := y.Float64()
			if (fx > fy) == (key[:3] == "min") {
				return a, nil
			}
			return b, nil
		}
	case "items":
		return c.mergeSchemas(a, b, depth)
	}
	if isAnnotation(key) {
		return a, nil
	}
	return nil, unsupported(key)
}

func (c *converter) mergeProperties(a, b any, depth int) (any, error) {
	x, okX := a.(*object)
	y, okY := b.(*object)
	if !okX || !okY {
		return nil, invalid("properties must be an object")
	}
	if err := c.work.spend(len(x.keys) + len(y.keys)); err != nil {
		return nil, err
	}
	out := newObject()
	for _, k := range x.keys {
		out.set(k, x.values[k])
	}
	for _, k := range y.keys {
		v := y.values[k]
		if old, ok := out.values[k]; ok {
			var err error
			if v, err = c.mergeSchemas(old, v, depth); err != nil {
				return nil, at(err, k)
			}
		}
		out.set(k, v)
	}
	return out, nil
}

func (c *converter) mergeSchemas(a, b any, depth int) (any, error) {
	if a == true {
		return b, nil
	}
	if b == true {
		return a, nil
	}
	x, okX := a.(*object)
	y, okY := b.(*object)
	if !okX || !okY {
		return nil, invalid("a schema must be an object")
	}
	return c.merge(x, y, depth+1)
}

func asList(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

// common are the values that are in both lists.
func common(a, b []any) (both []any) {
	in := make(map[string]bool, len(b))
	for _, y := range b {
		in[encode(y)] = true
	}
	for _, x := range a {
		if in[encode(x)] {
			both = append(both, x)
		}
	}
	return both
}
