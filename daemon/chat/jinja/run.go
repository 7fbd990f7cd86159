package jinja

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Limits of one render.
const (
	MaxSource = 1 << 20 // bytes of a template
	MaxOutput = 8 << 20 // bytes of what it renders
	maxWork   = 256 << 20
	maxSteps  = 20 << 20
	maxDepth  = 1500 // frames of evaluation: expressions within calls within blocks
	maxTime   = 2 * time.Second
)

// Template is a parsed template. It is safe for concurrent use.
type Template struct{ body []stmt }

// Parse reads a template. The error has code core.CodeUnsupported.
func Parse(src string) (*Template, error) {
	if len(src) > MaxSource {
		return nil, core.Errorf(core.CodeUnsupported, "chat template has more than %d bytes", MaxSource)
	}
	body, err := parse(src)
	if err != nil {
		return nil, err
	}
	return &Template{body}, nil
}

// Render runs the template with the given variables; now is what strftime_now tells. An exception that the template
// raises, or a value it cannot handle, is a core.CodeInvalidRequest; work beyond the limits a core.CodeUnsupported.
func (t *Template) Render(ctx context.Context, vars *Dict, now time.Time) (Text, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	r := &run{ctx: ctx, now: now, out: &Builder{}}
	r.scope = &scope{vars: globals()}
	for _, e := range vars.entries {
		if name, ok := e.key.(Text); ok {
			r.scope.vars[name.s] = e.value
		}
	}
	r.scope = &scope{vars: map[string]any{}, parent: r.scope}
	if _, err := r.block(t.body); err != nil {
		return Text{}, err
	}
	return r.out.Text(), nil
}

// scope holds the names of a block.
type scope struct {
	vars   map[string]any
	parent *scope
}

func (s *scope) get(name string) any {
	for ; s != nil; s = s.parent {
		if v, ok := s.vars[name]; ok {
			return v
		}
	}
	return undefined{name}
}

// run is one render in progress.
type run struct {
	ctx   context.Context
	now   time.Time
	scope *scope
	out   *Builder
	steps int
	work  int // bytes made
	depth int
	line  int
}

// step counts a unit of work and looks at the clock now and then.
func (r *run) step() error {
	if r.steps++; r.steps > maxSteps {
		return core.Errorf(core.CodeUnsupported, "chat template takes too many steps")
	}
	if r.steps%256 == 0 && r.ctx.Err() != nil {
		return r.late()
	}
	return nil
}

func (r *run) late() error {
	if r.ctx.Err() == context.DeadlineExceeded {
		return core.Errorf(core.CodeUnsupported, "chat template takes longer than %s", maxTime)
	}
	return core.Errorf(core.CodeCancelled, "render chat template: %w", r.ctx.Err())
}

// spend counts n bytes about to be made, or looked through.
func (r *run) spend(n int) error {
	if n < 0 || n > maxWork-r.work {
		return core.Errorf(core.CodeUnsupported, "chat template makes too much text")
	}
	r.work += n
	return r.step()
}

// enter counts a level of nesting; leave must follow unless it fails, which ends the render.
func (r *run) enter() error {
	if r.depth++; r.depth > maxDepth {
		return core.Errorf(core.CodeUnsupported, "chat template nests too deeply")
	}
	return r.step()
}

func (r *run) leave() { r.depth-- }

// fail is an error of the template's making, such as adding a number to text.
func (r *run) fail(format string, args ...any) error {
	err := core.Errorf(core.CodeInvalidRequest, format, args...)
	return core.Errorf(core.CodeInvalidRequest, "chat template line %d: %w", r.line, err)
}

func (r *run) write(t Text) error {
	if r.out.Len()+len(t.s) > MaxOutput {
		return core.Errorf(core.CodeUnsupported, "chat template renders more than %d bytes", MaxOutput)
	}
	if err := r.spend(len(t.s)); err != nil {
		return err
	}
	r.out.Write(t)
	return nil
}

// capture runs body and returns what it wrote.
func (r *run) capture(body []stmt) (Text, error) {
	out := r.out
	r.out = &Builder{}
	defer func() { r.out = out }()
	_, err := r.block(body)
	return r.out.Text(), err
}

// within runs f in a new scope whose parent is given.
func (r *run) within(parent *scope, f func(*scope) error) error {
	old := r.scope
	r.scope = &scope{vars: map[string]any{}, parent: parent}
	defer func() { r.scope = old }()
	return f(r.scope)
}
