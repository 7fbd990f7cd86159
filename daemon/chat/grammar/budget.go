package grammar

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// maxWork bounds what one schema may cost: about 10,000 merges of small schemas. Few schemas reach a hundredth.
const maxWork = 1 << 20

// What things cost, in units of about one key looked at.
const (
	workOfMerge  = 100
	workOfSchema = 10
)

// budget is what is left of the work for one request. All its schemas share it, those of its tools too.
type budget struct {
	ctx  context.Context
	left int
}

// spend takes n units, and is an error when there are none left or nobody waits for the grammar any more.
func (b *budget) spend(n int) error {
	if err := b.ctx.Err(); err != nil {
		return core.Errorf(core.CodeCancelled, "make a grammar of a JSON schema: %w", err)
	}
	if b.left -= n; b.left < 0 {
		return invalid("it takes too much work; allOf and $ref multiply what they hold")
	}
	return nil
}

// located is an error at a place in a schema.
type located struct {
	path []string // from the outside in; a step is the name of a property, [] for the items of an array
	err  error
}

func (l *located) Error() string { return l.err.Error() }
func (l *located) Unwrap() error { return l.err }

// at says that err happened one step further in.
func at(err error, step string) error {
	if err == nil {
		return nil
	}
	l, ok := errors.AsType[*located](err)
	if !ok {
		l = &located{err: err}
	}
	return &located{path: append([]string{step}, l.path...), err: l.err}
}

// Bounds of what an error quotes of a schema, in bytes.
const (
	maxMessage = 400
	maxPath    = 200
	maxQuote   = 64
)

// told makes the error that a client gets: with its place in front, and of a bounded length whatever was in the
// schema.
func told(err error) error {
	if err == nil {
		return nil
	}
	message, param := err.Error(), ""
	if l, ok := errors.AsType[*located](err); ok {
		path := strings.ReplaceAll(strings.Join(l.path, "."), ".[]", "[]")
		message = "JSON schema: " + quoted(path, maxPath) + ": " + strings.TrimPrefix(message, "JSON schema: ")
	}
	if e, ok := errors.AsType[*core.Error](err); ok {
		param = e.Param
	}
	return core.Errorf(core.CodeOf(err), "%s", quoted(message, maxMessage)).WithParam(param)
}

// quoted is text cut to n bytes.
func quoted(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}

// distinct are the strings without those that are there twice, and whether each is there.
func distinct(names []string) ([]string, map[string]bool) {
	there := make(map[string]bool, len(names))
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		twice := there[name]
		there[name] = true
		return twice
	})
	return names, there
}
