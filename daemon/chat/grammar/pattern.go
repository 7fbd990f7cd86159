package grammar

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// pattern turns a regular expression into a term for the inside of a JSON string. As in JSON schema it may match
// anywhere unless it starts with ^ and ends with $.
func (c *rules) pattern(p string) (string, error) {
	re, err := syntax.Parse(p, syntax.Perl)
	if err != nil {
		return "", unsupported("pattern: " + quoted(p, maxQuote))
	}
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		parts = re.Sub
	}
	before, after := c.shared("char")+"* ", " "+c.shared("char")+"*"
	if len(parts) > 0 && (parts[0].Op == syntax.OpBeginText || parts[0].Op == syntax.OpBeginLine) {
		before, parts = "", parts[1:]
	}
	if n := len(parts); n > 0 && (parts[n-1].Op == syntax.OpEndText || parts[n-1].Op == syntax.OpEndLine) {
		after, parts = "", parts[:n-1]
	}
	var terms []string
	for _, part := range parts {
		t, err := c.regexp(part, 0)
		if err != nil {
			return "", err
		}
		terms = append(terms, t)
	}
	return before + "(" + strings.Join(append(terms, `""`), " ") + ")" + after, nil
}

func (c *rules) regexp(re *syntax.Regexp, depth int) (string, error) {
	if depth > maxNesting {
		return "", invalid("nested too deeply")
	}
	if _, err := c.sized("        "); err != nil { // brackets and what repeats
		return "", err
	}
	switch re.Op {
	case syntax.OpEmptyMatch:
		return `""`, nil
	case syntax.OpLiteral:
		return c.sized(literalRunes(re))
	case syntax.OpCharClass:
		if len(re.Rune) == 0 {
			return "", invalid("a pattern matches nothing")
		}
		return c.sized(class(re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return c.shared("char"), nil
	case syntax.OpCapture:
		return c.regexp(re.Sub[0], depth+1)
	case syntax.OpConcat, syntax.OpAlternate:
		sep := " "
		if re.Op == syntax.OpAlternate {
			sep = " | "
		}
		var terms []string
		for _, sub := range re.Sub {
			t, err := c.regexp(sub, depth+1)
			if err != nil {
				return "", err
			}
			terms = append(terms, t)
		}
		return "(" + strings.Join(terms, sep) + ")", nil
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		if nullable(re.Sub[0]) && re.Op != syntax.OpQuest {
			return "", unsupported("pattern: " + quoted(re.String(), maxQuote)) // llama.cpp would not come out of it
		}
		t, err := c.regexp(re.Sub[0], depth+1)
		if err != nil {
			return "", err
		}
		low, high := map[syntax.Op]int{syntax.OpPlus: 1, syntax.OpRepeat: re.Min}[re.Op], -1
		switch re.Op {
		case syntax.OpQuest:
			high = 1
		case syntax.OpRepeat:
			high = re.Max
		}
		return repeat("("+t+")", low, high), nil
	case syntax.OpNoMatch:
		return "", invalid("a pattern matches nothing")
	}
	return "", unsupported("pattern: " + quoted(re.String(), maxQuote))
}

// sized counts a term before it becomes part of a rule: three letters of a pattern may stand for thousands of ranges.
func (c *rules) sized(term string) (string, error) {
	if c.size += len(term); c.size > maxGrammar {
		return "", invalid("the grammar made of it has more than %d bytes", maxGrammar)
	}
	return term, nil
}

// nullable tells whether re matches nothing at all.
func nullable(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpStar, syntax.OpQuest:
		return true
	case syntax.OpRepeat:
		return re.Min == 0 || nullable(re.Sub[0])
	case syntax.OpCapture, syntax.OpPlus:
		return nullable(re.Sub[0])
	case syntax.OpConcat:
		return !slices.ContainsFunc(re.Sub, func(s *syntax.Regexp) bool { return !nullable(s) })
	case syntax.OpAlternate:
		return slices.ContainsFunc(re.Sub, nullable)
	}
	return false
}

// literalRunes is plain text, in either case with the flag (?i).
func literalRunes(re *syntax.Regexp) string {
	var terms []string
	for _, r := range re.Rune {
		set := []rune{r, r}
		if re.Flags&syntax.FoldCase != 0 {
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				set = append(set, f, f)
			}
		}
		terms = append(terms, class(set))
	}
	return "(" + strings.Join(append(terms, `""`), " ") + ")"
}

// class is one character out of pairs of first and last, as it stands in a JSON string.
func class(pairs []rune) string {
	var plain strings.Builder
	var terms []string
	for pair := range slices.Chunk(pairs, 2) {
		from, to := pair[0], pair[1]
		for r := from; r <= to && r <= 0x7f; r++ { // the few that need an escape come one by one
			switch {
			case r == '"' || r == '\\':
				terms = append(terms, quote(`\`+string(r)))
			case r < ' ' || r == 0x7f:
				terms = append(terms, quote(fmt.Sprintf(`\u%04x`, r)))
				if short := strings.IndexRune("\b\f\n\r\t", r); short >= 0 {
					terms = append(terms, quote(`\`+"bfnrt"[short:short+1]))
				}
			default:
				plain.WriteString(classRune(r))
			}
		}
		if to > 0x7f {
			plain.WriteString(classRune(max(from, 0x80)) + "-" + classRune(to))
		}
	}
	if plain.Len() > 0 {
		terms = append(terms, "["+plain.String()+"]")
	}
	return "(" + strings.Join(terms, " | ") + ")"
}

// classRune writes a character for the inside of [ ].
func classRune(r rune) string {
	switch {
	case r < ' ' || r == 0x7f || r == '-' || r == '^' || r == ']' || r == '[' || r == '\\' || r == '"':
		return fmt.Sprintf(`\x%02X`, r)
	case r < 0x7f:
		return string(r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04X`, r)
	}
	return fmt.Sprintf(`\U%08X`, r)
}
