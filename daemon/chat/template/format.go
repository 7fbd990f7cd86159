package template

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/mitsuhiko/minijinja/minijinja-go/v2/value"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// percent is Python's %: the rest of a division, or a text with values put in.
func (o orders) percent(left, right value.Value) (value.Value, error) {
	text, ok := left.AsString()
	if !ok {
		return left.Rem(right)
	}
	args, many := right.AsSlice()
	if !many {
		args = []value.Value{right}
	}
	named, _ := o.dict(right)
	var failed error
	next := 0
	out := regexp.MustCompile(`%(?:\((\w*)\))?([-+ 0#]*)(\d{0,4})(\.\d{1,4})?([a-zA-Z%])`).ReplaceAllStringFunc(text, func(directive string) string {
		m := percentDirective(directive)
		if m.verb == "%" {
			return "%"
		}
		var v value.Value
		switch {
		case m.name != "" && named != nil:
			v = named.values[m.name]
		case m.name == "" && next < len(args):
			v = args[next]
			next++
		default:
			failed = core.Errorf(core.CodeInvalidRequest, "the chat template puts too few values into a text")
			return ""
		}
		s, err := o.directive(m.flags+m.width, m.precision, m.verb, v)
		if err != nil {
			failed = err
		}
		return s
	})
	if failed == nil && named == nil && next < len(args) {
		failed = core.Errorf(core.CodeInvalidRequest, "the chat template puts too many values into a text")
	}
	return value.FromString(out), failed
}

// directiveParts are the parts of one % directive.
type directiveParts struct{ name, flags, width, precision, verb string }

func percentDirective(s string) (m directiveParts) {
	s = s[1:]
	if rest, ok := strings.CutPrefix(s, "("); ok {
		m.name, s, _ = strings.Cut(rest, ")")
	}
	m.verb, s = s[len(s)-1:], s[:len(s)-1]
	s, m.precision, _ = strings.Cut(s, ".")
	m.width = strings.TrimLeft(s, "-+ 0#")
	m.flags = s[:len(s)-len(m.width)]
	return m
}

// directive writes v as one % directive, or one field of str.format, asks.
func (o orders) directive(layout, precision, verb string, v value.Value) (string, error) {
	if precision != "" {
		precision = "." + precision
	}
	f, number := v.AsFloat()
	switch verb {
	case "s":
		return fmt.Sprintf("%"+layout+precision+"s", o.python(v)), nil
	case "r":
		var out strings.Builder
		o.repr(&out, v, 0)
		return fmt.Sprintf("%"+layout+precision+"s", out.String()), nil
	case "d", "i", "u":
		if n, ok := v.AsInt(); ok || number {
			if !ok {
				n = int64(f)
			}
			return fmt.Sprintf("%"+layout+"d", n), nil
		}
	case "x", "X", "o":
		if n, ok := v.AsInt(); ok {
			return fmt.Sprintf("%"+layout+verb, n), nil
		}
	case "f", "F", "e", "E", "g", "G":
		if number {
			if precision == "" {
				precision = ".6"
			}
			return fmt.Sprintf("%"+layout+precision+verb, f), nil
		}
	}
	return "", core.Errorf(core.CodeInvalidRequest, "the chat template writes a %s as %%%s", v.Kind(), verb)
}

// format is Python's str.format.
func (o orders) format(s string, args []value.Value, kwargs map[string]value.Value) (value.Value, error) {
	var out strings.Builder
	next := 0
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			out.WriteString(s)
			break
		}
		out.WriteString(s[:i])
		if strings.HasPrefix(s[i:], "{{") || strings.HasPrefix(s[i:], "}}") {
			out.WriteByte(s[i])
			s = s[i+2:]
			continue
		}
		field, rest, closed := strings.Cut(s[i+1:], "}")
		if s[i] == '}' || !closed {
			return value.Undefined(), core.Errorf(core.CodeInvalidRequest, "the chat template formats a text with a lone bracket")
		}
		s = rest
		name, spec, _ := strings.Cut(field, ":")
		name, conversion, _ := strings.Cut(name, "!")
		v, ok := kwargs[name]
		if !ok {
			if name == "" {
				name = strconv.Itoa(next)
				next++
			}
			n, err := strconv.Atoi(name)
			if err != nil || n < 0 || n >= len(args) {
				return value.Undefined(), core.Errorf(core.CodeInvalidRequest, "the chat template formats a text without a value for {%s}", name)
			}
			v = args[n]
		}
		text, err := o.field(v, conversion, spec)
		if err != nil {
			return value.Undefined(), err
		}
		out.WriteString(text)
	}
	return value.FromString(out.String()), nil
}

// field writes v as one field of str.format.
func (o orders) field(v value.Value, conversion, spec string) (string, error) {
	m := regexp.MustCompile(`^([<>]?)(0?\d{0,4})(?:\.(\d{1,4}))?([sdfegxXo]?)$`).FindStringSubmatch(spec)
	if m == nil {
		return "", core.Errorf(core.CodeUnsupported, "the chat template formats with %q, which Shoal does not know", spec)
	}
	align, width, precision, verb := m[1], m[2], m[3], m[4]
	_, number := v.AsFloat()
	switch {
	case verb == "" && precision != "" && number:
		verb = "g"
	case verb == "":
		verb = "s"
	}
	if conversion == "r" {
		verb = "r"
	}
	if align == "<" || align == "" && !number {
		width = "-" + width
	}
	if width == "-" {
		width = ""
	}
	return o.directive(width, precision, verb, v)
}
