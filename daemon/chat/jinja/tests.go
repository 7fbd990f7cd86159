package jinja

import (
	"strings"
	"unicode"
)

type testFunc func(r *run, v any, a args) (bool, error)

var tests = map[string]testFunc{
	"boolean":     isKind[bool],
	"callable":    isCallable,
	"defined":     func(_ *run, v any, _ args) (bool, error) { return !missing(v), nil },
	"divisibleby": isDivisible,
	"eq":          isCompared("=="),
	"equalto":     isCompared("=="),
	"even":        isParity(0),
	"false":       func(_ *run, v any, _ args) (bool, error) { return v == false, nil },
	"float":       isKind[float64],
	"ge":          isCompared(">="),
	"greaterthan": isCompared(">"),
	"gt":          isCompared(">"),
	"in":          isCompared("in"),
	"integer":     isKind[int64],
	"iterable":    isIterable,
	"le":          isCompared("<="),
	"lessthan":    isCompared("<"),
	"lower":       isCase(unicode.IsUpper, unicode.IsLower),
	"lt":          isCompared("<"),
	"mapping":     isKind[*Dict],
	"ne":          isCompared("!="),
	"none":        func(_ *run, v any, _ args) (bool, error) { return v == nil, nil },
	"number":      isNumber,
	"odd":         isParity(1),
	"sameas":      isSame,
	"sequence":    isIterable,
	"string":      isKind[Text],
	"true":        func(_ *run, v any, _ args) (bool, error) { return v == true, nil },
	"undefined":   func(_ *run, v any, _ args) (bool, error) { return missing(v), nil },
	"upper":       isCase(unicode.IsLower, unicode.IsUpper),
}

func missing(v any) bool {
	_, ok := v.(undefined)
	return ok
}

func isKind[T any](_ *run, v any, _ args) (bool, error) {
	_, ok := v.(T)
	return ok, nil
}

func isNumber(_ *run, v any, _ args) (bool, error) {
	_, ok := number(v)
	return ok, nil
}

func isCallable(_ *run, v any, _ args) (bool, error) {
	_, ok := v.(function)
	return ok, nil
}

// isIterable also serves "sequence", which holds for the same kinds.
func isIterable(_ *run, v any, _ args) (bool, error) {
	switch v.(type) {
	case Text, *List, *Dict, undefined:
		return true, nil
	}
	return false, nil
}

func isCompared(op string) testFunc {
	return func(r *run, v any, a args) (bool, error) { return r.holds(op, v, a.at(0, "other", undefined{})) }
}

func isParity(rest int64) testFunc {
	return func(r *run, v any, _ args) (bool, error) {
		n, ok := integer(v)
		if !ok {
			return false, r.fail("'%s' is not a whole number", kind(v))
		}
		return n&1 == rest, nil
	}
}

func isDivisible(r *run, v any, a args) (bool, error) {
	n, ok := integer(v)
	by, okBy := integer(a.at(0, "num", nil))
	if !ok || !okBy || by == 0 {
		return false, r.fail("divisibleby needs whole numbers")
	}
	return n%by == 0, nil
}

func isCase(not, some func(rune) bool) testFunc {
	return func(r *run, v any, _ args) (bool, error) {
		t, err := r.str(v)
		return strings.IndexFunc(t.s, some) >= 0 && strings.IndexFunc(t.s, not) < 0, err
	}
}

// isSame is Python's "is". Values without identity of their own are the same when equal.
func isSame(r *run, v any, a args) (bool, error) {
	other := a.at(0, "other", undefined{})
	if kind(v) != kind(other) {
		return false, nil
	}
	return r.equal(v, other)
}
