package template

import (
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// rewrite makes a template minijinja's own: a.b.strip('x') becomes python_call(a.b, 'strip', 'x'), because minijinja
// knows methods of objects only. All else, line numbers included, stays as it is. It takes time in proportion to the
// template's length.
func rewrite(source string) (string, error) {
	if len(source) > maxSource {
		return "", core.Errorf(core.CodeUnsupported, "the model's chat template is larger than %d bytes", maxSource)
	}
	changed := changedNames(source)
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
		r := rewriter{rest: source[2:], end: "}}", changed: changed}
		target, assigns := "", false
		if kind == '%' {
			r.end = "%}"
			target, assigns = r.target()
		}
		inside := r.run("")
		if assigns {
			inside = " " + listFunction + "(" + strings.TrimSpace(inside) + ") "
		}
		inside = target + inside
		if r.err != nil {
			return "", r.err
		}
		out.WriteString(source[:2])
		source = r.rest
		if kind == '%' {
			inside = statement(inside)
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

// statement replaces what minijinja has not: generation marks what a model is trained on, and renders as its content.
func statement(inside string) string {
	lead := inside[:len(inside)-len(strings.TrimLeft(inside, "-+ \t\r\n"))]
	body := inside[len(lead):]
	switch identifier(body) {
	case "generation":
		return lead + "if true "
	case "endgeneration":
		return lead + "endif "
	}
	return inside
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
	last  string // the operator in front of what comes now

	changed map[string]bool // names of lists that the template changes
	err     error
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
		operand := r.chain()
		for strings.TrimSpace(operand) != "" && r.rem() {
			right := r.chain()
			for right != "" && strings.TrimSpace(right) == "" && r.rest != "" && !r.at(closing) {
				right = r.chain()
			}
			operand = remFunction + "(" + operand + ", " + right + r.filters() + ")"
		}
		out.WriteString(operand)
		if word := strings.TrimSpace(operand); word != "" {
			r.last = word
		}
	}
	return out.String()
}

// rem takes the operator % if it comes now and belongs to what is in front of it alone.
func (r *rewriter) rem() bool {
	next := strings.TrimLeft(r.rest, " \t\r\n")
	if !strings.HasPrefix(next, "%") || strings.HasPrefix(next, "%}") || slices.Contains([]string{"*", "/", "%", "|"}, r.last) {
		return false
	}
	r.rest = next[1:]
	return true
}

// filters takes the filters that come now.
func (r *rewriter) filters() string {
	var out strings.Builder
	for {
		next := strings.TrimLeft(r.rest, " \t\r\n")
		if !strings.HasPrefix(next, "|") {
			return out.String()
		}
		r.rest = strings.TrimLeft(next[1:], " \t\r\n")
		out.WriteString(" | " + r.chain())
	}
}

// target takes what a statement names but does not read, which stays as it is: the names that set, for and macro
// give. assigns tells that the one name of a set is a list that the template changes.
func (r *rewriter) target() (text string, assigns bool) {
	if len(r.changed) == 0 {
		return "", false
	}
	lead := len(r.rest) - len(strings.TrimLeft(r.rest, "-+ \t\r\n"))
	body := r.rest[lead:]
	end := strings.Index(body, "%}")
	if end < 0 {
		return "", false
	}
	switch word := identifier(body); word {
	case "set":
		if i := strings.Index(body[:end], "="); i >= 0 {
			name := strings.TrimSpace(body[len(word):i])
			name = name[strings.LastIndex(name, ".")+1:]
			return r.take(lead + i + 1), r.changed[name]
		}
	case "for":
		if i := strings.Index(body[:end], " in "); i >= 0 {
			return r.take(lead + i + len(" in ")), false
		}
	case "macro", "call", "endset", "block", "import", "from":
		return r.take(lead + strings.LastIndexFunc(body[:end], func(c rune) bool { return c != '-' && c != '+' }) + 1), false
	}
	return "", false
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
		return r.take(1)
	}
	if slices.Contains(keywords, word) {
		return operand
	}
	var before []string // calls around what was taken so far, the innermost first
	var links strings.Builder
	links.WriteString(operand)
	if r.reads(word) {
		before = append(before, itemsFunction+"(")
		links.WriteString(")")
	}
	for {
		space := r.rest[:len(r.rest)-len(strings.TrimLeft(r.rest, " \t\r\n"))]
		next := r.rest[len(space):]
		switch {
		case strings.HasPrefix(next, "["):
			r.take(len(space))
			group := r.group()
			links.WriteString(space + group)
			if strings.Contains(group, ":") {
				before = append(before, sliceFunction+"(")
				links.WriteString(")")
			}
			continue
		case strings.HasPrefix(next, "("):
			r.take(len(space))
			links.WriteString(space + r.group())
			continue
		case strings.HasPrefix(next, "."):
			name := identifier(strings.TrimLeft(next[1:], " \t\r\n"))
			if name == "" {
				break
			}
			r.take(len(space) + strings.Index(next, name) + len(name))
			if !isMethod(name) || !strings.HasPrefix(r.rest, "(") {
				links.WriteString(space + "." + name)
				if r.reads(name) {
					before = append(before, itemsFunction+"(")
					links.WriteString(")")
				}
				continue
			}
			arguments := strings.TrimPrefix(r.group(), "(")
			if strings.TrimSpace(arguments) != ")" {
				arguments = ", " + arguments
			}
			before = append(before, space+methodFunction+"(")
			links.WriteString(", '" + name + "'" + arguments)
			continue
		}
		slices.Reverse(before)
		return strings.Join(before, "") + links.String()
	}
}

// reads tells whether a name that was just taken is a list that the template changes, and is not changed here.
func (r *rewriter) reads(name string) bool {
	if !r.changed[name] {
		return false
	}
	next := strings.TrimLeft(r.rest, " \t\r\n")
	if strings.HasPrefix(next, "=") && !strings.HasPrefix(next, "==") { // the name of an argument
		return false
	}
	method := identifier(strings.TrimLeft(strings.TrimPrefix(next, "."), " "))
	return !strings.HasPrefix(next, ".") || !slices.Contains(changers, method)
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
