package template

import (
	"errors"
	"strings"
	"time"

	"github.com/mitsuhiko/minijinja/minijinja-go/v2"
	"github.com/mitsuhiko/minijinja/minijinja-go/v2/filters"
	"github.com/mitsuhiko/minijinja/minijinja-go/v2/syntax"
	"github.com/mitsuhiko/minijinja/minijinja-go/v2/value"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// What a template may use up; time and memory are bounded around a render, see chat/renderer. Honest ones stay far below.
const (
	maxSource = 256 << 10 // bytes of the template
	maxTags   = 4_000     // expressions, statements and comments
	maxOutput = 8 << 20   // bytes of the prompt and of any text on the way to it
	maxSteps  = 2_000_000 // statements
	maxCalls  = 24        // macros inside macros
)

// The functions that rewrite puts into a template.
const (
	methodFunction = "python_call"
	sliceFunction  = "python_slice"
	listFunction   = "python_list"    // a list that can be changed, of one that cannot
	itemsFunction  = "python_items"   // the other way round
	remFunction    = "python_percent" // the operator %
)

// environment is what a template can reach: minijinja's language without what could grow without end, and with what
// transformers adds.
func environment() *minijinja.Environment {
	env := minijinja.NewEnvironment()
	env.SetWhitespace(syntax.WhitespaceConfig{TrimBlocks: true, LstripBlocks: true})
	env.SetAutoEscapeFunc(func(string) minijinja.AutoEscape { return minijinja.AutoEscapeNone })
	env.SetFormatter(func(s *minijinja.State, v value.Value, _ func(string) string) string {
		return ordersOf(s.Context()).python(v)
	})
	env.SetRecursionLimit(maxCalls)
	fuel := uint64(maxSteps)
	env.SetFuel(&fuel)

	for _, name := range []string{"format", "batch", "slice", "chain", "zip", "pprint", "urlencode", "groupby"} {
		env.AddFilter(name, func(filters.State, value.Value, []value.Value, map[string]value.Value) (value.Value, error) {
			return value.Undefined(), core.Errorf(core.CodeInvalidRequest, "the chat template uses the filter %s, which Shoal does not have", name)
		})
	}
	env.AddFilter("tojson", tojsonFilter)
	env.AddFilter("items", itemsFilter)
	env.AddFilter("trim", func(s filters.State, v value.Value, args []value.Value, _ map[string]value.Value) (value.Value, error) {
		return value.FromString(strip(ordersOf(s.Context()).python(v), argument(args, 0, value.None()), true, true)), nil
	})
	env.AddFilter("replace", replaceFilter)
	env.AddFilter("join", joinFilter)
	env.AddFilter("indent", indentFilter)
	env.AddFilter("string", func(s filters.State, v value.Value, _ []value.Value, _ map[string]value.Value) (value.Value, error) {
		return value.FromString(ordersOf(s.Context()).python(v)), nil
	})

	addFunctions(env.AddFunction)
	return env
}

func addFunctions(add func(name string, f minijinja.FunctionFunc)) {
	for _, name := range []string{"lipsum", "debug"} {
		add(name, func(*minijinja.State, []value.Value, map[string]value.Value) (value.Value, error) {
			return value.Undefined(), core.Errorf(core.CodeInvalidRequest, "the chat template calls %s, which Shoal does not have", name)
		})
	}
	add(methodFunction, func(s *minijinja.State, args []value.Value, kwargs map[string]value.Value) (value.Value, error) {
		if err := s.Context().Err(); err != nil {
			return value.Undefined(), err
		}
		return callMethod(s, args, kwargs)
	})
	add(sliceFunction, func(_ *minijinja.State, args []value.Value, _ map[string]value.Value) (value.Value, error) {
		if items, _ := args[0].AsSlice(); args[0].Kind() == value.KindSeq && len(items) == 0 {
			return value.FromSlice([]value.Value{}), nil // minijinja cannot iterate over an empty slice of a list
		}
		return args[0], nil
	})
	add(listFunction, func(_ *minijinja.State, args []value.Value, _ map[string]value.Value) (value.Value, error) {
		return newList(args[0]), nil
	})
	add(itemsFunction, func(_ *minijinja.State, args []value.Value, _ map[string]value.Value) (value.Value, error) {
		return itemsOf(args[0]), nil
	})
	add(remFunction, func(s *minijinja.State, args []value.Value, _ map[string]value.Value) (value.Value, error) {
		return ordersOf(s.Context()).percent(args[0], args[1])
	})
	add("raise_exception", func(_ *minijinja.State, args []value.Value, _ map[string]value.Value) (value.Value, error) {
		return value.Undefined(), &refusal{argument(args, 0, value.FromString("no reason given")).String()}
	})
	add("strftime_now", func(s *minijinja.State, args []value.Value, _ map[string]value.Value) (value.Value, error) {
		return value.FromString(strftime(stateOf(s.Context()).now, argument(args, 0, value.FromString("")).String())), nil
	})
}

// refusal is a template's own raise_exception.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

// asRefusal finds a template's own refusal in err and makes it ours.
func asRefusal(err error) (error, bool) {
	if r, ok := errors.AsType[*refusal](err); ok {
		return core.Errorf(core.CodeInvalidRequest, "the model's chat template refuses this conversation: %w", r).WithParam("messages"), true
	}
	return nil, false
}

func errTooSlow() error {
	return core.Errorf(core.CodeTimeout, "the model's chat template took too long")
}

func errTooLong() error {
	return core.Errorf(core.CodeInvalidRequest, "the chat template makes a text or list that is too long")
}

// boundedText is a text that may not grow beyond maxOutput.
type boundedText struct{ strings.Builder }

// Write implements io.Writer.
func (b *boundedText) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxOutput {
		return 0, errTooLong()
	}
	return b.Builder.Write(p)
}

// WriteString implements io.StringWriter.
func (b *boundedText) WriteString(s string) (int, error) {
	if b.Len()+len(s) > maxOutput {
		return 0, errTooLong()
	}
	return b.Builder.WriteString(s)
}

func tojsonFilter(state filters.State, v value.Value, args []value.Value, kwargs map[string]value.Value) (value.Value, error) {
	style := jsonStyle{item: ", ", key: ": "}
	if ascii, given := kwargs["ensure_ascii"]; given {
		style.ascii = ascii.IsTrue()
	}
	indent, given := kwargs["indent"]
	if !given {
		indent = argument(args, 0, value.None())
	}
	if n, ok := indent.AsInt(); ok && n >= 0 && n <= 16 {
		style.indent, style.item = strings.Repeat(" ", int(n)), ","
	}
	if separators, ok := kwargs["separators"].AsSlice(); ok && len(separators) == 2 {
		style.item, style.key = separators[0].String(), separators[1].String()
	}
	s, err := ordersOf(state.Context()).toJSON(v, style)
	return value.FromString(s), err
}

// itemsFilter gives a dict's items in their order; of nothing, it gives nothing.
func itemsFilter(state filters.State, v value.Value, _ []value.Value, _ map[string]value.Value) (value.Value, error) {
	d, ok := ordersOf(state.Context()).dict(v)
	if !ok {
		d = newDict()
	}
	items, _, err := ordersOf(state.Context()).dictMethod(d, "items", nil, nil)
	return items, err
}

func replaceFilter(state filters.State, v value.Value, args []value.Value, _ map[string]value.Value) (value.Value, error) {
	if len(args) < 2 {
		return value.Undefined(), core.Errorf(core.CodeInvalidRequest, "the chat template's replace needs two arguments")
	}
	return replace(ordersOf(state.Context()).python(v), args[0].String(), args[1].String(), -1)
}

func joinFilter(state filters.State, v value.Value, args []value.Value, kwargs map[string]value.Value) (value.Value, error) {
	if attribute, ok := kwargs["attribute"]; ok {
		var err error
		if v, err = filters.FilterMap(state, v, nil, map[string]value.Value{"attribute": attribute}); err != nil {
			return value.Undefined(), err
		}
	}
	return ordersOf(state.Context()).join(argument(args, 0, value.FromString("")).String(), v)
}

func indentFilter(state filters.State, v value.Value, args []value.Value, kwargs map[string]value.Value) (value.Value, error) {
	s := v.String()
	width, _ := argument(args, 0, kwargs["width"]).AsInt()
	if width > 64 || strings.Count(s, "\n")*int(max(width, 4))+len(s) > maxOutput {
		return value.Undefined(), errTooLong()
	}
	return filters.FilterIndent(state, v, args, kwargs)
}

// strftime formats a time with the directives that chat templates use.
func strftime(t time.Time, format string) string {
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		layout := map[byte]string{
			'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday",
			'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'j': "002", 'Z': "MST", 'z': "-0700", 'F': "2006-01-02", 'T': "15:04:05", '%': "%",
		}[format[i]]
		if layout == "" {
			out.WriteString(format[i-1 : i+1])
			continue
		}
		out.WriteString(t.Format(layout))
	}
	return out.String()
}
