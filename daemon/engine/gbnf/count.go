package gbnf

import (
	"hash/maphash"
	"slices"
	"strings"
)

// longest is the length of the texts that are counted: few tokens have more characters of one kind.
const longest = 16

// maxLetters bounds the letters that texts are made of.
const maxLetters = 128

// ways counts, for each length of a text, in how many ways it can be read.
type ways [longest + 1]uint32

const full = 1 << 20 // of a count; more is not told apart

func add(a, b uint32) uint32 { return min(a+b, full) }

func mul(a, b uint32) uint32 { return uint32(min(uint64(a)*uint64(b), full)) }

// plus adds the product of a and b.
func (w *ways) plus(a, b *ways) {
	for i, x := range a {
		if x == 0 {
			continue
		}
		for j, y := range b[:longest+1-i] {
			if y != 0 {
				w[i+j] = add(w[i+j], mul(x, y))
			}
		}
	}
}

// count is what is known of an element or a rule: in how many ways it reads a text as a whole, and in how many it can be
// before one of its characters after a text.
type count struct{ whole, within ways }

// counter counts texts of one letter.
type counter struct {
	*grammar
	letter rune

	terminals []count
	rules     []count
	after     []ways // for each rule: ways in which what follows it can go on; the most of all places that name it
}

func (c *counter) run() error {
	c.terminals, c.rules, c.after = make([]count, len(c.grammar.terminals)), make([]count, len(c.grammar.rules)), make([]ways, len(c.grammar.rules))
	for i := range c.grammar.terminals {
		c.terminals[i] = c.ofTerminal(&c.grammar.terminals[i])
	}
	if err := c.settle(c.order, c.recount, func(r int) []int { return c.callers[r] }); err != nil {
		return err
	}
	// From the root down: what follows a rule is known before what follows the rules in it.
	down := slices.Clone(c.order)
	slices.Reverse(down)
	var below []int
	return c.settle(down, func(r int) (bool, error) {
		below = below[:0]
		return true, c.follow(r, &below)
	}, func(int) []int { return below })
}

// settle visits rules until none changes any more: visit tells whether one did, next which depend on it.
func (c *counter) settle(order []int, visit func(r int) (bool, error), next func(r int) []int) error {
	queue, queued := slices.Clone(order), make([]bool, len(c.rules))
	for _, r := range queue {
		queued[r] = true
	}
	for len(queue) > 0 {
		r := queue[0]
		queue, queued[r] = queue[1:], false
		changed, err := visit(r)
		if err != nil {
			return err
		}
		if !changed {
			continue
		}
		for _, other := range next(r) {
			if !queued[other] {
				queue, queued[other] = append(queue, other), true
			}
		}
	}
	return nil
}

// spend counts work.
func (g *grammar) spend(n int) error {
	if g.work += n; g.work > maxWork {
		return refuse("is too large to be checked")
	}
	return nil
}

// each calls f for every element of a rule, with those that follow it.
func (g *grammar) each(r int, f func(e element, rest []element)) {
	for _, a := range g.rules[r].alternatives {
		for i, e := range a {
			f(e, a[i+1:])
		}
	}
}

func (c *counter) ofTerminal(t *terminal) (n count) {
	if t.set {
		n.within[0] = 1
		if t.has(c.letter) {
			n.whole[1] = 1
		}
		return n
	}
	for i, r := range t.literal {
		if i > longest {
			return n
		}
		n.within[i] = 1
		if r != c.letter {
			return n
		}
	}
	if len(t.literal) <= longest {
		n.whole[len(t.literal)] = 1
	}
	return n
}

func (c *counter) of(e element) *count {
	if t, ok := e.terminal(); ok {
		return &c.terminals[t]
	}
	return &c.rules[e]
}

// sequence counts elements in a row.
func (c *counter) sequence(list []element) (n count, err error) {
	n.whole[0] = 1
	for _, e := range list {
		if err := c.spend(1); err != nil {
			return n, err
		}
		x := c.of(e)
		n.within.plus(&n.whole, &x.within)
		var whole ways
		whole.plus(&n.whole, &x.whole)
		if n.whole = whole; whole == (ways{}) {
			break
		}
	}
	return n, nil
}

// recount counts a rule anew; it tells whether that changed.
func (c *counter) recount(r int) (changed bool, err error) {
	var sum count
	for _, a := range c.grammar.rules[r].alternatives {
		n, err := c.sequence(a)
		if err != nil {
			return false, err
		}
		for i := range sum.whole {
			sum.whole[i], sum.within[i] = add(sum.whole[i], n.whole[i]), add(sum.within[i], n.within[i])
		}
	}
	if sum == c.rules[r] {
		return false, nil
	}
	c.rules[r] = sum
	return true, c.few(&sum.within)
}

// follow checks the places in a rule, and tells the rules that it names what follows them there. Those for which that is
// news are added to below.
func (c *counter) follow(r int, below *[]int) (err error) {
	c.each(r, func(e element, rest []element) {
		if err != nil {
			return
		}
		var n count
		if n, err = c.sequence(rest); err != nil {
			return
		}
		n.within.plus(&n.whole, &c.after[r])
		if err = c.few(&n.within); err != nil {
			return
		}
		if _, ok := e.terminal(); ok {
			return
		}
		news := false
		for i, v := range n.within {
			if v > c.after[e][i] {
				c.after[e][i], news = v, true
			}
		}
		if news {
			*below = append(*below, int(e))
		}
	})
	return err
}

// few refuses a grammar that can be in too many places at once.
func (c *counter) few(w *ways) error {
	for n, v := range w {
		if v <= maxWays {
			continue
		}
		if n == 0 {
			return refuse("has more than %d alternatives in one place", maxWays)
		}
		return refuse("is ambiguous: it reads %s in more than %d ways; look for repeats side by side, repeats of repeats, and alternatives that begin alike",
			clip(strings.Repeat(string(c.letter), n)), maxWays)
	}
	return nil
}

// sort fills order and callers.
func (g *grammar) sort() {
	const begun, ended = 1, 2
	state := make([]byte, len(g.rules))
	stack := []int{g.root}
	for len(stack) > 0 {
		r := stack[len(stack)-1]
		if state[r] != 0 {
			stack = stack[:len(stack)-1]
			if state[r] == begun {
				state[r] = ended
				g.order = append(g.order, r)
			}
			continue
		}
		state[r] = begun
		g.each(r, func(e element, _ []element) {
			if _, ok := e.terminal(); !ok && state[e] == 0 {
				stack = append(stack, int(e))
			}
		})
	}
	g.callers = make([][]int, len(g.rules))
	for _, r := range g.order {
		g.each(r, func(e element, _ []element) {
			if _, ok := e.terminal(); ok {
				return
			}
			if l := g.callers[e]; len(l) == 0 || l[len(l)-1] != r {
				g.callers[e] = append(l, r)
			}
		})
	}
}

// findEmpty tells which rules can be empty.
func (g *grammar) findEmpty() error {
	for changed := true; changed; {
		changed = false
		for _, r := range g.order {
			if err := g.spend(1 + len(g.rules[r].alternatives)); err != nil {
				return err
			}
			if !g.rules[r].empty && slices.ContainsFunc(g.rules[r].alternatives, g.nothing) {
				g.rules[r].empty, changed = true, true
			}
		}
	}
	return nil
}

// nothing tells whether elements can read nothing.
func (g *grammar) nothing(list []element) bool {
	return !slices.ContainsFunc(list, func(e element) bool { return !g.canBeEmpty(e) })
}

func (g *grammar) canBeEmpty(e element) bool {
	if t, ok := e.terminal(); ok {
		return !g.terminals[t].set && len(g.terminals[t].literal) == 0
	}
	return g.rules[e].empty
}

// leftRecursion refuses rules that begin with themselves, which llama.cpp cannot follow, and rules that begin with one
// another in too long a row.
func (g *grammar) leftRecursion() error {
	const begun, ended = 1, 2
	state := make([]byte, len(g.rules))
	row := make([]int, len(g.rules)) // rules in a row from each that has ended
	var stack []int                  // with rules that are begun, and those that they begin with
	for _, start := range g.order {
		stack = append(stack[:0], start)
		for len(stack) > 0 {
			r := stack[len(stack)-1]
			if state[r] != 0 {
				stack = stack[:len(stack)-1]
				if state[r] == begun {
					state[r] = ended
					for _, e := range g.beginnings(r) {
						row[r] = max(row[r], row[e]+1)
					}
				}
				if row[r] > maxLeft {
					return refuse("has more than %d rules in a row that begin with the next one", maxLeft)
				}
				continue
			}
			state[r] = begun
			for _, e := range g.beginnings(r) {
				switch state[e] {
				case begun:
					return refuse("has a rule that begins with itself, or repeats what can be empty")
				case 0:
					stack = append(stack, e)
				}
			}
		}
	}
	return nil
}

// beginnings are the rules that a rule can begin with.
func (g *grammar) beginnings(r int) (list []int) {
	for _, a := range g.rules[r].alternatives {
		for _, e := range a {
			if _, ok := e.terminal(); !ok {
				list = append(list, int(e))
			}
			if !g.canBeEmpty(e) {
				break
			}
		}
	}
	return list
}

// letters chooses one of each kind of letter: those of a kind are in the same sets and begin the same literals.
func (g *grammar) letters() (list []rune) {
	candidates := []rune{'é', '中', 0x10ffff}
	for c := range rune(128) {
		candidates = append(candidates, c)
	}
	for i := range g.terminals {
		t := &g.terminals[i]
		for _, r := range t.ranges {
			candidates = append(candidates, r[0])
		}
		if len(t.literal) > 0 {
			candidates = append(candidates, t.literal[0])
		}
		if len(candidates) > 2*maxLetters {
			break
		}
	}
	seed, seen := maphash.MakeSeed(), map[uint64]bool{}
	for _, c := range candidates {
		var h maphash.Hash
		h.SetSeed(seed)
		for i := range g.terminals {
			if t := &g.terminals[i]; t.set && t.has(c) || len(t.literal) > 0 && t.literal[0] == c {
				maphash.WriteComparable(&h, i)
			}
		}
		if kind := h.Sum64(); !seen[kind] && len(list) < maxLetters {
			seen[kind] = true
			list = append(list, c)
		}
	}
	return list
}
