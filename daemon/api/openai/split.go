package openai

import (
	"encoding/json"
	"errors"
)

// split calls fn with the members of an object, or with the elements of a list, whose key is nil. It allocates nothing:
// keys (with their quotes) and values are parts of raw, which must be valid JSON. An error of fn ends it.
func split(raw []byte, fn func(key, value []byte) error) error {
	object := raw[0] == '{'
	for i := blank(raw, 1); i < len(raw)-1; {
		var key []byte
		if object {
			end := valueEnd(raw, i)
			key = raw[i:end]
			i = blank(raw, blank(raw, end)+1) // over the colon
		}
		end := valueEnd(raw, i)
		if err := fn(key, raw[i:end]); err != nil {
			return err
		}
		i = blank(raw, blank(raw, end)+1) // over the comma
	}
	return nil
}

var errEnough = errors.New("counted far enough")

// count is how many members or elements raw has; it stops at enough.
func count(raw []byte, enough int) (n int) {
	_ = split(raw, func(_, _ []byte) error {
		if n++; n == enough {
			return errEnough
		}
		return nil
	})
	return n
}

// blank is the first place from i that is no white space.
func blank(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\n' || raw[i] == '\r' || raw[i] == '\t') {
		i++
	}
	return i
}

// valueEnd is the place behind the value that begins at i.
func valueEnd(raw []byte, i int) int {
	level, quoted := 0, false
	for ; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			if quoted = !quoted; !quoted && level == 0 {
				return i + 1
			}
		case quoted:
		case c == '{' || c == '[':
			level++
		case level > 0 && (c == '}' || c == ']'):
			if level--; level == 0 {
				return i + 1
			}
		case level == 0 && (c == ',' || c == ':' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\r' || c == '\t'):
			return i
		}
	}
	return i
}

// text is a JSON string as text.
func text(raw []byte) string {
	var s string
	_ = json.Unmarshal(raw, &s) // it is valid
	return s
}
