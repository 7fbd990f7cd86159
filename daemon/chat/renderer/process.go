package renderer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/chat/template"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// ProcessConfig is what a Process works with. Command and Log are required.
type ProcessConfig struct {
	Command []string      // a program that calls Serve, and its arguments
	Limits  Limits        // none is DefaultLimits
	Most    int           // how many renders run at once; none is 2
	Idle    time.Duration // how long a process that has nothing to do stays; none is a minute
	Log     *slog.Logger
}

// Process renders in processes of their own: a template is a stranger's program, and only a process can be bounded in
// memory and ended at any time. A process is started for the first render and stays warm for the next ones.
type Process struct {
	cfg   ProcessConfig
	slots chan struct{} // holds a token for each render

	mu     sync.Mutex // guards both
	warm   []*process
	closed bool
}

// OwnCommand starts this program once more, as a renderer.
func OwnCommand() []string {
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0]
	}
	return []string{program, Argument}
}

// NewProcess makes a Process, which starts nothing yet.
func NewProcess(cfg ProcessConfig) *Process {
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits()
	}
	if cfg.Most == 0 {
		cfg.Most = 2
	}
	if cfg.Idle == 0 {
		cfg.Idle = time.Minute
	}
	return &Process{cfg: cfg, slots: make(chan struct{}, cfg.Most)}
}

// Render implements template.Renderer.
func (p *Process) Render(ctx context.Context, source template.Source, in template.Input) ([]string, error) {
	q, err := newQuestion(p.cfg.Limits, source, in)
	if err != nil {
		return nil, err
	}
	frame, err := pack(q)
	if err != nil {
		return nil, err
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, errCancelled(ctx)
	}
	for {
		r, fresh, err := p.take(ctx)
		if err != nil {
			return nil, err
		}
		a, err := r.ask(ctx, frame, p.cfg.Limits.Time)
		switch {
		case err == nil:
			p.put(r)
			return a.result()
		case errors.Is(err, errNotAsked) && !fresh: // it was ended while it waited
			continue
		}
		p.cfg.Log.Warn("a renderer of chat templates was ended", "reason", err)
		return nil, err
	}
}

// Close ends the processes that wait; one that renders ends when it is done.
func (p *Process) Close() {
	p.mu.Lock()
	p.closed = true
	warm := p.warm
	p.warm = nil
	p.mu.Unlock()
	for _, r := range warm {
		r.idle.Stop()
		r.end()
	}
}

// take gives a warm process or starts a fresh one.
func (p *Process) take(ctx context.Context) (r *process, fresh bool, err error) {
	p.mu.Lock()
	if n := len(p.warm); n > 0 {
		r = p.warm[n-1]
		p.warm = p.warm[:n-1]
	}
	p.mu.Unlock()
	if r != nil {
		r.idle.Stop()
		return r, false, nil
	}
	r, err = startRenderer(ctx, p.cfg)
	return r, true, err
}

// put keeps a process for the next render, for a while.
func (p *Process) put(r *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		go r.end()
		return
	}
	p.warm = append(p.warm, r)
	r.idle = time.AfterFunc(p.cfg.Idle, func() { p.retire(r) })
}

// retire ends a process that had nothing to do, unless it was taken in this moment.
func (p *Process) retire(r *process) {
	p.mu.Lock()
	i := slices.Index(p.warm, r)
	if i >= 0 {
		p.warm = slices.Delete(p.warm, i, i+1)
	}
	p.mu.Unlock()
	if i >= 0 {
		r.end()
	}
}

// process is a renderer that was started. Whoever has it is alone with it.
type process struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     io.Reader
	idle    *time.Timer
}

// ownMemory is what a Go program maps before it does anything, stacks of threads and reserves included.
const ownMemory = 512 << 20

// startIn is how long a process may take until it can be asked, on a PC that is busy with a game.
const startIn = 20 * time.Second

func startRenderer(ctx context.Context, cfg ProcessConfig) (_ *process, err error) {
	defer func() {
		switch {
		case err == nil:
		case ctx.Err() != nil:
			err = errCancelled(ctx)
		default:
			err = core.Errorf(core.CodeInternal, "start the renderer of chat templates: %w", err)
		}
	}()
	r := &process{command: exec.Command(cfg.Command[0], cfg.Command[1:]...)}
	hide(r.command)
	if r.in, err = r.command.StdinPipe(); err != nil {
		return nil, err
	}
	if r.out, err = r.command.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := r.command.Start(); err != nil {
		return nil, err
	}
	capMemory(r.command.Process, uint64(2*cfg.Limits.Memory)+ownMemory)
	wait, cancel := context.WithTimeout(ctx, startIn)
	defer cancel()
	stop := context.AfterFunc(wait, r.kill)
	var first [1]byte
	if _, err := io.ReadFull(r.out, first[:]); err != nil || !stop() || first[0] != ready {
		r.end()
		return nil, errors.Join(err, errors.New("it does not answer"))
	}
	return r, nil
}

// errNotAsked is that a process was gone before it had the question.
var errNotAsked = errors.New("the renderer is gone")

// ask gives the process a question and waits for the answer. After an error the process is gone.
func (r *process) ask(ctx context.Context, frame []byte, limit time.Duration) (*answer, error) {
	render, cancel := context.WithTimeout(ctx, limit+limit/4) // it ends by itself sooner, if it still looks at its clock
	defer cancel()
	stop := context.AfterFunc(render, r.kill)
	_, asked := r.in.Write(frame)
	var a answer
	err := asked
	if asked == nil {
		err = unpack(r.out, &a)
	}
	if stop() && err == nil {
		return &a, nil
	}
	code := r.end()
	switch {
	case ctx.Err() != nil:
		return nil, errCancelled(ctx)
	case render.Err() != nil || code == exitTime:
		return nil, errTooSlow()
	case code == exitMemory || code == exitFatal:
		return nil, core.Errorf(core.CodeInvalidRequest, "the model's chat template takes more memory than it may")
	case asked != nil:
		return nil, errNotAsked
	}
	return nil, core.Errorf(core.CodeInvalidRequest, "the model's chat template broke: the renderer ended with code %d", code)
}

func (r *process) kill() { _ = r.command.Process.Kill() }

// end ends the process, if it has not ended yet, and returns its exit code. An idle one ends when its input does.
func (r *process) end() int {
	_ = r.in.Close()
	late := time.AfterFunc(time.Second, r.kill)
	defer late.Stop()
	_ = r.command.Wait()
	return r.command.ProcessState.ExitCode()
}

func errTooSlow() error {
	return core.Errorf(core.CodeTimeout, "the model's chat template took too long")
}

func errCancelled(ctx context.Context) error {
	return core.Errorf(core.CodeCancelled, "render the chat template: %w", ctx.Err())
}
