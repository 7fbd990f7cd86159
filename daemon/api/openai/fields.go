package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// rule says what to do with a field of a request that is not read into its struct.
type rule struct {
	neutral []string // values, as JSON, that ask for nothing and are accepted; null always is
	any     bool     // every value is accepted: the field does not change the reply
	reason  string   // why another value is refused
}

// harmless is the rule of fields that carry bookkeeping of the caller.
var harmless = rule{any: true}

// only is the rule of fields that may be sent with the values that ask for nothing.
func only(reason string, neutral ...string) rule { return rule{neutral: neutral, reason: reason} }

// decode reads raw, a valid JSON object, into out, a pointer to a struct: each value once, into the field whose tag names
// it. A json.RawMessage is not copied. Keys that are neither a field's nor let through by a rule are errors, because a
// field that is ignored is a promise that is broken. path goes before the names.
func decode(raw []byte, out any, path string, rules map[string]rule) error {
	if len(raw) == 0 || raw[0] != '{' {
		return refuse(path, "%s must be an object", path)
	}
	fields := map[string]reflect.Value{}
	tagged(reflect.ValueOf(out).Elem(), fields)
	return split(raw, func(key, value []byte) error {
		name := text(key)
		field, known := fields[name]
		if !known {
			return checkRule(joinPath(path, name), name, value, rules)
		}
		if message, ok := field.Addr().Interface().(*json.RawMessage); ok {
			*message = value
			return nil
		}
		if err := json.Unmarshal(value, field.Addr().Interface()); err != nil {
			return jsonError(err, joinPath(path, name))
		}
		return nil
	})
}

// body is decode for the body of a request, of which nothing is known yet.
func body(raw []byte, out any, rules map[string]rule) error {
	raw = bytes.TrimSpace(raw)
	if err := json.Unmarshal(raw, &struct{}{}); err != nil { // looks at all of it, keeps nothing
		return jsonError(err, "")
	}
	if raw[0] != '{' {
		return core.Errorf(core.CodeInvalidRequest, "the body must be a JSON object")
	}
	return decode(raw, out, "", rules)
}

// tagged collects the fields of a struct, those of embedded structs too, by the names in their tags.
func tagged(v reflect.Value, into map[string]reflect.Value) {
	for i := range v.NumField() {
		if t := v.Type().Field(i); t.Anonymous {
			tagged(v.Field(i), into)
		} else if name, _, _ := strings.Cut(t.Tag.Get("json"), ","); name != "" {
			into[name] = v.Field(i)
		}
	}
}

// checkRule refuses a field that may not be sent.
func checkRule(param, name string, raw []byte, rules map[string]rule) error {
	r, listed := rules[name]
	value := string(raw[:min(len(raw), 64)]) // no neutral value is as long
	if value == "null" || r.any || slices.Contains(r.neutral, value) {
		return nil
	}
	if !listed {
		return refuse(param, "the field %q is not known here; remove it or check its spelling", cut(name))
	}
	return unsupported(param, "%s: %s", name, r.reason)
}

// list calls fn with each element of a JSON list and its path. More than limit elements are refused before one is
// decoded; null and nothing are an empty list.
func list(raw []byte, path string, limit int, fn func(path string, value []byte) error) error {
	if isNull(raw) {
		return nil
	}
	if raw[0] != '[' {
		return refuse(path, "%s must be a list", path)
	}
	if count(raw, limit+1) > limit {
		return refuse(path, "%s may hold at most %d elements", path, limit)
	}
	i := 0
	return split(raw, func(_, value []byte) error {
		at := fmt.Sprintf("%s[%d]", path, i)
		i++
		return fn(at, value)
	})
}

// jsonError turns an error of encoding/json into one that names the field.
func jsonError(err error, path string) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := joinPath(path, e.Field)
		if field == "" {
			return core.Errorf(core.CodeInvalidRequest, "the body must be a JSON object, not a %s", e.Value)
		}
		return refuse(field, "%s cannot be a %s", field, cut(e.Value))
	}
	if e, ok := errors.AsType[*core.Error](err); ok {
		return e
	}
	return core.Errorf(core.CodeInvalidRequest, "the body is not valid JSON: %s", cut(err.Error()))
}

func joinPath(path, field string) string {
	if path == "" || field == "" {
		return path + field
	}
	return path + "." + field
}

// refuse is an error of code core.CodeInvalidRequest about one field.
func refuse(param, format string, args ...any) error {
	return core.Errorf(core.CodeInvalidRequest, format, args...).WithParam(cut(param))
}

// unsupported is an error of code core.CodeUnsupported about one field.
func unsupported(param, format string, args ...any) error {
	return core.Errorf(core.CodeUnsupported, format, args...).WithParam(cut(param))
}

// between refuses a number outside [low, high]; a nil number was not given.
func between[T int | int64 | float64](param string, v *T, low, high T) error {
	if v != nil && !(*v >= low && *v <= high) {
		return refuse(param, "%s must be between %v and %v", param, low, high)
	}
	return nil
}

// cut shortens text that came from outside before it goes into a message.
func cut(s string) string {
	const limit = 120
	if len(s) <= limit {
		return strings.ToValidUTF8(s, "�")
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// isNull tells whether a raw value is absent or null.
func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// or is *p, or def when p is nil.
func or[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}
