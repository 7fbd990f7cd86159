// Package gbnf tells what a grammar in llama.cpp's notation would cost, before llama.cpp reads it.
//
// llama.cpp takes any grammar: brackets nested too deep overflow its stack, a repetition is written out in full, and
// text that a grammar can read in many ways is followed in all of them at once. A grammar may come from a program that
// does not know better, from a tool that somebody else wrote, or from another node.
//
// Check reads a grammar as llama.cpp does, with each bracket and repetition turned into a rule, and counts in how many
// ways it can be in the middle of a text of one character repeated: that is the number of stacks that llama.cpp
// follows. Such a text is the worst case of what users write by mistake (repeats side by side, repeats of repeats,
// alternatives that begin alike), and its count is exact and cheap.
package gbnf

import (
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Limits of a grammar.
const (
	MaxBytes  = 512 << 10
	maxNested = 64
	maxRepeat = 2000    // llama.cpp takes no more
	maxParts  = 1 << 16 // rules, brackets and repetitions
	maxSize   = 1 << 20 // elements once repetitions are written out
	maxLeft   = 4096    // rules in a row that begin with the next one
	maxWays   = 4096    // in which a text can be read at once
	maxWork   = 1 << 24 // elements that Check looks at
)

// Check refuses a grammar that llama.cpp could not read, or could not follow in reasonable time. The error has code
// core.CodeInvalidRequest, or core.CodeTooLarge for its length, and names the parameter "grammar".
func Check(text string) error {
	if len(text) > MaxBytes {
		return core.Errorf(core.CodeTooLarge, "grammar has %d bytes, most are %d", len(text), MaxBytes).WithParam("grammar")
	}
	g, err := parse(text)
	if err == nil {
		err = g.check()
	}
	return err
}

func (g *grammar) check() error {
	g.sort()
	if err := g.findEmpty(); err != nil {
		return err
	}
	if err := g.leftRecursion(); err != nil {
		return err
	}
	for _, c := range g.letters() {
		if err := (&counter{grammar: g, letter: c}).run(); err != nil {
			return err
		}
	}
	return nil
}

func refuse(format string, args ...any) error {
	return core.Errorf(core.CodeInvalidRequest, "grammar "+format, args...).WithParam("grammar")
}
