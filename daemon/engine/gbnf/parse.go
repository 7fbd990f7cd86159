package gbnf

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// grammar is one whose brackets and repetitions are rules of their own.
type grammar struct {
	rules     []rule
	terminals []terminal
	root      int
	order     []int   // rules that can be reached from the root, each after those that it names, but for recursion
	callers   [][]int // by the number of the rule that they name
	work      int     // elements that were looked at
}

// rule is a list of alternatives, each a list of elements.
type rule struct {
	alternatives [][]element
	empty        bool // it can read nothing
	defined      bool
}

// element is the number of a rule, or the complement of that of a terminal.
type element int32

func (e element) terminal() (int, bool) { return int(^e), e < 0 }

// terminal is a literal, or a set of characters.
type terminal struct {
	literal []rune
	set     bool
	negated bool
	ranges  [][2]rune
}

func (t *terminal) has(c rune) bool {
	for _, r := range t.ranges {
		if c >= r[0] && c <= r[1] {
			return !t.negated
		}
	}
	return t.negated
}

// size is how many elements llama.cpp keeps of it.
func (t *terminal) size() int {
	if t.set {
		return 2*len(t.ranges) + 1
	}
	return len(t.literal)
}

type parser struct {
	grammar
	rest  string
	names map[string]int
	known map[string]int // terminals, by how they are written
	size  int
}

// parse reads a grammar. What follows the last rule that can be read is an error, as it is for llama.cpp.
func parse(text string) (*grammar, error) {
	p := &parser{rest: text, names: map[string]int{}, known: map[string]int{}}
	p.space(true)
	for p.rest != "" {
		if err := p.rule(); err != nil {
			return nil, err
		}
	}
	for name, i := range p.names {
		if !p.rules[i].defined {
			return nil, refuse("names a rule %s that it does not have", clip(name))
		}
	}
	root, ok := p.names["root"]
	if !ok {
		return nil, refuse("has no rule root")
	}
	p.root = root
	return &p.grammar, nil
}

// clip quotes a text of the grammar for an error.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strconv.Quote(s)
}

// space skips blanks and comments, and line ends where they mean nothing.
func (p *parser) space(lines bool) {
	for p.rest != "" {
		switch c := p.rest[0]; {
		case c == ' ' || c == '\t' || lines && (c == '\n' || c == '\r'):
			p.rest = p.rest[1:]
		case c == '#':
			if end := strings.IndexAny(p.rest, "\r\n"); end >= 0 {
				p.rest = p.rest[end:]
			} else {
				p.rest = ""
			}
		default:
			return
		}
	}
}

func (p *parser) word() string {
	n := 0
	for n < len(p.rest) {
		c := p.rest[n]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			break
		}
		n++
	}
	word := p.rest[:n]
	p.rest = p.rest[n:]
	return word
}

func (p *parser) newRule() (int, error) {
	if len(p.rules) == maxParts {
		return 0, refuse("has more than %d rules, brackets and repetitions", maxParts)
	}
	p.rules = append(p.rules, rule{})
	return len(p.rules) - 1, nil
}

func (p *parser) named(name string) (i int, err error) {
	i, ok := p.names[name]
	if !ok {
		i, err = p.newRule()
		p.names[name] = i
	}
	return i, err
}

func (p *parser) rule() error {
	name := p.word()
	if name == "" {
		return refuse("has no name of a rule at %s", clip(p.rest))
	}
	i, err := p.named(name)
	if err != nil {
		return err
	}
	p.space(false)
	after, ok := strings.CutPrefix(p.rest, "::=")
	if !ok {
		return refuse("has no ::= after %s", clip(name))
	}
	p.rest = after
	p.space(true)
	alternatives, err := p.alternatives(0)
	if err != nil {
		return err
	}
	if p.rest != "" && p.rest[0] != '\n' && p.rest[0] != '\r' {
		return refuse("is not understood at %s", clip(p.rest))
	}
	p.rules[i] = rule{alternatives: alternatives, defined: true} // the last of several counts
	p.space(true)
	return nil
}

func (p *parser) alternatives(depth int) (list [][]element, err error) {
	for {
		one, err := p.sequence(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
		if !strings.HasPrefix(p.rest, "|") {
			return list, nil
		}
		p.rest = p.rest[1:]
		p.space(true)
	}
}

// sequence reads elements up to the end of an alternative.
func (p *parser) sequence(depth int) (list []element, err error) {
	last := 0 // size of the element that a repetition would be of
	for p.rest != "" {
		before := p.size
		switch c := p.rest[0]; {
		case c == '*' || c == '+' || c == '?' || c == '{':
			if len(list) == 0 {
				return nil, refuse("repeats nothing at %s", clip(p.rest))
			}
			if list, err = p.repeat(list, last); err != nil {
				return nil, err
			}
		default:
			e, ok, err := p.element(depth)
			if err != nil || !ok {
				return list, err
			}
			list = append(list, e)
			last = p.size - before
		}
		if p.size > maxSize {
			return nil, refuse("has more than %d elements once its repetitions are written out", maxSize)
		}
		p.space(depth > 0)
	}
	return list, nil
}

// element reads one; it is not ok at what ends a sequence.
func (p *parser) element(depth int) (e element, ok bool, err error) {
	begin := p.rest
	switch c := p.rest[0]; {
	case c == '"':
		t, err := p.literal()
		return p.terminal(begin, t), true, err
	case c == '[':
		t, err := p.set()
		return p.terminal(begin, t), true, err
	case c == '.':
		p.rest = p.rest[1:]
		return p.terminal(begin, terminal{set: true, negated: true}), true, nil
	case c == '<' || strings.HasPrefix(p.rest, "!<"): // a token by its name or number
		_, after, ok := strings.Cut(p.rest, ">")
		if !ok {
			return 0, false, refuse("does not close the name of a token")
		}
		p.rest = after
		return p.terminal(begin, terminal{set: true}), true, nil
	case c == '(':
		e, err := p.bracket(depth + 1)
		return e, true, err
	}
	name := p.word()
	if name == "" {
		return 0, false, nil
	}
	i, err := p.named(name)
	p.size++
	return element(i), true, err
}

// terminal keeps one under how it is written in the text before the rest.
func (p *parser) terminal(begin string, t terminal) element {
	p.size += t.size()
	written := begin[:len(begin)-len(p.rest)]
	i, ok := p.known[written]
	if !ok {
		i = len(p.terminals)
		p.terminals = append(p.terminals, t)
		p.known[written] = i
	}
	return element(^i)
}

func (p *parser) bracket(depth int) (element, error) {
	if depth > maxNested {
		return 0, refuse("nests more than %d brackets", maxNested)
	}
	i, err := p.newRule()
	if err != nil {
		return 0, err
	}
	p.rest = p.rest[1:]
	p.space(true)
	list, err := p.alternatives(depth)
	if err != nil {
		return 0, err
	}
	if !strings.HasPrefix(p.rest, ")") {
		return 0, refuse("does not close a bracket at %s", clip(p.rest))
	}
	p.rest = p.rest[1:]
	p.rules[i] = rule{alternatives: list, defined: true}
	p.size++
	return element(i), nil
}

// repeat applies a repetition to the last element of a list.
func (p *parser) repeat(list []element, size int) ([]element, error) {
	least, most, err := p.counts()
	if err != nil {
		return nil, err
	}
	p.size += size * max(least-1, most-1, 0)
	x := list[len(list)-1]
	list = list[:len(list)-1]
	// What is beyond the longest text that is counted makes no difference to the count.
	for range min(least, longest+1) {
		list = append(list, x)
	}
	if most < 0 {
		i, err := p.newRule()
		if err != nil {
			return nil, err
		}
		p.rules[i] = rule{alternatives: [][]element{{x, element(i)}, {}}, defined: true}
		return append(list, element(i)), nil
	}
	var rest []element
	for range min(most-least, longest+1) {
		i, err := p.newRule()
		if err != nil {
			return nil, err
		}
		p.rules[i] = rule{alternatives: [][]element{append([]element{x}, rest...), {}}, defined: true}
		rest = []element{element(i)}
	}
	return append(list, rest...), nil
}

// counts reads *, +, ?, {n}, {n,} or {n,m}; most is -1 if there is no bound.
func (p *parser) counts() (least, most int, err error) {
	c := p.rest[0]
	p.rest = p.rest[1:]
	switch c {
	case '*':
		return 0, -1, nil
	case '+':
		return 1, -1, nil
	case '?':
		return 0, 1, nil
	}
	inside, after, ok := strings.Cut(p.rest, "}")
	low, high, pair := strings.Cut(inside, ",")
	if least, err = strconv.Atoi(strings.TrimSpace(low)); !ok || err != nil || least < 0 {
		return 0, 0, refuse("has no number of repeats at %s", clip(p.rest))
	}
	most = least
	if high = strings.TrimSpace(high); pair && high == "" {
		most = -1
	} else if pair {
		if most, err = strconv.Atoi(high); err != nil || most < least {
			return 0, 0, refuse("has no number of repeats at %s", clip(p.rest))
		}
	}
	if max(least, most) > maxRepeat {
		return 0, 0, refuse("repeats something %d times, most are %d", max(least, most), maxRepeat)
	}
	p.rest = after
	return least, most, nil
}

func (p *parser) literal() (t terminal, err error) {
	p.rest = p.rest[1:]
	for {
		switch {
		case p.rest == "":
			return t, refuse("does not close a quote")
		case p.rest[0] == '"':
			p.rest = p.rest[1:]
			return t, nil
		}
		c, err := p.char()
		if err != nil {
			return t, err
		}
		t.literal = append(t.literal, c)
	}
}

func (p *parser) set() (t terminal, err error) {
	t.set = true
	p.rest = p.rest[1:]
	p.rest, t.negated = strings.CutPrefix(p.rest, "^")
	for {
		switch {
		case p.rest == "":
			return t, refuse("does not close a set of characters")
		case p.rest[0] == ']':
			p.rest = p.rest[1:]
			return t, nil
		}
		low, err := p.char()
		if err != nil {
			return t, err
		}
		high := low
		if len(p.rest) > 1 && p.rest[0] == '-' && p.rest[1] != ']' {
			p.rest = p.rest[1:]
			if high, err = p.char(); err != nil {
				return t, err
			}
		}
		t.ranges = append(t.ranges, [2]rune{low, high})
	}
}

// char reads one character, which may be escaped.
func (p *parser) char() (rune, error) {
	if p.rest[0] != '\\' {
		c, n := utf8.DecodeRuneInString(p.rest)
		p.rest = p.rest[n:]
		return c, nil
	}
	if len(p.rest) < 2 {
		return 0, refuse("ends in an escape")
	}
	c := p.rest[1]
	p.rest = p.rest[2:]
	switch c {
	case 'x':
		return p.hex(2)
	case 'u':
		return p.hex(4)
	case 'U':
		return p.hex(8)
	case 't':
		return '\t', nil
	case 'r':
		return '\r', nil
	case 'n':
		return '\n', nil
	case '\\', '"', '[', ']', '-', '^', '\'', '/':
		return rune(c), nil
	}
	return 0, refuse("has an unknown escape %s", clip("\\"+string(rune(c))))
}

func (p *parser) hex(digits int) (rune, error) {
	if len(p.rest) < digits {
		return 0, refuse("ends in an escape")
	}
	v, err := strconv.ParseUint(p.rest[:digits], 16, 32)
	if err != nil || v > 1<<31-1 {
		return 0, refuse("has no number in hexadecimal at %s", clip(p.rest))
	}
	p.rest = p.rest[digits:]
	return rune(v), nil
}
