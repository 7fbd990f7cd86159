package reply

import (
	"encoding/json"
	"strings"
)

// verdict is what a scanner thinks of the bytes so far.
type verdict uint8

const (
	more verdict = iota
	complete
	bad
)

// call reads one tool call byte by byte: an object {"name": …, "arguments": {…}}, or only the arguments when the
// name was read before. The arguments are JSON when it is complete.
type call struct {
	name      string
	arguments strings.Builder // the object, as far as it was read
	object    repairer        // of the arguments
	hasArgs   bool

	phase   phase
	key     string
	text    []byte // the key or value being read
	depth   int    // of brackets within the value
	quoted  bool
	escaped bool
}

type phase uint8

const (
	beforeObject phase = iota
	beforeKey
	inKey
	beforeColon
	beforeValue
	inValue
	afterValue
)

// maxName bounds the name of a function.
const maxName = 128

// argumentsOf starts a call whose name is known and whose object of arguments follows.
func argumentsOf(name string) *call {
	return &call{name: name, phase: beforeValue, key: "arguments"}
}

func space(b byte) bool { return b == ' ' || b == '\n' || b == '\r' || b == '\t' }

// feed takes the next byte; alone says that the arguments are not within an object.
func (c *call) feed(b byte, alone bool) verdict {
	if c.phase != inKey && c.phase != inValue && space(b) {
		return more
	}
	switch c.phase {
	case beforeObject:
		return c.expect(b, '{', beforeKey)
	case beforeKey:
		if b == '}' && c.key == "" {
			return bad
		}
		c.text = c.text[:0]
		return c.expect(b, '"', inKey)
	case inKey:
		return c.readKey(b)
	case beforeColon:
		return c.expect(b, ':', beforeValue)
	case beforeValue:
		if alone && b != '{' {
			return bad
		}
		c.phase, c.text, c.depth = inValue, c.text[:0], 0
		return c.readValue(b, alone)
	case inValue:
		return c.readValue(b, alone)
	}
	switch b {
	case ',':
		c.phase = beforeKey
		return more
	case '}':
		if c.name == "" {
			return bad
		}
		return complete
	}
	return bad
}

func (c *call) expect(got, want byte, next phase) verdict {
	if got != want {
		return bad
	}
	c.phase = next
	return more
}

func (c *call) readKey(b byte) verdict {
	if b == '"' {
		c.key, c.phase = string(c.text), beforeColon
		if c.key == "name" && c.name != "" || c.isArguments() && c.hasArgs {
			return bad // twice
		}
		return more
	}
	c.text = append(c.text, b)
	if len(c.text) > maxName || b == '\\' {
		return bad
	}
	return more
}

// isArguments tells whether the value being read is the arguments.
func (c *call) isArguments() bool { return c.key == "arguments" || c.key == "parameters" }

// readValue takes a byte of a value and notices its end.
func (c *call) readValue(b byte, alone bool) verdict {
	scalar := len(c.text) > 0 && c.depth == 0 && c.text[0] != '"'
	if scalar && (space(b) || b == ',' || b == '}') {
		if v := c.endValue(); v != more || space(b) {
			return v
		}
		return c.feed(b, alone)
	}
	if !c.keep(b) {
		return bad
	}
	if len(c.text) > maxName && !c.isArguments() && c.key == "name" {
		return bad
	}
	switch {
	case c.escaped:
		c.escaped = false
		return more
	case c.quoted:
		c.escaped = b == '\\'
		if b != '"' {
			return more
		}
		c.quoted = false
	case b == '"':
		c.quoted = true
		return more
	case b == '{' || b == '[':
		c.depth++
		return more
	case b == '}' || b == ']':
		if c.depth--; c.depth < 0 {
			return bad
		}
	default:
		return more
	}
	if c.depth > 0 {
		return more
	}
	if v := c.endValue(); v != more {
		return v
	}
	if alone {
		return complete
	}
	return more
}

// keep stores a byte of a value, or tells that it cannot be JSON. Only the first byte counts of values that nobody wants.
func (c *call) keep(b byte) bool {
	switch {
	case c.isArguments() && (len(c.text) == 0 && b == '{' || len(c.text) > 0 && c.text[0] == '{'):
		if len(c.text) == 0 {
			c.text, c.hasArgs = append(c.text, b), true
			c.arguments.Reset()
			c.object = repairer{}
		}
		out, ok := c.object.feed(b)
		c.arguments.WriteString(out)
		return ok
	case len(c.text) == 0 || c.key == "name" || c.isArguments():
		c.text = append(c.text, b)
	}
	return true
}

// endValue stores the value that was read.
func (c *call) endValue() verdict {
	c.phase = afterValue
	switch {
	case c.key == "name":
		if json.Unmarshal(c.text, &c.name) != nil || !validName(c.name) {
			return bad
		}
	case c.isArguments() && c.text[0] == '"': // an object as text within a string
		var inner string
		if json.Unmarshal(c.text, &inner) != nil || !isObject(inner) {
			return bad
		}
		c.hasArgs = true
		c.arguments.Reset()
		c.arguments.WriteString(inner)
	case c.isArguments() && string(c.text) == "null":
		c.hasArgs = true
	case c.isArguments() && c.text[0] != '{':
		return bad
	}
	return more
}

// isObject tells whether text is a JSON object.
func isObject(text string) bool {
	return json.Valid([]byte(text)) && strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{")
}

// validName tells whether s can be the name of a function.
func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for _, c := range s {
		if c <= ' ' || strings.ContainsRune("{}[]<>\"'`|", c) {
			return false
		}
	}
	return true
}
