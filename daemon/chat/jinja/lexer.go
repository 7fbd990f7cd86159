package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokenEOF   tokenKind = iota
	tokenData            // text outside of tags
	tokenOpen            // {{
	tokenClose           // }}
	tokenBegin           // {%
	tokenEnd             // %}
	tokenName
	tokenString
	tokenInt
	tokenFloat
	tokenOp
)

type token struct {
	kind tokenKind
	text string
	line int
}

// lexer cuts a template into tokens with the whitespace rules of trim_blocks and lstrip_blocks, both on.
type lexer struct {
	src       string
	pos, line int
	lineStart bool // the text at pos begins a line, as far as lstrip_blocks is concerned
	tokens    []token
}

// lex normalises line ends, drops one at the very end, and returns the tokens, tokenEOF last.
func lex(src string) ([]token, error) {
	src = strings.ReplaceAll(strings.ReplaceAll(src, "\r\n", "\n"), "\r", "\n")
	l := &lexer{src: strings.TrimSuffix(src, "\n"), line: 1, lineStart: true}
	for l.pos < len(l.src) {
		if err := l.data(); err != nil {
			return nil, err
		}
	}
	l.emit(tokenEOF, "")
	return l.tokens, nil
}

func (l *lexer) emit(k tokenKind, text string) {
	l.tokens = append(l.tokens, token{k, text, l.line})
}

// advance moves past n bytes and keeps count of lines.
func (l *lexer) advance(n int) {
	l.line += strings.Count(l.src[l.pos:l.pos+n], "\n")
	l.pos += n
}

// data reads text up to the next tag, and the tag.
func (l *lexer) data() error {
	rest := l.src[l.pos:]
	at := nextTag(rest)
	if at < 0 {
		l.emit(tokenData, rest)
		l.advance(len(rest))
		return nil
	}
	text, kind := rest[:at], rest[at+1]
	sign := byte(0)
	if len(rest) > at+2 && (rest[at+2] == '-' || rest[at+2] == '+') {
		sign = rest[at+2]
	}
	if kept := l.strip(text, kind, sign); kept != "" {
		l.emit(tokenData, kept)
	}
	l.advance(at + 2)
	if sign == '-' || sign == '+' && kind != '{' {
		l.advance(1)
	}
	switch kind {
	case '#':
		return l.comment()
	case '{':
		l.emit(tokenOpen, "")
		return l.expression(tokenClose)
	}
	if raw, ok := l.rawHead(); ok {
		return l.raw(raw)
	}
	l.emit(tokenBegin, "")
	return l.expression(tokenEnd)
}

// nextTag is the offset of the next "{{", "{%" or "{#", or -1.
func nextTag(s string) int {
	for at := 0; ; at++ {
		i := strings.IndexByte(s[at:], '{')
		if i < 0 || at+i+1 >= len(s) {
			return -1
		}
		at += i
		if c := s[at+1]; c == '{' || c == '%' || c == '#' {
			return at
		}
	}
}

// strip removes from the text before a tag what the tag's sign, or lstrip_blocks, says.
func (l *lexer) strip(text string, kind, sign byte) string {
	if sign == '-' {
		return strings.TrimRightFunc(text, unicode.IsSpace)
	}
	if kind == '{' || sign == '+' {
		return text
	}
	lineAt := strings.LastIndexByte(text, '\n') + 1
	if (lineAt > 0 || l.lineStart) && strings.TrimFunc(text[lineAt:], unicode.IsSpace) == "" {
		return text[:lineAt]
	}
	return text
}

// close moves past a closer that is n bytes long with its sign, and past the whitespace it takes along.
func (l *lexer) close(n int, sign byte, block bool) {
	start := l.pos
	l.advance(n)
	rest := l.src[l.pos:]
	if sign == '-' {
		l.advance(len(rest) - len(strings.TrimLeftFunc(rest, unicode.IsSpace)))
	} else if block && sign != '+' && strings.HasPrefix(rest, "\n") {
		l.advance(1)
	}
	l.lineStart = l.src[start:l.pos][l.pos-start-1] == '\n'
}

func (l *lexer) comment() error {
	end := strings.Index(l.src[l.pos:], "#}")
	if end < 0 {
		return syntaxError(l.line, "unclosed comment")
	}
	sign := byte(0)
	if end > 0 {
		sign = l.src[l.pos+end-1]
	}
	l.advance(end)
	l.close(2, sign, true)
	return nil
}

// rawHead tells whether the tag at pos is {% raw %}, and how many bytes its rest has.
func (l *lexer) rawHead() (int, bool) {
	rest := l.src[l.pos:]
	body := strings.TrimLeftFunc(rest, unicode.IsSpace)
	if !strings.HasPrefix(body, "raw") {
		return 0, false
	}
	body = strings.TrimLeftFunc(body[3:], unicode.IsSpace)
	sign := byte(0)
	if strings.HasPrefix(body, "-") {
		sign, body = '-', body[1:]
	}
	if !strings.HasPrefix(body, "%}") {
		return 0, false
	}
	body = body[2:]
	if sign == '-' {
		body = strings.TrimLeftFunc(body, unicode.IsSpace)
	}
	return len(rest) - len(body), true
}

// raw reads up to {% endraw %} without looking at what is inside.
func (l *lexer) raw(head int) error {
	l.advance(head)
	for at := 0; ; {
		i := strings.Index(l.src[l.pos+at:], "{%")
		if i < 0 {
			return syntaxError(l.line, "unclosed raw")
		}
		at += i
		tag := l.src[l.pos+at+2:]
		sign := byte(0)
		if tag != "" && (tag[0] == '-' || tag[0] == '+') {
			sign, tag = tag[0], tag[1:]
		}
		tag = strings.TrimLeftFunc(tag, unicode.IsSpace)
		if !strings.HasPrefix(tag, "endraw") {
			at += 2
			continue
		}
		tag = strings.TrimLeftFunc(tag[len("endraw"):], unicode.IsSpace)
		endSign := byte(0)
		if tag != "" && (tag[0] == '-' || tag[0] == '+') {
			endSign, tag = tag[0], tag[1:]
		}
		if !strings.HasPrefix(tag, "%}") {
			at += 2
			continue
		}
		l.lineStart = false
		if kept := l.strip(l.src[l.pos:l.pos+at], '%', sign); kept != "" {
			l.emit(tokenData, kept)
		}
		l.advance(len(l.src) - l.pos - len(tag))
		l.close(2, endSign, true)
		return nil
	}
}

// expression reads the tokens of a tag up to its closer, which does not count inside brackets.
func (l *lexer) expression(closer tokenKind) error {
	text, block := "}}", false
	if closer == tokenEnd {
		text, block = "%}", true
	}
	var brackets []byte
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		if len(brackets) == 0 {
			sign := byte(0)
			if rest[0] == '-' || rest[0] == '+' && block {
				sign, rest = rest[0], rest[1:]
			}
			if strings.HasPrefix(rest, text) {
				l.emit(closer, "")
				l.close(len(l.src)-l.pos-len(rest)+2, sign, block)
				return nil
			}
			rest = l.src[l.pos:]
		}
		c, size := utf8.DecodeRuneInString(rest)
		var err error
		switch {
		case unicode.IsSpace(c):
			l.advance(size)
		case c == '"' || c == '\'':
			err = l.str(byte(c))
		case c >= '0' && c <= '9':
			l.number()
		case c == '_' || unicode.IsLetter(c):
			l.name()
		default:
			brackets, err = l.operator(brackets)
		}
		if err != nil {
			return err
		}
	}
	return syntaxError(l.line, "unclosed tag")
}

func (l *lexer) name() {
	rest := l.src[l.pos:]
	end := strings.IndexFunc(rest, func(c rune) bool {
		return c != '_' && !unicode.IsLetter(c) && !unicode.IsDigit(c)
	})
	if end < 0 {
		end = len(rest)
	}
	l.emit(tokenName, rest[:end])
	l.advance(end)
}

// number reads decimal, 0x, 0o and 0b integers and floats, with underscores between digits.
func (l *lexer) number() {
	rest := l.src[l.pos:]
	digits := func(from int, set string) int {
		for from < len(rest) && strings.IndexByte(set, rest[from]) >= 0 {
			from++
		}
		return from
	}
	if len(rest) > 2 && rest[0] == '0' && strings.IndexByte("xXoObB", rest[1]) >= 0 {
		end := digits(2, "0123456789abcdefABCDEF_")
		l.emit(tokenInt, strings.ReplaceAll(rest[:end], "_", ""))
		l.advance(end)
		return
	}
	const decimal = "0123456789_"
	end, kind := digits(0, decimal), tokenInt
	if end+1 < len(rest) && rest[end] == '.' && rest[end+1] >= '0' && rest[end+1] <= '9' {
		end, kind = digits(end+1, decimal), tokenFloat
	}
	if end < len(rest) && (rest[end] == 'e' || rest[end] == 'E') {
		exp := end + 1
		if exp < len(rest) && (rest[exp] == '+' || rest[exp] == '-') {
			exp++
		}
		if after := digits(exp, decimal); after > exp {
			end, kind = after, tokenFloat
		}
	}
	l.emit(kind, strings.ReplaceAll(rest[:end], "_", ""))
	l.advance(end)
}

func (l *lexer) operator(brackets []byte) ([]byte, error) {
	rest := l.src[l.pos:]
	op := rest[:1]
	for _, two := range []string{"==", "!=", "<=", ">=", "//", "**"} {
		if strings.HasPrefix(rest, two) {
			op = two
		}
	}
	switch c := op[0]; c {
	case '(':
		brackets = append(brackets, ')')
	case '[':
		brackets = append(brackets, ']')
	case '{':
		brackets = append(brackets, '}')
	case ')', ']', '}':
		if len(brackets) == 0 || brackets[len(brackets)-1] != c {
			return nil, syntaxError(l.line, "unexpected %q", c)
		}
		brackets = brackets[:len(brackets)-1]
	default:
		if strings.IndexByte("+-*/%~<>=!|.,:", c) < 0 || op == "!" {
			return nil, syntaxError(l.line, "unexpected %q", c)
		}
	}
	l.emit(tokenOp, op)
	l.advance(len(op))
	return brackets, nil
}

// str reads a quoted string with Python's escapes.
func (l *lexer) str(quote byte) error {
	var out strings.Builder
	rest := l.src[l.pos+1:]
	for i := 0; i < len(rest); {
		switch c := rest[i]; c {
		case quote:
			l.emit(tokenString, out.String())
			l.advance(i + 2)
			return nil
		case '\\':
			n, ok := unescape(&out, rest[i+1:])
			if !ok {
				return syntaxError(l.line, "bad escape in string")
			}
			i += 1 + n
		default:
			out.WriteByte(c)
			i++
		}
	}
	return syntaxError(l.line, "unclosed string")
}

// unescape writes what the escape at the start of s (behind its backslash) stands for and returns its length.
func unescape(out *strings.Builder, s string) (int, bool) {
	if s == "" {
		return 0, false
	}
	if i := strings.IndexByte("nrtabfv0\\'\"", s[0]); i >= 0 && (s[0] != '0' || len(s) < 2 || s[1] < '0' || s[1] > '7') {
		out.WriteByte("\n\r\t\a\b\f\v\x00\\'\""[i])
		return 1, true
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[0]]
	switch {
	case s[0] == '\n':
		return 1, true
	case digits > 0 && len(s) > digits:
		n := rune(0)
		for _, c := range []byte(s[1 : 1+digits]) {
			v := strings.IndexByte("0123456789abcdef", c|0x20)
			if c >= '0' && c <= '9' {
				v = int(c - '0')
			}
			if v < 0 || n > unicode.MaxRune {
				return 0, false
			}
			n = n<<4 | rune(v)
		}
		if n > unicode.MaxRune {
			return 0, false
		}
		out.WriteRune(n)
		return 1 + digits, true
	}
	out.WriteByte('\\') // Python keeps an escape it does not know
	return 0, true
}
