package grammar_test

import (
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/shoal-p2p/shoal/daemon/chat/grammar"
)

// What a grammar lets a model write is valid by its schema, by the judgement of a validator that has nothing to do
// with this package. The other direction does not hold: a grammar fixes the order of properties, and closes objects.
func TestWhatGrammarsAllowIsValid(t *testing.T) {
	instances := instances()
	for _, group := range judged() {
		for _, schema := range group.schemas {
			judge, err := compile(schema)
			if err != nil {
				t.Errorf("%s: %s: the judge: %v", group.keyword, schema, err)
				continue
			}
			g, err := grammar.Schema(t.Context(), []byte(schema), grammar.Options{})
			if err != nil {
				t.Errorf("%s: %s: %v", group.keyword, schema, err)
				continue
			}
			parsed := parseGBNF(t, g)
			allowed := 0
			for _, text := range instances {
				if !parsed.matches(text) {
					continue
				}
				allowed++
				v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
				if err != nil {
					t.Errorf("%s: %s allows %s, which is no JSON: %v", group.keyword, schema, text, err)
				} else if err := judge.Validate(v); err != nil {
					t.Errorf("%s: %s allows %s: %v", group.keyword, schema, text, err)
				}
			}
			if allowed == 0 {
				t.Errorf("%s: %s allows none of the instances", group.keyword, schema)
			}
		}
	}
}

func compile(schema string) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("schema.json")
}

// instances are values of every type around the bounds that the schemas have.
func instances() []string {
	all := []string{`null`, `true`, `false`, `""`, `"a"`, `"ab"`, `"abc"`, `"abcd"`, `"é😀"`, `"\n"`, `"2026-07-09"`, `"a1"`, `"foo"`, `"a\"b"`}
	numbers := []string{
		"0", "-0", "0.0", "1", "-1", "1.0", "1.5", "-1.5", "0.001", "-0.001", "2", "2.0", "2.999", "3", "3.0", "3.0001", "-3", "-2.999", "10", "11", "99", "100", "101",
		"1e3", "1E-2", "9007199254740991", "9007199254740992", "-9007199254740991", "9223372036854775807", "9223372036854775808", "12345678901234567890",
	}
	all = append(all, numbers...)
	for _, inner := range []string{``, `1`, `1, 2`, `1, 2, 3`, `1,2,3,4`, `"a"`, `"a", 1`, `"a",1,2`, `null`, `[]`, `[1], [2]`, `{}`, `{"a":1}`, `1.5`} {
		all = append(all, `[`+inner+`]`)
	}
	for _, inner := range []string{
		``, `"a":1`, `"a": "x"`, `"a":null`, `"b":1`, `"a":1,"b":2`, `"b":2,"a":1`, `"a":1,"b":"x"`, `"a":1,"b":2,"c":3`, `"c":true`, `"a":{"a":{"a":1}}`, `"a":[1,2]`, `"":1`,
		`"aa":1`, `"a":1,"aa":2`, `"a":-1`, `"a":3`, `"a":4`, `"kids":[]`, `"kids":[{"kids":[]}]`, `"kids":[1]`, `"a":1,"kind":"x"`, `"kind":"y","b":2`,
	} {
		all = append(all, `{`+inner+`}`)
	}
	return all
}

// judged are schemas by the keyword that they are about.
func judged() []struct {
	keyword string
	schemas []string
} {
	return []struct {
		keyword string
		schemas []string
	}{
		{"type", []string{`true`, `{}`, `{"type":"null"}`, `{"type":"boolean"}`, `{"type":"integer"}`, `{"type":"number"}`, `{"type":"string"}`, `{"type":"array"}`, `{"type":"object"}`, `{"type":["integer","null"]}`, `{"type":["string","array"],"maxItems":2,"minLength":2}`}},
		{"bounds of integers", []string{`{"type":"integer","minimum":1}`, `{"type":"integer","maximum":2}`, `{"type":"integer","exclusiveMinimum":1,"exclusiveMaximum":100}`, `{"type":"integer","minimum":-3,"maximum":3}`, `{"type":"integer","minimum":1.5}`, `{"type":"integer","maximum":-0.5}`, `{"type":"integer","minimum":-9007199254740991,"maximum":9007199254740991}`, `{"type":"integer","maximum":9223372036854775807}`}},
		{"bounds of numbers", []string{`{"type":"number","minimum":0}`, `{"type":"number","maximum":0}`, `{"type":"number","exclusiveMinimum":0}`, `{"type":"number","exclusiveMaximum":0}`, `{"type":"number","minimum":-3,"maximum":3}`, `{"type":"number","exclusiveMinimum":-3,"exclusiveMaximum":3}`, `{"type":"number","minimum":1,"maximum":100,"exclusiveMaximum":3}`, `{"type":"number","minimum":3,"maximum":3}`, `{"minimum":2}`}},
		{"enum and const", []string{`{"enum":[1,"a",null,[1],{"a":1}]}`, `{"const":"foo"}`, `{"const":1.5}`, `{"type":"string","enum":["a",1]}`, `{"enum":["a\"b","é😀"]}`}},
		{"strings", []string{`{"type":"string","minLength":2}`, `{"type":"string","maxLength":2}`, `{"type":"string","minLength":1,"maxLength":3}`, `{"type":"string","pattern":"^a"}`, `{"type":"string","pattern":"b$"}`, `{"type":"string","pattern":"^[a-c]+\\d?$"}`, `{"type":"string","pattern":"o{2}"}`, `{"type":"string","format":"date"}`, `{"type":"string","format":"uri","maxLength":1}`}},
		{"arrays", []string{`{"items":{"type":"integer"},"type":"array"}`, `{"type":"array","minItems":2}`, `{"type":"array","maxItems":2}`, `{"type":"array","minItems":1,"maxItems":3,"items":{"type":"integer","minimum":1}}`, `{"type":"array","prefixItems":[{"type":"string"},{"type":"integer"}],"items":false}`, `{"type":"array","items":{"type":"array","items":{"type":"integer"}}}`, `{"type":"array","items":false}`}},
		{"objects", []string{`{"properties":{"a":{"type":"integer"}}}`, `{"properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"required":["a"]}`, `{"type":"object","required":["a","b"]}`, `{"type":"object","additionalProperties":{"type":"integer"}}`, `{"properties":{"a":{"type":"string"}},"additionalProperties":{"type":"integer"}}`, `{"properties":{"a":true},"additionalProperties":false}`, `{"properties":{"a":{"minimum":3,"type":"integer"}},"required":["a"],"additionalProperties":false}`, `{"type":"object","propertyNames":{"type":"string"}}`}},
		{"anyOf", []string{`{"anyOf":[{"type":"integer"},{"type":"string","minLength":2}]}`, `{"type":"object","properties":{"a":{"type":"integer"}},"anyOf":[{"required":["a"]},{"properties":{"b":{"type":"integer"}},"required":["b"]}]}`}},
		{"allOf", []string{`{"allOf":[{"type":"integer","minimum":1},{"maximum":3}]}`, `{"allOf":[{"properties":{"a":{"type":"integer"}},"required":["a"],"type":"object"},{"properties":{"a":{"minimum":3}}}]}`, `{"type":"string","allOf":[{"minLength":2},{"minLength":3,"maxLength":4}]}`, `{"allOf":[{"enum":[1,2,"a"]},{"enum":["a",2]}]}`, `{"type":"array","allOf":[{"items":{"type":"integer"}},{"items":{"maximum":2}}]}`}},
		{"$ref", []string{`{"$ref":"#/$defs/n","$defs":{"n":{"type":"integer","minimum":2}}}`, `{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#"}}},"required":["kids"],"additionalProperties":false}`, `{"$defs":{"a/b":{"type":"null"}},"$ref":"#/$defs/a~1b"}`, `{"properties":{"a":{"$ref":"#/$defs/p","description":"d"}},"$defs":{"p":{"type":"integer","exclusiveMinimum":0}}}`}},
	}
}
