package jinja

import (
	"slices"
	"strconv"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// maxNesting bounds how deep expressions and blocks of a template may nest.
const maxNesting = 200

func syntaxError(line int, format string, args ...any) error {
	err := core.Errorf(core.CodeUnsupported, format, args...)
	return core.Errorf(core.CodeUnsupported, "chat template line %d: %w", line, err)
}

type parser struct {
	tokens []token
	depth  int
	loops  int // enclosing for loops of the macro being read
}

func parse(src string) ([]stmt, error) {
	tokens, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	body, _, err := p.block()
	return body, err
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != tokenEOF {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *parser) is(k tokenKind, text string) bool {
	return p.peek().kind == k && p.peek().text == text
}

// take consumes the next token if it is the one given.
func (p *parser) take(k tokenKind, text string) bool {
	if !p.is(k, text) {
		return false
	}
	p.next()
	return true
}

func (p *parser) op(text string) bool   { return p.take(tokenOp, text) }
func (p *parser) word(text string) bool { return p.take(tokenName, text) }

func (p *parser) expect(k tokenKind, text string) error {
	if !p.take(k, text) {
		return p.unexpected()
	}
	return nil
}

func (p *parser) ident() (string, error) {
	if p.peek().kind != tokenName {
		return "", p.unexpected()
	}
	return p.next().text, nil
}

func (p *parser) unexpected() error {
	t := p.peek()
	switch t.kind {
	case tokenEOF:
		return syntaxError(t.line, "unexpected end of template")
	case tokenClose, tokenEnd:
		return syntaxError(t.line, "unexpected end of tag")
	}
	return syntaxError(t.line, "unexpected %q", t.text)
}

// enter counts one level of nesting; leave must follow when it succeeds.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxNesting {
		return syntaxError(p.peek().line, "nested too deeply")
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// block reads statements up to a tag with one of the given names, whose name it consumes and returns.
func (p *parser) block(ends ...string) ([]stmt, string, error) {
	if err := p.enter(); err != nil {
		return nil, "", err
	}
	defer p.leave()
	var body []stmt
	for {
		var s stmt
		var err error
		switch t := p.next(); t.kind {
		case tokenEOF:
			if len(ends) > 0 {
				return nil, "", syntaxError(t.line, "missing %s", ends[len(ends)-1])
			}
			return body, "", nil
		case tokenData:
			s = &data{t.text}
		case tokenOpen:
			s, err = p.output()
		default: // tokenBegin
			if name := p.peek(); name.kind == tokenName && slices.Contains(ends, name.text) {
				p.next()
				return body, name.text, nil
			}
			s, err = p.statement()
		}
		if err != nil {
			return nil, "", err
		}
		body = append(body, s)
	}
}

// blockEnd reads statements up to the tag named end, and that tag's end.
func (p *parser) blockEnd(end string) ([]stmt, error) {
	body, _, err := p.block(end)
	if err != nil {
		return nil, err
	}
	return body, p.expect(tokenEnd, "")
}

func (p *parser) output() (stmt, error) {
	value, err := p.tuple()
	if err != nil {
		return nil, err
	}
	return &output{value}, p.expect(tokenClose, "")
}

// tuple reads one expression, or several with commas between as a tuple.
func (p *parser) tuple() (expr, error) {
	line := p.peek().line
	first, err := p.expression()
	if err != nil || !p.is(tokenOp, ",") {
		return first, err
	}
	items := []expr{first}
	for p.op(",") {
		if k := p.peek(); k.kind == tokenClose || k.kind == tokenEnd || k.kind == tokenOp && (k.text == ")" || k.text == "=") {
			break
		}
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		items = append(items, e)
	}
	return &listOf{at(line), items, true}, nil
}

// expression reads "a if b else c" and everything that binds tighter.
func (p *parser) expression() (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	line := p.peek().line
	value, err := p.or()
	if err != nil {
		return nil, err
	}
	for p.word("if") {
		c := &choice{at: at(line), then: value}
		if c.cond, err = p.or(); err != nil {
			return nil, err
		}
		if p.word("else") {
			if c.otherwise, err = p.expression(); err != nil {
				return nil, err
			}
		}
		value = c
	}
	return value, nil
}

func (p *parser) or() (expr, error) {
	return p.infix(p.and, func() string { return p.takeOne(tokenName, "or") })
}

func (p *parser) and() (expr, error) {
	return p.infix(p.not, func() string { return p.takeOne(tokenName, "and") })
}

// infix reads operands that operators join, from left to right.
func (p *parser) infix(operand func() (expr, error), operator func() string) (expr, error) {
	line := p.peek().line
	left, err := operand()
	for err == nil {
		op := operator()
		if op == "" {
			return left, nil
		}
		var right expr
		if right, err = operand(); err == nil {
			left = &binary{at(line), op, left, right}
		}
	}
	return nil, err
}

// takeOne consumes and returns the next token's text if it is one of those given.
func (p *parser) takeOne(k tokenKind, texts ...string) string {
	if t := p.peek(); t.kind == k && slices.Contains(texts, t.text) {
		return p.next().text
	}
	return ""
}

func (p *parser) not() (expr, error) {
	line := p.peek().line
	if !p.word("not") {
		return p.comparison()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	of, err := p.not()
	return &unary{at(line), "not", of}, err
}

func (p *parser) comparison() (expr, error) {
	line := p.peek().line
	first, err := p.sum()
	if err != nil {
		return nil, err
	}
	c := &compare{at: at(line), first: first}
	for {
		op := p.comparisonOperator()
		if op == "" {
			break
		}
		right, err := p.sum()
		if err != nil {
			return nil, err
		}
		c.ops, c.rest = append(c.ops, op), append(c.rest, right)
	}
	if len(c.ops) == 0 {
		return first, nil
	}
	return c, nil
}

func (p *parser) comparisonOperator() string {
	if op := p.takeOne(tokenOp, "==", "!=", "<", "<=", ">", ">="); op != "" {
		return op
	}
	if p.word("in") {
		return "in"
	}
	if p.is(tokenName, "not") && p.tokens[1].kind == tokenName && p.tokens[1].text == "in" {
		p.next()
		p.next()
		return "not in"
	}
	return ""
}

func (p *parser) sum() (expr, error) {
	return p.infix(p.joined, func() string { return p.takeOne(tokenOp, "+", "-") })
}

func (p *parser) joined() (expr, error) {
	return p.infix(p.product, func() string { return p.takeOne(tokenOp, "~") })
}

func (p *parser) product() (expr, error) {
	return p.infix(p.power, func() string { return p.takeOne(tokenOp, "*", "/", "//", "%") })
}

func (p *parser) power() (expr, error) {
	return p.infix(func() (expr, error) { return p.unary(true) }, func() string { return p.takeOne(tokenOp, "**") })
}

func (p *parser) unary(filters bool) (e expr, err error) {
	line := p.peek().line
	if op := p.takeOne(tokenOp, "-", "+"); op != "" {
		if err := p.enter(); err != nil {
			return nil, err
		}
		defer p.leave()
		if e, err = p.unary(false); err == nil {
			e = &unary{at(line), op, e}
		}
	} else {
		e, err = p.primary()
	}
	if err == nil {
		e, err = p.postfix(e)
	}
	if err == nil && filters {
		e, err = p.filters(e)
	}
	return e, err
}

func (p *parser) primary() (expr, error) {
	t := p.next()
	line := at(t.line)
	switch t.kind {
	case tokenName:
		switch t.text {
		case "true", "True":
			return &literal{line, true}, nil
		case "false", "False":
			return &literal{line, false}, nil
		case "none", "None":
			return &literal{line, nil}, nil
		}
		return &variable{line, t.text}, nil
	case tokenString:
		for p.peek().kind == tokenString {
			t.text += p.next().text
		}
		return &literal{line, Plain(t.text)}, nil
	case tokenInt:
		n, err := strconv.ParseInt(t.text, 0, 64)
		if err != nil {
			n, err = strconv.ParseInt(t.text, 10, 64)
		}
		if err != nil {
			return nil, syntaxError(t.line, "number %q is out of range", t.text)
		}
		return &literal{line, n}, nil
	case tokenFloat:
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return nil, syntaxError(t.line, "number %q is out of range", t.text)
		}
		return &literal{line, f}, nil
	case tokenOp:
		switch t.text {
		case "(":
			return p.parenthesis(t.line)
		case "[":
			items, err := p.items("]")
			return &listOf{line, items, false}, err
		case "{":
			return p.dict(t.line)
		}
	}
	p.tokens = append([]token{t}, p.tokens...)
	return nil, p.unexpected()
}

func (p *parser) parenthesis(line int) (expr, error) {
	if p.op(")") {
		return &listOf{at: at(line), tuple: true}, nil
	}
	e, err := p.tuple()
	if err != nil {
		return nil, err
	}
	return e, p.expect(tokenOp, ")")
}

// items reads expressions with commas between, up to the closing bracket.
func (p *parser) items(closer string) ([]expr, error) {
	var items []expr
	for !p.op(closer) {
		if len(items) > 0 {
			if err := p.expect(tokenOp, ","); err != nil {
				return nil, err
			}
			if p.op(closer) {
				break
			}
		}
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		items = append(items, e)
	}
	return items, nil
}

func (p *parser) dict(line int) (expr, error) {
	d := &dictOf{at: at(line)}
	for !p.op("}") {
		if len(d.keys) > 0 {
			if err := p.expect(tokenOp, ","); err != nil {
				return nil, err
			}
			if p.op("}") {
				break
			}
		}
		key, err := p.expression()
		if err != nil {
			return nil, err
		}
		if err := p.expect(tokenOp, ":"); err != nil {
			return nil, err
		}
		value, err := p.expression()
		if err != nil {
			return nil, err
		}
		d.keys, d.values = append(d.keys, key), append(d.values, value)
	}
	return d, nil
}

// postfix reads attributes, items, slices and calls behind e.
func (p *parser) postfix(e expr) (expr, error) {
	var err error
	for err == nil {
		line := at(p.peek().line)
		switch {
		case p.op("."):
			if t := p.next(); t.kind == tokenInt {
				n, _ := strconv.ParseInt(t.text, 10, 64)
				e = &item{line, e, &literal{line, n}}
			} else if t.kind == tokenName {
				e = &attribute{line, e, t.text}
			} else {
				return nil, syntaxError(t.line, "expected a name after '.'")
			}
		case p.op("["):
			e, err = p.subscript(e, line)
		case p.is(tokenOp, "("):
			e, err = p.call(e)
		default:
			return e, nil
		}
	}
	return nil, err
}

func (p *parser) call(fn expr) (*call, error) {
	c := &call{at: at(p.peek().line), fn: fn}
	var err error
	c.args, err = p.arguments()
	return c, err
}

func (p *parser) subscript(of expr, line at) (expr, error) {
	var bounds [3]expr
	colons := 0
	for !p.op("]") {
		if p.op(":") {
			if colons++; colons > 2 {
				return nil, p.unexpected()
			}
			continue
		}
		if bounds[colons] != nil {
			return nil, p.unexpected()
		}
		var err error
		if bounds[colons], err = p.tuple(); err != nil {
			return nil, err
		}
	}
	switch {
	case colons > 0:
		return &slice{line, of, bounds[0], bounds[1], bounds[2]}, nil
	case bounds[0] == nil:
		return nil, syntaxError(int(line), "empty subscript")
	}
	return &item{line, of, bounds[0]}, nil
}

func (p *parser) arguments() (a arguments, err error) {
	if err := p.expect(tokenOp, "("); err != nil {
		return a, err
	}
	for first := true; !p.op(")"); first = false {
		if !first {
			if err := p.expect(tokenOp, ","); err != nil {
				return a, err
			}
			if p.op(")") {
				break
			}
		}
		name := ""
		if p.peek().kind == tokenName && p.tokens[1].kind == tokenOp && p.tokens[1].text == "=" {
			name = p.next().text
			p.next()
		}
		e, err := p.expression()
		if err != nil {
			return a, err
		}
		if name != "" {
			a.names, a.named = append(a.names, name), append(a.named, e)
		} else if len(a.names) > 0 {
			return a, syntaxError(e.pos(), "positional argument behind a named one")
		} else {
			a.positional = append(a.positional, e)
		}
	}
	return a, nil
}

// filters reads "| filter", "is test" and calls behind e.
func (p *parser) filters(e expr) (expr, error) {
	var err error
	for err == nil {
		switch {
		case p.op("|"):
			e, err = p.filter(e)
		case p.word("is"):
			e, err = p.test(e)
		case p.is(tokenOp, "("):
			e, err = p.call(e)
		default:
			return e, nil
		}
	}
	return nil, err
}

func (p *parser) filter(of expr) (expr, error) {
	f := &filter{at: at(p.peek().line), of: of}
	var err error
	if f.name, err = p.ident(); err != nil {
		return nil, err
	}
	if _, ok := filterNamed(f.name); !ok {
		return nil, syntaxError(f.pos(), "there is no filter %q", f.name)
	}
	if p.is(tokenOp, "(") {
		f.args, err = p.arguments()
	}
	return f, err
}

func (p *parser) test(of expr) (expr, error) {
	t := &test{at: at(p.peek().line), of: of, not: p.word("not")}
	var err error
	if t.name, err = p.ident(); err != nil {
		return nil, err
	}
	if _, ok := tests[t.name]; !ok {
		return nil, syntaxError(t.pos(), "there is no test %q", t.name)
	}
	if p.is(tokenOp, "(") {
		t.args, err = p.arguments()
		return t, err
	}
	if p.bareArgument() {
		arg, err := p.primary()
		if err == nil {
			arg, err = p.postfix(arg)
		}
		t.args.positional = []expr{arg}
		return t, err
	}
	return t, nil
}

// bareArgument tells whether a test's argument without parentheses follows.
func (p *parser) bareArgument() bool {
	switch t := p.peek(); t.kind {
	case tokenString, tokenInt, tokenFloat:
		return true
	case tokenOp:
		return t.text == "[" || t.text == "{"
	case tokenName:
		return !slices.Contains([]string{"else", "or", "and", "is", "if", "not", "in", "recursive"}, t.text)
	}
	return false
}
