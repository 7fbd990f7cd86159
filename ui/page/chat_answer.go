package page

import (
	"context"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// streamEvery is how often a streaming answer is redrawn. Drawing takes processor time from a model that runs on the
// same processor, and eyes do not read faster.
const streamEvery = 70 * time.Millisecond

// ask sends what was written. What the user cannot see is not sent: it may go to the PCs of friends.
func (p *chatPage) ask(text string) {
	t := p.open
	if p.model().ID == "" || p.shell.Current() != Chat {
		return
	}
	req := t.Ask(text, p.model(), p.shell.cfg.Now())
	if req == nil {
		return
	}
	p.input.SetText("")
	p.generate(t, req)
}

// retry asks for the last answer of a conversation again.
func (p *chatPage) retry(t *talk) {
	if p.model().ID == "" {
		return
	}
	if req := t.Retry(p.model(), p.shell.cfg.Now()); req != nil {
		p.generate(t, req)
	}
}

// stopAnswer stops the answer that is being written; the text so far stays.
func (p *chatPage) stopAnswer() {
	if p.open.cancel != nil {
		p.open.cancel()
	}
}

// generate runs one request and streams its answer into the conversation.
func (p *chatPage) generate(t *talk, req *core.GenerateRequest) {
	ctx, cancel := context.WithCancel(p.shell.life)
	t.cancel = cancel
	p.redrawThread()
	p.scroll.ScrollToBottom()
	s := &stream{post: p.shell.cfg.Post, now: p.shell.cfg.Now, show: func(ds []timed) { p.append(t, ds) }}
	p.shell.background(func(context.Context) {
		defer cancel()
		reply, err := p.shell.cfg.Backend.Generate(ctx, req, s.emit)
		if err != nil && ctx.Err() != nil {
			err = core.Errorf(core.CodeCancelled, "stopped: %w", ctx.Err())
		}
		now := p.shell.cfg.Now()
		p.shell.cfg.Post(func() {
			s.flush()
			t.Finish(reply, err, now)
			t.cancel = nil
			p.changed(t)
		})
		p.shell.refreshSoon()
	})
}

// append adds pieces of an answer to a conversation.
func (p *chatPage) append(t *talk, ds []timed) {
	for _, d := range ds {
		t.Append(d.Delta, d.at)
	}
	p.changed(t)
}

// changed redraws a conversation if it is open. The view follows the end of the text unless the user scrolled up.
func (p *chatPage) changed(t *talk) {
	if p.open != t {
		return
	}
	const near = 60
	bottom := p.scroll.Content.MinSize().Height - p.scroll.Size().Height
	follow := p.scroll.Offset.Y >= bottom-near
	p.redrawThread()
	if follow {
		p.scroll.ScrollToBottom()
	}
}

// timed is a piece of an answer with the time it arrived.
type timed struct {
	core.Delta
	at time.Time
}

// stream gathers the pieces of an answer, which arrive on one goroutine, and shows them in bunches on another.
type stream struct {
	post func(func())
	now  func() time.Time
	show func([]timed) // on the goroutine that draws

	mu      sync.Mutex // guards what follows
	pending []timed
	waiting bool // a flush is on its way
	started bool
}

// emit takes a piece. The first one is shown at once.
func (s *stream) emit(d core.Delta) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, timed{d, s.now()})
	if s.waiting {
		return nil
	}
	s.waiting = true
	delay := streamEvery
	if !s.started {
		s.started, delay = true, 0
	}
	time.AfterFunc(delay, func() { s.post(s.flush) })
	return nil
}

// flush shows what has arrived. It runs on the goroutine that draws.
func (s *stream) flush() {
	s.mu.Lock()
	ds := s.pending
	s.pending, s.waiting = nil, false
	s.mu.Unlock()
	if len(ds) > 0 {
		s.show(ds)
	}
}
