package grammar

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Limits of a schema and of the grammar made from it.
const (
	maxSchema  = 256 << 10 // bytes
	maxNesting = 64
	maxGrammar = 512 << 10 // bytes
	maxRepeat  = 2000      // llama.cpp takes no more
	wideRepeat = 10_000    // a greatest length or count from here on is none: no reply gets there
)

func unsupported(keyword string) error {
	return core.Errorf(core.CodeUnsupported, "JSON schema: %q is not supported here", keyword)
}

func invalid(format string, args ...any) error {
	err := core.Errorf(core.CodeInvalidRequest, format, args...)
	return core.Errorf(core.CodeInvalidRequest, "JSON schema: %w", err)
}

// object is a JSON object that keeps the order of its keys.
type object struct {
	keys   []string
	values map[string]any
}

func newObject() *object { return &object{values: map[string]any{}} }

func (o *object) set(key string, v any) {
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
}

func (o *object) has(key string) bool {
	_, ok := o.values[key]
	return ok
}

// with returns a copy of o in which key is v.
func (o *object) with(key string, v any) *object {
	c := newObject()
	for _, k := range o.keys {
		c.set(k, o.values[k])
	}
	c.set(key, v)
	return c
}

// without returns a copy of o that lacks the keys.
func (o *object) without(keys ...string) *object {
	c := newObject()
	for _, k := range o.keys {
		if !slices.Contains(keys, k) {
			c.set(k, o.values[k])
		}
	}
	return c
}

// decode reads JSON into nil, bool, json.Number, string, []any and *object.
func decode(src []byte) (any, error) {
	if len(src) > maxSchema {
		return nil, core.Errorf(core.CodeTooLarge, "JSON schema has more than %d bytes", maxSchema)
	}
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	v, err := decodeValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, invalid("more than one value")
	}
	return v, nil
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	if depth > 2*maxNesting {
		return nil, invalid("nested too deeply")
	}
	tok, err := d.Token()
	if err != nil {
		return nil, invalid("%w", err)
	}
	switch tok {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, closing(d)
	case json.Delim('{'):
		o := newObject()
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, invalid("%w", err)
			}
			v, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			o.set(key.(string), v)
		}
		return o, closing(d)
	}
	return tok, nil
}

func closing(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return invalid("%w", err)
	}
	return nil
}

// encode writes a decoded value as compact JSON.
func encode(v any) string {
	switch v := v.(type) {
	case *object:
		var parts []string
		for _, k := range v.keys {
			parts = append(parts, encode(k)+":"+encode(v.values[k]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		var parts []string
		for _, item := range v {
			parts = append(parts, encode(item))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return "null"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// typeOf is the JSON schema type of a value.
func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

// resolve finds what a local reference such as #/$defs/node points at.
func resolve(root any, ref string) (any, error) {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok || pointer != "" && pointer[0] != '/' {
		return nil, core.Errorf(core.CodeUnsupported, "JSON schema: %q may only point into the schema itself, not to %q", "$ref", quoted(ref, maxQuote))
	}
	at := root
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if pointer == "" {
			break
		}
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		o, ok := at.(*object)
		if !ok || !o.has(step) {
			return nil, invalid("there is nothing at %q", quoted(ref, maxQuote))
		}
		at = o.values[step]
	}
	return at, nil
}
