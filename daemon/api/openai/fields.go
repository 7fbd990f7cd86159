package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
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

// decode reads body, a JSON object, into each of outs, which share its fields. Keys that are neither in known nor
// let through by a rule are errors, because a field that is ignored is a promise that is broken.
func decode(body []byte, known []string, rules map[string]rule, outs ...any) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return jsonError(err, "")
	}
	if fields == nil {
		return core.Errorf(core.CodeInvalidRequest, "the body must be a JSON object")
	}
	if err := checkFields(fields, "", known, rules); err != nil {
		return err
	}
	for _, out := range outs {
		if err := json.Unmarshal(body, out); err != nil {
			return jsonError(err, "")
		}
	}
	return nil
}

// checkFields refuses the first field, in alphabetical order, that may not be sent. path goes before its name.
func checkFields(fields map[string]json.RawMessage, path string, known []string, rules map[string]rule) error {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if slices.Contains(known, name) {
			continue
		}
		value := string(bytes.TrimSpace(fields[name]))
		r, listed := rules[name]
		if value == "null" || r.any || slices.Contains(r.neutral, value) {
			continue
		}
		if !listed {
			return refuse(path+name, "the field %q is not known here; remove it or check its spelling", cut(name))
		}
		return unsupported(path+name, "%s: %s", name, r.reason)
	}
	return nil
}

// object reads a nested object with the same care as decode.
func object(raw []byte, out any, path string, known []string, rules map[string]rule) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return refuse(path, "%s must be an object", path)
	}
	if err := checkFields(fields, path+".", known, rules); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return jsonError(err, path)
	}
	return nil
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
