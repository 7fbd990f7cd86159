package gbnf_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/gbnf"
)

const object = `root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws # an object
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
`

func TestGoodGrammars(t *testing.T) {
	for name, text := range map[string]string{
		"JSON":               object,
		"a word":             `root ::= "yes" | "no"`,
		"chess":              "root ::= (\"1. \" move \" \" move \"\\n\" ([1-9] [0-9]? \". \" move \" \" move \"\\n\")+)\r\nmove ::= [NBKQR]? [a-h]? [1-8]? \"x\"? [a-h] [1-8] [+#]?\n",
		"over several lines": "root ::=\n  \"a\" |\n  (\n  \"b\"\n  \"c\")\n\n# end",
		"any characters":     `root ::= .* "\U0001F600" [^\n\u00e9-\u00ff]+`,
		"right recursion":    "root ::= item root | item\nitem ::= \"- \" [^\\n]+ \"\\n\"\n",
		"a list":             "root ::= (\"- \" [a-z ]+ \"\\n\"){1,2000}",
		"many words":         `root ::= "w0"` + join(4000, func(i int) string { return fmt.Sprintf(` | "w%d"`, i) }),
		"a long text":        `root ::= "` + strings.Repeat("a", 400<<10) + `"`,
		"many rules":         "root ::= r0\n" + join(20000, func(i int) string { return fmt.Sprintf("r%d ::= \"x\" r%d\n", i, i+1) }) + "r20000 ::= [a-z]*\n",
		"nested as deep":     `root ::= ` + strings.Repeat("(", 64) + `"a"` + strings.Repeat(")", 64),
		"four side by side":  "root ::= a a a a\na ::= [a-z ]*",
		"a token by name":    `root ::= <think> !<[7]>* "x"`,
		"no end":             `root ::= "a" root`,
	} {
		if err := gbnf.Check(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func join(n int, f func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(f(i))
	}
	return b.String()
}

// TestGrammarsThatCostTooMuch is a list of what crashed llama.cpp, or kept it busy for minutes, or would.
func TestGrammarsThatCostTooMuch(t *testing.T) {
	for name, text := range map[string]string{
		"brackets":                  `root ::= ` + strings.Repeat("(", 100_000) + `"a"` + strings.Repeat(")", 100_000),
		"one bracket too many":      `root ::= ` + strings.Repeat("(", 65) + `"a"` + strings.Repeat(")", 65),
		"repeats side by side":      "root ::= a a a a a a a a a a a a\na ::= [a-z ]*",
		"in the middle of a rule":   `root ::= "{" ([a-z ]* [0-9a-z]* [a-z]* .* [a-f]* [a-e]*) "}"`,
		"in rules of rules":         "root ::= \"{\" p q r \"}\"\np ::= \"1\" a a\nq ::= a a\nr ::= a a\na ::= [a-z]*",
		"a repeat of repeats":       `root ::= ([a-z]+)*`,
		"alternatives alike":        `root ::= ([a-z] | [a-f])* "."`,
		"texts alike":               `root ::= ("a" | "aa")*`,
		"nested optionals":          "root ::= \"[\" s \"]\"\ns ::= [a-z] s [a-z]* | \"\"",
		"alternatives":              `root ::= "w0"` + join(40_000, func(i int) string { return fmt.Sprintf(` | "w%d"`, i) }),
		"alternatives of rules":     "root ::= a b c\na ::= x | x | x | x | \"\"\nb ::= a a a a a\nc ::= b b b b b\nx ::= \"1\"",
		"optionals":                 "root ::= " + strings.Repeat(`("a" "b")? `, 5000),
		"repeats of a long text":    `root ::= ("` + strings.Repeat("a", 1000) + `"){2000}`,
		"repeats without end":       `root ::= "a"{2001}`,
		"repeats of repeats of one": `root ::= ((("a"{200}){200}){200})` + strings.Repeat(` "b"{2000}`, 600),
		"a rule of itself":          `root ::= root "a"`,
		"through what can be empty": "root ::= e root \"a\" | \"b\"\ne ::= \"\"",
		"repeat of what is empty":   `root ::= ("a"?)*`,
		"rules in a row":            "root ::= r0\n" + join(20000, func(i int) string { return fmt.Sprintf("r%d ::= r%d\n", i, i+1) }) + "r20000 ::= \"x\"\n",
		"rules without end":         "root ::= " + strings.Repeat(`("a")`, 70_000),
		"no root":                   `x ::= "root"`,
		"an unknown rule":           `root ::= x`,
		"an open quote":             `root ::= "a`,
		"an open set":               `root ::= [a-`,
		"an open bracket":           `root ::= ("a"`,
		"an open escape":            `root ::= "\`,
		"an unknown escape":         `root ::= "\q"`,
		"no number":                 `root ::= "\xzz"`,
		"repeat of nothing":         `root ::= *`,
		"repeats backwards":         `root ::= "a"{3,2}`,
		"no name":                   `::= "a"`,
		"too much":                  `root ::= "a")`,
		"bytes":                     `root ::= "` + strings.Repeat("a", 512<<10) + `"`,
	} {
		err := gbnf.Check(text)
		e, ok := errors.AsType[*core.Error](err)
		if !ok || e.Param != "grammar" || e.Code != core.CodeInvalidRequest && name != "bytes" || len(e.Msg) > 300 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, text := range []string{object, `root ::= ([a-z]+)*`, `root ::= "a"{2,} | .? [^\n]`, "root ::= x\nx ::= (\"a\" | x2)+ # c\nx2 ::= <t>"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := gbnf.Check(text); err != nil && core.CodeOf(err) != core.CodeInvalidRequest && core.CodeOf(err) != core.CodeTooLarge {
			t.Fatal(err)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	for name, text := range map[string]string{
		"JSON":      object,
		"words":     `root ::= "w0"` + join(4000, func(i int) string { return fmt.Sprintf(` | "w%d"`, i) }),
		"rules":     "root ::= r0\n" + join(16000, func(i int) string { return fmt.Sprintf("r%d ::= \"%c\" r%d\n", i, 'a'+i%26, i+1) }) + "r16000 ::= [a-z]*\n",
		"ambiguous": "root ::= a a a a a a a a a a a a\na ::= [a-z ]*",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_ = gbnf.Check(text)
			}
		})
	}
}
