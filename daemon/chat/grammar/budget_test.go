package grammar_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/chat/grammar"
	"github.com/shoal-p2p/shoal/daemon/chat/reply"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// doubled is a schema that merges twice as much with every definition.
func doubled(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"type":"object","$ref":"#/$defs/d%d","$defs":{"d0":{"type":"object","properties":{"z":{}}}`, n)
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, `,"d%d":{"allOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]}`, i, i-1, i-1)
	}
	return b.String() + "}}"
}

// F3: a schema of 2 KB that merges for ever, as the format of a reply and as what a tool takes.
func TestWorkOfASchemaIsBounded(t *testing.T) {
	if _, err := grammar.Schema(t.Context(), []byte(doubled(6)), grammar.Options{}); err != nil {
		t.Errorf("a modest schema: %v", err)
	}
	// 65,536 merges: a second or two without a bound
	if _, err := grammar.Schema(t.Context(), []byte(doubled(16)), grammar.Options{}); core.CodeOf(err) != core.CodeInvalidRequest || !strings.Contains(err.Error(), "work") {
		t.Errorf("doubled: %v", err)
	}
	tools := []core.Tool{{Name: "ok"}, {Name: "bomb", Parameters: json.RawMessage(doubled(16))}}
	_, err := grammar.ToolCalls(t.Context(), reply.Hermes, tools, "", grammar.Options{})
	if core.CodeOf(err) != core.CodeInvalidRequest || !strings.Contains(err.Error(), "tool bomb: ") {
		t.Errorf("a tool: %v", err)
	}
	many := make([]core.Tool, 100) // all tools of a request share the budget
	for i := range many {
		many[i] = core.Tool{Name: fmt.Sprint("t", i), Parameters: json.RawMessage(doubled(10))}
	}
	if _, err := grammar.Either(t.Context(), reply.Hermes, many, nil, grammar.Options{}); err == nil || !strings.Contains(err.Error(), "work") {
		t.Errorf("many tools: %v", err)
	}
}

func TestSchemaEndsWithItsClient(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := grammar.Schema(ctx, []byte(doubled(16)), grammar.Options{}); core.CodeOf(err) != core.CodeCancelled {
		t.Errorf("got %v", err)
	}
}

// Whoever has a schema of a thousand lines learns where the fault is, in one short sentence.
func TestErrorsNameThePlace(t *testing.T) {
	long := strings.Repeat("(?=x)", 2000)
	for schema, want := range map[string]string{
		`{"type":"object","properties":{"a":{"type":"array","items":{"properties":{"b":{"multipleOf":0.5,"type":"number"}}}}}}`: `JSON schema: a[].b: "multipleOf" is not supported here`,
		`{"anyOf":[{"type":"null"},{"properties":{"v":{"not":{}}}}]}`:                                                           `JSON schema: v: "not" is not supported here`,
		`{"properties":{"v":{"pattern":"` + long + `"}}}`:                                                                       `JSON schema: v: "pattern: (?=x)`,
		`{"properties":{"` + long + `":{"not":{}}}}`:                                                                            `JSON schema: (?=x)`,
		`{"$ref":"#/` + long + `"}`:                                                                                             `JSON schema: there is nothing at`,
		`{"type":"` + long + `"}`:                                                                                               `JSON schema: there is no type`,
		`{"required":["` + long + `"],"additionalProperties":false}`:                                                            `JSON schema: "(?=x)`,
	} {
		_, err := grammar.Schema(t.Context(), []byte(schema), grammar.Options{})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.80s: %.200v\nwant %s…", schema, err, want)
		}
		if err != nil && len(err.Error()) > 450 {
			t.Errorf("%.80s: %d bytes of error", schema, len(err.Error()))
		}
	}
}

// Rules grow with what a schema repeats, in number or in a pattern; what is made of them is bounded.
func TestSizeOfAGrammarIsBounded(t *testing.T) {
	var properties []string
	for i := range 2500 {
		properties = append(properties, fmt.Sprintf(`"property%d":{"type":"integer","minimum":%d,"maximum":98765432123456}`, i, i+2))
	}
	for name, schema := range map[string]string{
		"properties": `{"properties":{` + strings.Join(properties, ",") + `}}`,
		"pattern":    `{"type":"string","pattern":"` + strings.Repeat("a?", 70_000) + `"}`,
		"classes":    `{"type":"string","pattern":"` + strings.Repeat(`[\\pL]?`, 8000) + `"}`,
	} {
		before := allocated()
		if _, err := grammar.Schema(t.Context(), []byte(schema), grammar.Options{}); core.CodeOf(err) != core.CodeInvalidRequest || !strings.Contains(err.Error(), "grammar made of it") {
			t.Errorf("%s: got %v", name, err)
		}
		if made := allocated() - before; made > 150<<20 {
			t.Errorf("%s: %d MiB were made", name, made>>20)
		}
	}
}

// allocated is what this process has put on its heap so far, in bytes.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
