package jinja

// statement reads one tag, whose {% is consumed, and its body.
func (p *parser) statement() (stmt, error) {
	t := p.next()
	if t.kind != tokenName {
		return nil, syntaxError(t.line, "expected the name of a tag")
	}
	switch t.text {
	case "if":
		return p.ifElse()
	case "for":
		return p.forEach(t.line)
	case "set":
		return p.set(t.line)
	case "macro":
		return p.macro(t.line)
	case "call":
		return p.callBlock(t.line)
	case "filter":
		return p.filterBlock()
	case "with":
		return p.with()
	case "generation": // transformers marks the assistant's tokens with it
		return p.group("endgeneration")
	case "break", "continue":
		return p.jump(t)
	case "include", "import", "from", "extends", "block":
		return nil, syntaxError(t.line, "a chat template may not use %q", t.text)
	}
	return nil, syntaxError(t.line, "unknown tag %q", t.text)
}

func (p *parser) group(end string) (stmt, error) {
	if err := p.expect(tokenEnd, ""); err != nil {
		return nil, err
	}
	body, err := p.blockEnd(end)
	return &scoped{body: body}, err
}

func (p *parser) jump(t token) (stmt, error) {
	if p.loops == 0 {
		return nil, syntaxError(t.line, "%q outside of a loop", t.text)
	}
	if t.text == "break" {
		return breakLoop{}, p.expect(tokenEnd, "")
	}
	return continueLoop{}, p.expect(tokenEnd, "")
}

func (p *parser) ifElse() (stmt, error) {
	n := &ifElse{}
	var err error
	if n.cond, err = p.tuple(); err != nil {
		return nil, err
	}
	if err := p.expect(tokenEnd, ""); err != nil {
		return nil, err
	}
	var end string
	if n.then, end, err = p.block("elif", "else", "endif"); err != nil {
		return nil, err
	}
	switch end {
	case "elif":
		if err := p.enter(); err != nil {
			return nil, err
		}
		defer p.leave()
		rest, err := p.ifElse()
		n.otherwise = []stmt{rest}
		return n, err
	case "else":
		if err := p.expect(tokenEnd, ""); err != nil {
			return nil, err
		}
		n.otherwise, err = p.blockEnd("endif")
		return n, err
	}
	return n, p.expect(tokenEnd, "")
}

// targets reads the names before "in" or "=": one, or several to unpack into.
func (p *parser) targets() (names []string, unpack bool, err error) {
	bracket := p.op("(")
	for {
		name, err := p.ident()
		if err != nil {
			return nil, false, err
		}
		names = append(names, name)
		if !p.op(",") {
			break
		}
		unpack = true
		if p.peek().kind != tokenName || p.is(tokenName, "in") {
			break
		}
	}
	if bracket {
		return names, unpack, p.expect(tokenOp, ")")
	}
	return names, unpack, nil
}

func (p *parser) forEach(line int) (stmt, error) {
	n := &forEach{at: at(line)}
	var err error
	if n.targets, n.unpack, err = p.targets(); err != nil {
		return nil, err
	}
	if err := p.expect(tokenName, "in"); err != nil {
		return nil, err
	}
	if n.in, err = p.or(); err != nil { // no "a if b", which would take the loop's own "if"
		return nil, err
	}
	if p.is(tokenOp, ",") {
		items := []expr{n.in}
		for p.op(",") {
			e, err := p.or()
			if err != nil {
				return nil, err
			}
			items = append(items, e)
		}
		n.in = &listOf{at(line), items, true}
	}
	if p.word("if") {
		if n.cond, err = p.expression(); err != nil {
			return nil, err
		}
	}
	n.recursive = p.word("recursive")
	if err := p.expect(tokenEnd, ""); err != nil {
		return nil, err
	}
	p.loops++
	body, end, err := p.block("else", "endfor")
	p.loops--
	if err != nil {
		return nil, err
	}
	n.body = body
	if err := p.expect(tokenEnd, ""); err != nil || end == "endfor" {
		return n, err
	}
	n.otherwise, err = p.blockEnd("endfor")
	return n, err
}

func (p *parser) set(line int) (stmt, error) {
	names, unpack, err := p.targets()
	if err != nil {
		return nil, err
	}
	member := ""
	if len(names) == 1 && p.op(".") {
		if member, err = p.ident(); err != nil {
			return nil, err
		}
	}
	if p.op("=") {
		value, err := p.tuple()
		if err != nil {
			return nil, err
		}
		return &assign{at(line), names, member, unpack, value}, p.expect(tokenEnd, "")
	}
	if unpack {
		return nil, p.unexpected()
	}
	n := &assignBlock{at: at(line), target: names[0], member: member}
	if n.filter, err = p.filters(nil); err != nil {
		return nil, err
	}
	if err := p.expect(tokenEnd, ""); err != nil {
		return nil, err
	}
	n.body, err = p.blockEnd("endset")
	return n, err
}

func (p *parser) macro(line int) (*macro, error) {
	n := &macro{at: at(line)}
	var err error
	if n.name, err = p.ident(); err != nil {
		return nil, err
	}
	if err := p.params(n); err != nil {
		return nil, err
	}
	return n, p.macroBody(n, "endmacro")
}

// params reads the parameters of a macro with their parentheses.
func (p *parser) params(n *macro) error {
	if err := p.expect(tokenOp, "("); err != nil {
		return err
	}
	for !p.op(")") {
		if len(n.params) > 0 {
			if err := p.expect(tokenOp, ","); err != nil {
				return err
			}
		}
		name, err := p.ident()
		if err != nil {
			return err
		}
		n.params = append(n.params, name)
		if p.op("=") {
			value, err := p.expression()
			if err != nil {
				return err
			}
			n.defaults = append(n.defaults, value)
		} else if len(n.defaults) > 0 {
			return syntaxError(p.peek().line, "parameter %q needs a default", name)
		}
	}
	return nil
}

func (p *parser) macroBody(n *macro, end string) (err error) {
	if err := p.expect(tokenEnd, ""); err != nil {
		return err
	}
	loops := p.loops
	p.loops = 0
	n.body, err = p.blockEnd(end)
	p.loops = loops
	return err
}

func (p *parser) callBlock(line int) (stmt, error) {
	n := &callBlock{at: at(line), caller: &macro{at: at(line), name: "caller"}}
	if p.is(tokenOp, "(") {
		if err := p.params(n.caller); err != nil {
			return nil, err
		}
	}
	e, err := p.expression()
	if err != nil {
		return nil, err
	}
	c, ok := e.(*call)
	if !ok {
		return nil, syntaxError(line, "expected a call")
	}
	n.call = c
	return n, p.macroBody(n.caller, "endcall")
}

func (p *parser) filterBlock() (stmt, error) {
	f, err := p.filter(nil)
	if err == nil {
		f, err = p.filters(f)
	}
	if err != nil {
		return nil, err
	}
	if err := p.expect(tokenEnd, ""); err != nil {
		return nil, err
	}
	body, err := p.blockEnd("endfilter")
	return &filterBlock{f, body}, err
}

func (p *parser) with() (stmt, error) {
	n := &scoped{}
	for !p.take(tokenEnd, "") {
		if len(n.names) > 0 {
			if err := p.expect(tokenOp, ","); err != nil {
				return nil, err
			}
		}
		name, err := p.ident()
		if err != nil {
			return nil, err
		}
		if err := p.expect(tokenOp, "="); err != nil {
			return nil, err
		}
		value, err := p.expression()
		if err != nil {
			return nil, err
		}
		n.names, n.values = append(n.names, name), append(n.values, value)
	}
	var err error
	n.body, err = p.blockEnd("endwith")
	return n, err
}
