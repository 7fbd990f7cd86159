package grammar

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// converter turns schemas into rules.
type converter struct {
	rules
	root any
	refs map[string]string // rule of each $ref
	work budget
}

func newConverter(ctx context.Context, root any) *converter {
	return &converter{
		rules: rules{bodies: map[string]string{}, same: map[string][]string{}},
		work:  budget{ctx, maxWork}, root: root, refs: map[string]string{},
	}
}

// rules are the rules of a grammar while it grows.
type rules struct {
	names  []string // in the order they were asked for
	bodies map[string]string
	same   map[string][]string // rules that are no more than a choice of terms
	size   int
}

// define adds a rule under a name and returns the name.
func (c *rules) define(name, body string) (string, error) {
	if _, ok := c.bodies[name]; !ok {
		c.names = append(c.names, name)
	}
	c.bodies[name] = body
	if c.size += len(name) + len(body) + 6; c.size > maxGrammar {
		return "", invalid("the grammar made of it has more than %d bytes", maxGrammar)
	}
	return name, nil
}

// fresh adds a rule with a name of its own.
func (c *rules) fresh(body string) (string, error) {
	return c.define(fmt.Sprintf("r%d", len(c.names)), body)
}

// choice adds a rule that is one of the terms.
func (c *rules) choice(terms []string) (string, error) {
	name, err := c.fresh(strings.Join(terms, " | "))
	c.same[name] = terms
	return name, err
}

// checkLoops refuses rules that can be themselves without a byte in between, over which llama.cpp would fall.
func (c *rules) checkLoops() error {
	const open, done = 1, 2
	marks := map[string]int{}
	var visit func(name string) error
	visit = func(name string) error {
		switch marks[name] {
		case open:
			return invalid("it refers to nothing but itself")
		case done:
			return nil
		}
		marks[name] = open
		for _, term := range c.same[name] {
			if err := visit(term); err != nil {
				return err
			}
		}
		marks[name] = done
		return nil
	}
	for name := range c.same {
		if err := visit(name); err != nil {
			return err
		}
	}
	return nil
}

// shared adds a rule that many share, and those it uses.
func (c *rules) shared(name string) string {
	if _, ok := c.bodies[name]; ok {
		return name
	}
	body := primitives[name]
	c.names = append(c.names, name)
	c.bodies[name] = body
	for _, other := range slices.Sorted(maps.Keys(primitives)) {
		if uses(body, other) {
			c.shared(other)
		}
	}
	return name
}

// uses tells whether a rule's body refers to a name.
func uses(body, name string) bool {
	return slices.Contains(strings.FieldsFunc(body, func(r rune) bool { return strings.ContainsRune(" ()|*+?{}", r) }), name)
}

// primitives are the rules of JSON itself. Whitespace stays short, so that no model can fill its reply with it.
var primitives = map[string]string{
	"ws":        `" "? | "\n" [ \t]{0,20}`,
	"value":     `object | array | string | number | boolean | null`,
	"object":    `"{" ws (member ("," ws member)*)? "}"`,
	"member":    `string ":" ws value ws`,
	"array":     `"[" ws (value ws ("," ws value ws)*)? "]"`,
	"string":    `"\"" char* "\""`,
	"char":      `[^"\\\x00-\x1F\x7F] | "\\" escape`,
	"escape":    `["\\/bfnrt] | "u" ([0-9a-cefA-CEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2})`,
	"number":    `integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?`,
	"integer":   `"-"? ("0" | [1-9] [0-9]{0,15})`,
	"boolean":   `"true" | "false"`,
	"null":      `"null"`,
	"date":      `[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [12] [0-9] | "3" [01])`,
	"time":      `([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,9})? ("Z" | [-+] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])`,
	"date-time": `date "T" time`,
	"uuid":      `[0-9a-fA-F]{8} "-" [0-9a-fA-F]{4} "-" [0-9a-fA-F]{4} "-" [0-9a-fA-F]{4} "-" [0-9a-fA-F]{12}`,
	"email":     `[a-zA-Z0-9_+-]{1,32} ("." [a-zA-Z0-9_+-]{1,32}){0,4} "@" label ("." label){0,4} "." [a-zA-Z]{2,16}`,
	"label":     `[a-zA-Z0-9] ([a-zA-Z0-9-]{0,30} [a-zA-Z0-9])?`,
	"ipv4":      `octet "." octet "." octet "." octet`,
	"octet":     `"25" [0-5] | "2" [0-4] [0-9] | "1" [0-9]{2} | [1-9] [0-9] | [0-9]`,
}

var formats = []string{"date", "time", "date-time", "uuid", "email", "ipv4"}

// String writes the grammar, the root rule first.
func (c *rules) String() string {
	var b strings.Builder
	names := slices.Clone(c.names)
	slices.SortStableFunc(names, func(x, y string) int {
		if (x == "root") == (y == "root") {
			return 0
		}
		if x == "root" {
			return -1
		}
		return 1
	})
	for _, name := range names {
		fmt.Fprintf(&b, "%s ::= %s\n", name, c.bodies[name])
	}
	return b.String()
}

// quote writes text as a GBNF literal.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// repeat writes item between min and max times; max below zero is without end.
func repeat(item string, min, max int) string {
	switch {
	case max < 0 && min == 0:
		return item + "*"
	case max < 0:
		return fmt.Sprintf("%s{%d,}", item, min)
	case min == max:
		return fmt.Sprintf("%s{%d}", item, min)
	}
	return fmt.Sprintf("%s{%d,%d}", item, min, max)
}

// schema returns the GBNF term, a rule's name or a literal, for a schema.
func (c *converter) schema(v any, depth int) (string, error) {
	if depth > maxNesting {
		return "", invalid("nested too deeply")
	}
	if err := c.work.spend(workOfSchema); err != nil {
		return "", err
	}
	if v == true {
		return c.shared("value"), nil
	}
	o, ok := v.(*object)
	if !ok {
		return "", invalid("a schema must be an object or true")
	}
	if nullable, ok := o.values["nullable"].(bool); ok { // OpenAPI 3.0
		term, err := c.schema(o.without("nullable"), depth+1)
		if err != nil || !nullable {
			return term, err
		}
		return c.choice([]string{term, c.shared("null")})
	}
	if ref, ok := o.values["$ref"].(string); ok && onlyAnnotated(o, "$ref") {
		return c.reference(ref, depth)
	}
	o, err := c.flat(o, depth)
	if err != nil {
		return "", err
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		if o.has(key) {
			return c.anyOf(o, key, depth)
		}
	}
	if o.has("const") || o.has("enum") {
		return c.constant(o)
	}
	return c.typed(o, depth)
}

// reference gives each $ref one rule, so that schemas may refer to themselves.
func (c *converter) reference(ref string, depth int) (string, error) {
	if name, ok := c.refs[ref]; ok {
		return name, nil
	}
	if err := c.work.spend(len(ref)); err != nil {
		return "", err
	}
	target, err := resolve(c.root, ref)
	if err != nil {
		return "", err
	}
	name, err := c.fresh("")
	if err != nil {
		return "", err
	}
	c.refs[ref] = name
	body, err := c.schema(target, depth+1)
	if err != nil {
		return "", err
	}
	c.same[name] = []string{body}
	return c.define(name, body)
}

// anyOf is one of several schemas. oneOf is taken for the same: what fits two of its schemas is not kept out.
func (c *converter) anyOf(o *object, key string, depth int) (string, error) {
	choices, ok := o.values[key].([]any)
	if !ok || len(choices) == 0 {
		return "", invalid("%s must be a list of schemas", key)
	}
	rest := o.without(key)
	var terms []string
	for _, choice := range choices {
		if !onlyAnnotated(rest) {
			var err error
			if choice, err = c.mergeSchemas(rest, choice, depth); err != nil {
				return "", err
			}
		}
		term, err := c.schema(choice, depth+1)
		if err != nil {
			return "", err
		}
		if !slices.Contains(terms, term) {
			terms = append(terms, term)
		}
	}
	return c.choice(terms)
}

// constant is a value, or one of several, written out.
func (c *rules) constant(o *object) (string, error) {
	values, ok := o.values["enum"].([]any)
	if o.has("const") {
		constant := []any{o.values["const"]}
		if ok {
			constant = common(values, constant)
		}
		values, ok = constant, true
	}
	if !ok {
		return "", invalid("enum must be a list")
	}
	types := asList(o.values["type"])
	var terms []string
	for _, v := range values {
		t := typeOf(v)
		if !o.has("type") || slices.Contains(types, any(t)) || t == "integer" && slices.Contains(types, any("number")) {
			terms = append(terms, quote(encode(v)))
		}
	}
	if len(terms) == 0 {
		return "", invalid("enum allows no value")
	}
	for _, key := range o.keys {
		if !isAnnotation(key) && key != "enum" && key != "const" && key != "type" {
			return "", unsupported(key)
		}
	}
	return c.fresh(strings.Join(terms, " | "))
}

// isAnnotation tells whether a keyword only describes, or holds what $ref points at.
func isAnnotation(key string) bool {
	switch key {
	case "$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly",
		"format", "contentMediaType", "contentEncoding", "contentSchema", "externalDocs", "discriminator", "xml": // text() keeps some formats
		return true
	}
	return strings.HasPrefix(key, "x-")
}

// saysNothing tells whether a keyword that is not known otherwise forbids nothing with this value, as generators of
// schemas write them.
func saysNothing(key string, v any, types []string) bool {
	switch key {
	case "propertyNames":
		o, ok := v.(*object)
		return v == true || ok && onlyAnnotated(o, "type") && (!o.has("type") || o.values["type"] == "string")
	case "uniqueItems":
		return v == false
	case "multipleOf":
		return v == json.Number("1") && !slices.Contains(types, "number")
	case "minProperties", "minContains":
		return v == json.Number("0")
	}
	return false
}

// onlyAnnotated tells whether o has nothing but annotations and the given keys.
func onlyAnnotated(o *object, keys ...string) bool {
	return !slices.ContainsFunc(o.keys, func(k string) bool { return !isAnnotation(k) && !slices.Contains(keys, k) })
}

// keywords of each type.
var keywords = map[string][]string{
	"object":  {"properties", "required", "additionalProperties"},
	"array":   {"items", "prefixItems", "minItems", "maxItems"},
	"string":  {"minLength", "maxLength", "pattern", "format"},
	"integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
	"number":  {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
	"boolean": {},
	"null":    {},
}

// typed is a schema by its types.
func (c *converter) typed(o *object, depth int) (string, error) {
	types, err := typesOf(o)
	if err != nil {
		return "", err
	}
	allowed := []string{"type"}
	for _, t := range types {
		allowed = append(allowed, keywords[t]...)
	}
	for _, key := range o.keys {
		if !isAnnotation(key) && !slices.Contains(allowed, key) && !saysNothing(key, o.values[key], types) {
			return "", unsupported(key)
		}
	}
	if len(types) == 0 {
		return c.shared("value"), nil
	}
	var terms []string
	for _, t := range types {
		term, err := c.ofType(t, o, depth)
		if err != nil {
			return "", err
		}
		terms = append(terms, term)
	}
	if len(terms) == 1 {
		return terms[0], nil
	}
	return c.choice(terms)
}

// typesOf reads "type", or guesses it from the keywords that belong to one.
func typesOf(o *object) ([]string, error) {
	if !o.has("type") {
		for _, t := range []string{"object", "array", "string", "number"} {
			if slices.ContainsFunc(keywords[t], o.has) {
				return []string{t}, nil
			}
		}
		return nil, nil
	}
	var types []string
	for _, v := range asList(o.values["type"]) {
		t, _ := v.(string)
		if _, ok := keywords[t]; !ok {
			return nil, invalid("there is no type %s", quoted(encode(v), maxQuote))
		}
		types = append(types, t)
	}
	if len(types) == 0 {
		return nil, invalid("type must not be empty")
	}
	return types, nil
}

func (c *converter) ofType(t string, o *object, depth int) (string, error) {
	switch t {
	case "object":
		return c.object(o, depth)
	case "array":
		return c.array(o, depth)
	case "string":
		return c.text(o)
	case "integer":
		return c.integer(o)
	case "number":
		return c.number(o)
	}
	return c.shared(t), nil
}
