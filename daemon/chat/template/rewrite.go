package template

import (
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// rewrite makes a template minijinja's own: a.b.strip('x') becomes python_call(a.b, 'strip', 'x'), because minijinja
// knows methods of objects only, and what a statement assigns or a macro is given is checked against the bounds, so
// that no loop or recursion can grow a text without end. All else, line numbers included, stays as it is.
func rewrite(source string) (string, error) {
	if len(source) > maxSource {
		return "", core.Errorf(core.CodeUnsupported, "the model's chat template is larger than %d bytes", maxSource)
	}
	var out strings.Builder
	for tags := 0; ; tags++ {
		if tags > maxTags {
			return "", core.Errorf(core.CodeUnsupported, "the model's chat template has more than %d tags", maxTags)
		}
		start, kind := nextTag(source)
		if start < 0 {
			out.WriteString(source)
			return out.String(), nil
		}
		out.WriteString(source[:start])
		source = source[start:]
		if kind == '#' {
			comment := comment(source)
			out.WriteString(comment)
			source = source[len(comment):]
			continue
		}
		r := rewriter{rest: source[2:], end: "}}"}
		if kind == '%' {
			r.end = "%}"
		}
		inside := r.run("")
		if r.err != nil {
			return "", r.err
		}
		out.WriteString(source[:2])
		source = r.rest
		if kind == '%' {
			closing := r.take(strings.Index(r.rest, "%}") + 2)
			if inside, r.err = statement(inside, closing); r.err != nil {
				return "", r.err
			}
			source = r.rest
		}
		out.WriteString(inside)
	}
}

// comment is the comment that s starts with.
func comment(s string) string {
	if end := strings.Index(s, "#}"); end >= 0 {
		return s[:end+2]
	}
	return s
}

// statement adds the checks to a statement's inside and gives it with its closing bracket.
func statement(inside, closing string) (string, error) {
	lead := inside[:len(inside)-len(strings.TrimLeft(inside, "-+ \t\r\n"))]
	body := inside[len(lead):]
	switch word := identifier(body); word {
	case "generation": // marks what a model is trained on; it renders as its content
		return lead + "if true " + closing, nil
	case "endgeneration":
		return lead + "endif " + closing, nil
	case "set":
		target, expression, assigns := strings.Cut(body, "=")
		switch {
		case assigns && !strings.ContainsAny(target, ",("):
			check := boundFunction
			if strings.Contains(target, ".") {
				check = memberFunction
			}
			return lead + target + "= " + check + "(" + strings.TrimSpace(expression) + ") " + closing, nil
		case assigns && strings.Contains(target, "."):
			return "", core.Errorf(core.CodeUnsupported, "the model's chat template assigns several names of a namespace at once")
		}
	case "macro":
		if names := parameters(body); names != "" {
			return lead + body + "%}{% if " + checkFunction + "(" + names + ") %}{% endif " + closing, nil
		}
	}
	return inside + closing, nil
}

// parameters lists the names of a macro's parameters, with commas between.
func parameters(macro string) string {
	_, list, _ := strings.Cut(macro, "(")
	var names []string
	depth := 0
	expect := true
	for list != "" {
		if expect {
			list = strings.TrimLeft(list, " \t\r\n")
			if name := identifier(list); name != "" {
				names = append(names, name)
			}
			expect = false
			continue
		}
		switch c := list[0]; c {
		case '\'', '"':
			list = list[quoted(list)-1:]
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case ',':
			expect = depth == 0
		}
		if depth < 0 {
			break
		}
		list = list[1:]
	}
	return strings.Join(names, ", ")
}

// nextTag finds {{, {% or {# and returns its place and second character.
func nextTag(s string) (int, byte) {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '{' && (s[i+1] == '{' || s[i+1] == '%' || s[i+1] == '#') {
			return i, s[i+1]
		}
	}
	return -1, 0
}

// rewriter walks over the inside of one tag.
type rewriter struct {
	rest  string
	end   string // "}}" or "%}"
	depth int
	joins int // + and ~ so far
	err   error
}

// keywords are words after which a bracket starts a new expression rather than a call or an index.
var keywords = []string{"and", "or", "not", "in", "is", "if", "else", "elif", "for", "set", "call", "filter", "recursive", "import", "macro"}

// run rewrites up to the closing bracket, or to the end of the tag if closing is empty, which it leaves in rest.
func (r *rewriter) run(closing string) string {
	var out strings.Builder
	for r.rest != "" && !r.at(closing) {
		if r.depth > maxDepth {
			r.err = core.Errorf(core.CodeUnsupported, "the model's chat template is nested deeper than %d", maxDepth)
		}
		if r.err != nil {
			break
		}
		out.WriteString(r.chain())
	}
	return out.String()
}

func (r *rewriter) at(closing string) bool {
	if closing != "" {
		return strings.HasPrefix(r.rest, closing)
	}
	return r.depth == 0 && (strings.HasPrefix(r.rest, r.end) || strings.HasPrefix(r.rest, "-"+r.end) || strings.HasPrefix(r.rest, "+"+r.end))
}

// chain takes one operand with all that is called on, picked from or looked up in it, or else one other character.
func (r *rewriter) chain() string {
	operand, word := r.operand()
	if operand == "" {
		return r.operator()
	}
	if slices.Contains(keywords, word) {
		return operand
	}
	for {
		space := r.rest[:len(r.rest)-len(strings.TrimLeft(r.rest, " \t\r\n"))]
		next := r.rest[len(space):]
		switch {
		case strings.HasPrefix(next, "(") || strings.HasPrefix(next, "["):
			r.take(len(space))
			operand += space + r.group()
		case strings.HasPrefix(next, "."):
			name := identifier(strings.TrimLeft(next[1:], " \t\r\n"))
			if name == "" {
				return operand
			}
			r.take(len(space) + strings.Index(next, name) + len(name))
			if isMethod(name) && strings.HasPrefix(r.rest, "(") {
				arguments := strings.TrimPrefix(r.group(), "(")
				if strings.TrimSpace(arguments) != ")" {
					arguments = ", " + arguments
				}
				operand = space + methodFunction + "(" + operand + ", '" + name + "'" + arguments
				continue
			}
			operand += space + "." + name
		default:
			return operand
		}
	}
}

// maxJoins bounds how often one tag may put texts together.
const maxJoins = 256

// operator takes one character that belongs to no operand. Repeating a text or list is refused: it grows without end,
// and no model's template is known to need it.
func (r *rewriter) operator() string {
	c := r.take(1)
	switch c {
	case "+", "~":
		if r.joins++; r.joins > maxJoins {
			r.err = core.Errorf(core.CodeUnsupported, "the model's chat template joins more than %d texts at once", maxJoins)
		}
	case "*":
		r.err = core.Errorf(core.CodeUnsupported, "the model's chat template multiplies, which Shoal does not let templates do")
	}
	return c
}

// operand takes a word, a string or a bracketed expression. word is set for a word.
func (r *rewriter) operand() (text, word string) {
	switch c := r.rest[0]; {
	case c == '\'' || c == '"':
		return r.take(quoted(r.rest)), ""
	case c == '(' || c == '[' || c == '{':
		return r.group(), ""
	}
	word = identifier(r.rest)
	return r.take(len(word)), word
}

// group takes a bracket, what is in it, rewritten, and its partner.
func (r *rewriter) group() string {
	partner := map[byte]string{'(': ")", '[': "]", '{': "}"}[r.rest[0]]
	open := r.take(1)
	r.depth++
	inside := r.run(partner)
	r.depth--
	return open + inside + r.take(len(partner))
}

func (r *rewriter) take(n int) string {
	n = min(n, len(r.rest))
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

// identifier is the word or number that s starts with.
func identifier(s string) string {
	i := 0
	for i < len(s) && (s[i] == '_' || s[i] >= '0' && s[i] <= '9' || s[i]|32 >= 'a' && s[i]|32 <= 'z' || s[i] >= 0x80) {
		i++
	}
	return s[:i]
}

// quoted is the length of the string literal that s starts with.
func quoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i + 1
		}
	}
	return len(s)
}
