package grammar_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// gbnf is a grammar read from its text, so that the tests see what llama.cpp will.
type gbnf struct {
	src   string
	pos   int
	rules map[string]node
}

// node returns every position at which a match that starts at pos may end.
type node func(m *matcher, pos int) []int

type matcher struct {
	g     *gbnf
	input string
	memo  map[string]map[int][]int
	busy  map[string]bool
}

func parseGBNF(t testing.TB, src string) *gbnf {
	t.Helper()
	g := &gbnf{src: src, rules: map[string]node{}}
	for line := range strings.Lines(src) {
		name, body, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ::= ")
		if !ok || strings.ContainsAny(name, " \"'()[]") {
			t.Fatalf("bad rule %q", line)
		}
		if g.rules[name] != nil {
			t.Fatalf("rule %q twice", name)
		}
		p := &gbnf{src: body, rules: g.rules}
		n, err := p.alternatives()
		if err == nil && p.pos != len(body) {
			err = fmt.Errorf("stopped at %q", body[p.pos:])
		}
		if err != nil {
			t.Fatalf("rule %q: %v", line, err)
		}
		g.rules[name] = n
	}
	if g.rules["root"] == nil {
		t.Fatal("no root")
	}
	return g
}

func (g *gbnf) matches(input string) bool {
	m := &matcher{g: g, input: input, memo: map[string]map[int][]int{}, busy: map[string]bool{}}
	return slices.Contains(m.rule("root", 0), len(input))
}

func (m *matcher) rule(name string, pos int) []int {
	if ends, ok := m.memo[name][pos]; ok {
		return ends
	}
	key := name + "@" + strconv.Itoa(pos)
	if m.busy[key] {
		panic("left recursion in rule " + name)
	}
	n := m.g.rules[name]
	if n == nil {
		panic("no rule " + name)
	}
	m.busy[key] = true
	ends := n(m, pos)
	delete(m.busy, key)
	if m.memo[name] == nil {
		m.memo[name] = map[int][]int{}
	}
	m.memo[name][pos] = ends
	return ends
}

func (g *gbnf) space() {
	for g.pos < len(g.src) && g.src[g.pos] == ' ' {
		g.pos++
	}
}

func (g *gbnf) alternatives() (node, error) {
	var all []node
	for {
		n, err := g.sequence()
		if err != nil {
			return nil, err
		}
		all = append(all, n)
		if g.pos == len(g.src) || g.src[g.pos] != '|' {
			break
		}
		g.pos++
	}
	return func(m *matcher, pos int) (ends []int) {
		for _, n := range all {
			ends = union(ends, n(m, pos))
		}
		return ends
	}, nil
}

func union(a, b []int) []int {
	for _, x := range b {
		if !slices.Contains(a, x) {
			a = append(a, x)
		}
	}
	return a
}

func (g *gbnf) sequence() (node, error) {
	var items []node
	for g.space(); g.pos < len(g.src) && g.src[g.pos] != '|' && g.src[g.pos] != ')'; g.space() {
		n, err := g.item()
		if err != nil {
			return nil, err
		}
		items = append(items, n)
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("empty sequence at %q", g.src[g.pos:])
	}
	return func(m *matcher, pos int) []int {
		at := []int{pos}
		for _, n := range items {
			var next []int
			for _, p := range at {
				next = union(next, n(m, p))
			}
			at = next
		}
		return at
	}, nil
}

func (g *gbnf) item() (node, error) {
	n, err := g.atom()
	if err != nil || g.pos == len(g.src) {
		return n, err
	}
	low, high := 1, 1
	switch g.src[g.pos] {
	case '*':
		low, high = 0, -1
	case '+':
		high = -1
	case '?':
		low = 0
	case '{':
		end := strings.IndexByte(g.src[g.pos:], '}')
		if end < 0 {
			return nil, fmt.Errorf("open brace")
		}
		a, b, comma := strings.Cut(g.src[g.pos+1:g.pos+end], ",")
		if low, err = strconv.Atoi(a); err != nil {
			return nil, err
		}
		if high = low; comma {
			if high, err = strconv.Atoi(b); b == "" {
				high, err = -1, nil
			}
		}
		if err != nil || high > 2000 || low > 2000 || high >= 0 && low > high {
			return nil, fmt.Errorf("bad repetition %d,%d: %v", low, high, err)
		}
		g.pos += end
	default:
		return n, nil
	}
	g.pos++
	return func(m *matcher, pos int) (ends []int) {
		at := []int{pos}
		for i := 0; ; i++ {
			if i >= low {
				before := len(ends)
				ends = union(ends, at)
				if i > low && len(ends) == before {
					return ends
				}
			}
			if i == high || len(at) == 0 {
				return ends
			}
			var next []int
			for _, p := range at {
				next = union(next, n(m, p))
			}
			at = next
		}
	}, nil
}

func (g *gbnf) atom() (node, error) {
	switch c := g.src[g.pos]; c {
	case '"':
		return g.literal()
	case '[':
		return g.class()
	case '(':
		g.pos++
		n, err := g.alternatives()
		if err != nil || g.pos == len(g.src) || g.src[g.pos] != ')' {
			return nil, fmt.Errorf("open parenthesis: %v", err)
		}
		g.pos++
		return n, nil
	}
	start := g.pos
	for g.pos < len(g.src) && (g.src[g.pos] == '-' || g.src[g.pos] >= '0' && g.src[g.pos] <= '9' || g.src[g.pos]|0x20 >= 'a' && g.src[g.pos]|0x20 <= 'z') {
		g.pos++
	}
	name := g.src[start:g.pos]
	if name == "" {
		return nil, fmt.Errorf("unexpected %q", g.src[g.pos:])
	}
	return func(m *matcher, pos int) []int { return m.rule(name, pos) }, nil
}

// char reads one character, with llama.cpp's escapes.
func (g *gbnf) char() (rune, error) {
	c, n := utf8.DecodeRuneInString(g.src[g.pos:])
	g.pos += n
	if c != '\\' {
		return c, nil
	}
	e := g.src[g.pos]
	g.pos++
	if size := map[byte]int{'x': 2, 'u': 4, 'U': 8}[e]; size > 0 {
		v, err := strconv.ParseUint(g.src[g.pos:g.pos+size], 16, 32)
		g.pos += size
		return rune(v), err
	}
	if i := strings.IndexByte(`nrt"\[]`, e); i >= 0 {
		return rune("\n\r\t\"\\[]"[i]), nil
	}
	return 0, fmt.Errorf("bad escape %q", e)
}

func (g *gbnf) literal() (node, error) {
	var b strings.Builder
	for g.pos++; g.src[g.pos] != '"'; {
		c, err := g.char()
		if err != nil {
			return nil, err
		}
		b.WriteRune(c)
	}
	g.pos++
	text := b.String()
	return func(m *matcher, pos int) []int {
		if strings.HasPrefix(m.input[pos:], text) {
			return []int{pos + len(text)}
		}
		return nil
	}, nil
}

func (g *gbnf) class() (node, error) {
	g.pos++
	not := g.src[g.pos] == '^'
	if not {
		g.pos++
	}
	var pairs [][2]rune
	for g.src[g.pos] != ']' {
		from, err := g.char()
		if err != nil {
			return nil, err
		}
		to := from
		if g.src[g.pos] == '-' && g.src[g.pos+1] != ']' {
			g.pos++
			if to, err = g.char(); err != nil {
				return nil, err
			}
		}
		if from > to {
			return nil, fmt.Errorf("bad range %q-%q", from, to)
		}
		pairs = append(pairs, [2]rune{from, to})
	}
	g.pos++
	return func(m *matcher, pos int) []int {
		c, n := utf8.DecodeRuneInString(m.input[pos:])
		if n == 0 || slices.ContainsFunc(pairs, func(p [2]rune) bool { return p[0] <= c && c <= p[1] }) == not {
			return nil
		}
		return []int{pos + n}
	}, nil
}
