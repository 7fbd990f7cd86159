package jinja

import (
	"errors"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// globals are the names every template sees.
func globals() map[string]any {
	all := map[string]any{}
	for name, f := range map[string]func(*run, args) (any, error){
		"raise_exception": raiseException,
		"strftime_now":    strftimeNow,
		"namespace":       newNamespace,
		"dict":            newDict,
		"range":           newRange,
		"joiner":          newJoiner,
		"cycler":          newCycler,
	} {
		all[name] = function{name, f}
	}
	return all
}

// ErrRaised is the cause of the error when a template calls raise_exception.
var ErrRaised = errors.New("the model's chat template refuses this conversation")

// raiseException ends the render with the template's own words for the caller.
func raiseException(r *run, a args) (any, error) {
	t, err := r.str(a.at(0, "message", Text{}))
	if err != nil {
		return nil, err
	}
	const longest = 1000
	if len(t.s) > longest {
		t.s = strings.ToValidUTF8(t.s[:longest], "")
	}
	return nil, core.Errorf(core.CodeInvalidRequest, "%w: %s", ErrRaised, t.s)
}

func strftimeNow(r *run, a args) (any, error) {
	format, err := r.text(a, 0, "format")
	if err != nil {
		return nil, err
	}
	s := strftime(r.now, format.s)
	return Plain(s), r.spend(len(s))
}

func newNamespace(r *run, a args) (any, error) {
	d, err := newDict(r, a)
	if err != nil {
		return nil, err
	}
	return &namespace{d.(*Dict)}, nil
}

func newDict(r *run, a args) (any, error) {
	d := NewDict(len(a.names))
	if len(a.positional) > 0 {
		from, ok := a.positional[0].(*Dict)
		if !ok {
			return nil, r.fail("dict needs a mapping")
		}
		for _, e := range from.entries {
			d.Set(e.key, e.value)
		}
	}
	for i, name := range a.names {
		d.SetString(name, a.values[i])
	}
	return d, r.spend(64 * len(d.entries))
}

// maxRange is the limit that jinja2's sandbox has.
const maxRange = 100_000

func newRange(r *run, a args) (any, error) {
	bounds := make([]int64, len(a.positional))
	for i, v := range a.positional {
		n, ok := integer(v)
		if !ok {
			return nil, r.fail("'%s' object cannot be interpreted as an integer", kind(v))
		}
		bounds[i] = n
	}
	start, stop, step := int64(0), int64(0), int64(1)
	switch len(bounds) {
	case 1:
		stop = bounds[0]
	case 2:
		start, stop = bounds[0], bounds[1]
	case 3:
		start, stop, step = bounds[0], bounds[1], bounds[2]
	default:
		return nil, r.fail("range takes 1 to 3 arguments")
	}
	if step == 0 {
		return nil, r.fail("range() arg 3 must not be zero")
	}
	l := &List{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; {
		if len(l.Items) == maxRange {
			return nil, r.fail("range too big, the maximum size is %d", maxRange)
		}
		l.Items = append(l.Items, i)
		next := i + step
		if (next > i) != (step > 0) {
			break // past the end of 64 bits
		}
		i = next
	}
	return l, r.spend(16 * len(l.Items))
}

func newJoiner(r *run, a args) (any, error) {
	sep := a.at(0, "sep", Plain(", "))
	used := false
	return function{"joiner", func(*run, args) (any, error) {
		if !used {
			used = true
			return Text{}, nil
		}
		return sep, nil
	}}, nil
}

func newCycler(r *run, a args) (any, error) {
	if len(a.positional) == 0 {
		return nil, r.fail("at least one item has to be provided")
	}
	c := &namespace{NewDict(3)}
	at := 0
	move := func(to int) any {
		old := a.positional[at]
		at = to % len(a.positional)
		c.members.SetString("current", a.positional[at])
		return old
	}
	move(0)
	c.members.SetString("next", function{"next", func(*run, args) (any, error) { return move(at + 1), nil }})
	c.members.SetString("reset", function{"reset", func(*run, args) (any, error) { move(0); return nil, nil }})
	return c, nil
}

// strftime formats t by the directives of C's strftime, in English.
func strftime(t time.Time, format string) string {
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		unpadded := format[i] == '-' && i+1 < len(format)
		if unpadded {
			i++
		}
		s := directive(t, format[i])
		if trimmed := strings.TrimLeft(s, "0"); unpadded && trimmed != "" {
			s = trimmed
		} else if unpadded && s != "" && trimmed == "" {
			s = "0"
		}
		out.WriteString(s)
	}
	return out.String()
}

func directive(t time.Time, c byte) string {
	layouts := map[byte]string{
		'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM",
		'B': "January", 'b': "Jan", 'h': "Jan", 'A': "Monday", 'a': "Mon", 'Z': "MST", 'z': "-0700", 'j': "002",
		'f': "000000", 'e': "_2", 'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'D': "01/02/06",
		'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05",
	}
	switch c {
	case '%':
		return "%"
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 'f':
		return t.Format(".000000")[1:]
	case 'u':
		return string(rune('0' + (int(t.Weekday())+6)%7 + 1))
	case 'w':
		return string(rune('0' + int(t.Weekday())))
	}
	if layout, ok := layouts[c]; ok {
		return t.Format(layout)
	}
	return "%" + string(c)
}
