package jinja

// jump says how a block ended.
type jump uint8

const (
	fallThrough jump = iota
	breaking
	continuing
)

func (r *run) block(body []stmt) (jump, error) {
	if err := r.enter(); err != nil {
		return 0, err
	}
	defer r.leave()
	for _, s := range body {
		if j, err := r.exec(s); j != fallThrough || err != nil {
			return j, err
		}
	}
	return fallThrough, nil
}

func (r *run) exec(s stmt) (jump, error) {
	switch s := s.(type) {
	case *data:
		return 0, r.write(Plain(s.text))
	case *output:
		v, err := r.eval(s.value)
		if err != nil {
			return 0, err
		}
		t, err := r.str(v)
		if err != nil {
			return 0, err
		}
		return 0, r.write(t)
	case *ifElse:
		v, err := r.eval(s.cond)
		if err != nil {
			return 0, err
		}
		if truth(v) {
			return r.block(s.then)
		}
		return r.block(s.otherwise)
	case *forEach:
		return 0, r.forEach(s)
	case *assign:
		return 0, r.assign(s)
	case *assignBlock:
		return 0, r.assignBlock(s)
	case *macro:
		r.scope.vars[s.name] = r.macro(s, r.scope)
	case *callBlock:
		return 0, r.callBlock(s)
	case *filterBlock:
		t, err := r.capture(s.body)
		if err != nil {
			return 0, err
		}
		v, err := r.filtered(s.filter, t)
		if err != nil {
			return 0, err
		}
		if t, err = r.str(v); err != nil {
			return 0, err
		}
		return 0, r.write(t)
	case *scoped:
		return r.with(s)
	case breakLoop:
		return breaking, nil
	case continueLoop:
		return continuing, nil
	}
	return 0, nil
}

func (r *run) with(s *scoped) (j jump, err error) {
	if len(s.names) == 0 {
		return r.block(s.body)
	}
	err = r.within(r.scope, func(inner *scope) error {
		for i, name := range s.names {
			v, err := r.eval(s.values[i])
			if err != nil {
				return err
			}
			inner.vars[name] = v
		}
		j, err = r.block(s.body)
		return err
	})
	return j, err
}

func (r *run) assign(s *assign) error {
	r.line = s.pos()
	v, err := r.eval(s.value)
	if err != nil {
		return err
	}
	if s.unpack {
		return r.unpack(r.scope, s.targets, v)
	}
	return r.store(s.targets[0], s.member, v)
}

func (r *run) assignBlock(s *assignBlock) error {
	r.line = s.pos()
	t, err := r.capture(s.body)
	if err != nil {
		return err
	}
	var v any = t
	if s.filter != nil {
		if v, err = r.filtered(s.filter, t); err != nil {
			return err
		}
	}
	return r.store(s.target, s.member, v)
}

// store sets a name of this scope or, with member, of a namespace.
func (r *run) store(name, member string, v any) error {
	if member == "" {
		r.scope.vars[name] = v
		return nil
	}
	ns, ok := r.scope.get(name).(*namespace)
	if !ok {
		return r.fail("cannot assign attribute on non-namespace object")
	}
	ns.members.SetString(member, v)
	return r.spend(1)
}

func (r *run) unpack(to *scope, names []string, v any) error {
	items, err := r.iterate(v)
	if err != nil {
		return err
	}
	if len(items) != len(names) {
		return r.fail("cannot unpack %d values into %d names", len(items), len(names))
	}
	for i, name := range names {
		to.vars[name] = items[i]
	}
	return nil
}

// loop is the variable of that name in a for loop.
type loop struct {
	items     []any
	index     int
	depth     int
	changed   any
	seen      bool
	recursive func(r *run, v any) (Text, error)
}

func (r *run) forEach(s *forEach) error {
	r.line = s.pos()
	v, err := r.eval(s.in)
	if err != nil {
		return err
	}
	return r.loop(s, v, 1, r.scope)
}

// loop runs s over the items of v. A recursive loop comes here again from within.
func (r *run) loop(s *forEach, v any, depth int, parent *scope) error {
	items, err := r.iterate(v)
	if err != nil {
		return err
	}
	if s.cond != nil {
		if items, err = r.selected(s, items, parent); err != nil {
			return err
		}
	}
	l := &loop{items: items, depth: depth}
	if s.recursive {
		l.recursive = func(r *run, v any) (Text, error) {
			out := r.out
			r.out = &Builder{}
			defer func() { r.out = out }()
			err := r.loop(s, v, depth+1, parent)
			return r.out.Text(), err
		}
	}
	whole := false // a pass ran to its end; as in jinja2, passes cut short do not keep "else" from running
	for l.index = range items {
		j, err := r.pass(s, l, parent)
		if err != nil {
			return err
		}
		if j == breaking {
			break
		}
		whole = whole || j == fallThrough
	}
	if whole {
		return nil
	}
	return r.within(parent, func(*scope) error {
		_, err := r.block(s.otherwise)
		return err
	})
}

// pass runs the body for one item.
func (r *run) pass(s *forEach, l *loop, parent *scope) (j jump, err error) {
	err = r.within(parent, func(inner *scope) error {
		if err := r.bind(s, inner, l.items[l.index]); err != nil {
			return err
		}
		inner.vars["loop"] = l
		j, err = r.block(s.body)
		return err
	})
	return j, err
}

func (r *run) bind(s *forEach, inner *scope, item any) error {
	if s.unpack {
		return r.unpack(inner, s.targets, item)
	}
	inner.vars[s.targets[0]] = item
	return nil
}

// selected are the items for which the loop's condition holds.
func (r *run) selected(s *forEach, items []any, parent *scope) (kept []any, err error) {
	for _, item := range items {
		err := r.within(parent, func(inner *scope) error {
			if err := r.bind(s, inner, item); err != nil {
				return err
			}
			v, err := r.eval(s.cond)
			if truth(v) && err == nil {
				kept = append(kept, item)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// iterate gives the items that a for loop sees. It must not be changed by the caller.
func (r *run) iterate(v any) ([]any, error) {
	switch v := v.(type) {
	case *List:
		return v.Items, r.step()
	case *Dict:
		return v.keys().Items, r.spend(16 * len(v.entries))
	case Text:
		var items []any
		at := 0
		for i := range v.s {
			if i > at {
				items = append(items, v.Slice(at, i))
				at = i
			}
			if err := r.spend(64); err != nil {
				return nil, err
			}
		}
		if at < len(v.s) {
			items = append(items, v.Slice(at, len(v.s)))
		}
		return items, nil
	case undefined:
		return nil, nil
	}
	return nil, r.fail("'%s' object is not iterable", kind(v))
}

// macro makes the function that a macro is.
func (r *run) macro(m *macro, defined *scope) function {
	return function{m.name, func(r *run, a args) (any, error) {
		var out Text
		err := r.within(defined, func(inner *scope) (err error) {
			if err := r.parameters(m, inner, a); err != nil {
				return err
			}
			out, err = r.capture(m.body)
			return err
		})
		return out, err
	}}
}

// parameters sets a macro's parameters in its scope.
func (r *run) parameters(m *macro, inner *scope, a args) error {
	if len(a.positional) > len(m.params) {
		return r.fail("macro %q takes not more than %d arguments", m.name, len(m.params))
	}
	used := 0
	for i, name := range m.params {
		if v, ok := a.named(name); ok {
			if i < len(a.positional) {
				return r.fail("macro %q got two values for %q", m.name, name)
			}
			used++
			inner.vars[name] = v
			continue
		}
		switch fromEnd := i - (len(m.params) - len(m.defaults)); {
		case i < len(a.positional):
			inner.vars[name] = a.positional[i]
		case fromEnd >= 0:
			v, err := r.eval(m.defaults[fromEnd])
			if err != nil {
				return err
			}
			inner.vars[name] = v
		default:
			inner.vars[name] = undefined{name}
		}
	}
	if v, ok := a.named("caller"); ok {
		inner.vars["caller"] = v
		used++
	}
	if used < len(a.names) {
		return r.fail("macro %q got an argument it does not know", m.name)
	}
	return nil
}

func (r *run) callBlock(s *callBlock) error {
	r.line = s.pos()
	fn, err := r.eval(s.call.fn)
	if err != nil {
		return err
	}
	a, err := r.args(s.call.args)
	if err != nil {
		return err
	}
	a.names = append(a.names, "caller")
	a.values = append(a.values, r.macro(s.caller, r.scope))
	v, err := r.invoke(fn, a)
	if err != nil {
		return err
	}
	t, err := r.str(v)
	if err != nil {
		return err
	}
	return r.write(t)
}
