package chat

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/chat/renderer"
	"github.com/shoal-p2p/shoal/daemon/chat/reply"
	"github.com/shoal-p2p/shoal/daemon/chat/template"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// Service answers requests with loaded models. It is safe for concurrent use.
type Service struct {
	models   cache
	renderer template.Renderer
}

// New makes a Service that has its prompts made by r; nil makes them in this process, for templates that are no
// stranger's.
func New(r template.Renderer) *Service {
	if r == nil {
		r = &renderer.Inside{}
	}
	return &Service{models: cache{gate: make(chan struct{}, 1)}, renderer: r}
}

// Generate continues a conversation or a prompt. It calls emit for each piece of the reply, in order and from one
// goroutine, and returns the whole. Errors carry a code: core.CodeInvalidRequest, CodeUnsupported and
// CodeContextTooLong for requests that cannot be answered, CodeCancelled when ctx ends, else the engine's. An error of
// emit ends the reply and is returned as it is.
func (s *Service) Generate(ctx context.Context, m Model, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
	shape := m.Runner.Shape()
	if err := validate(req, int32(shape.Vocabulary)); err != nil {
		return nil, err
	}
	p, err := s.models.get(ctx, m)
	if err != nil {
		return nil, err
	}
	prompt, err := p.makePrompt(ctx, s.renderer, req)
	if err != nil {
		return nil, err
	}
	job := engine.Job{Requester: req.Requester, Prompt: prompt.tokens, MaxTokens: req.MaxTokens, Sampler: engine.Sampler{Sampling: req.Sampling}}
	if job.MaxTokens == 0 {
		job.MaxTokens = shape.Context
	}
	if job.Sampler.Grammar, err = p.grammar(ctx, req, prompt.thinking); err != nil {
		return nil, err
	}
	w := newWriter(p, req, prompt, emit)
	if w.prefix, err = p.echo(ctx, req, prompt); err != nil {
		return nil, err
	}
	finish, err := p.Runner.Generate(ctx, job, w.sample)
	if err != nil && !errors.Is(err, errStopped) {
		return nil, err
	}
	return w.finish(finish, len(prompt.tokens))
}

// errStopped ends a generation whose stop string was met.
var errStopped = errors.New("stop string")

// writer turns samples into deltas.
type writer struct {
	model    *prepared
	parser   *reply.Parser
	markers  []string
	emit     func(core.Delta) error
	logprobs []placed // of tokens whose text is held back
	reply    core.Reply
	prefix   string // the echoed prompt
	begun    bool   // it was emitted
	logging  bool
}

// placed is a token's logprob with the place of its text.
type placed struct {
	core.TokenLogprob
	start, end int
}

func newWriter(p *prepared, req *core.GenerateRequest, prompt prompt, emit func(core.Delta) error) *writer {
	cfg := reply.Config{Format: p.format, Thinking: prompt.thinking, Raw: req.Messages == nil, Stop: req.Stop, NewID: newCallID}
	if p.format == reply.Mistral || p.format == reply.MistralArgs {
		cfg.NewID = shortCallID
	}
	for _, t := range offered(req) {
		cfg.Tools = append(cfg.Tools, t.Name)
	}
	w := &writer{model: p, parser: reply.New(cfg), emit: emit, logging: req.Sampling.Logprobs}
	if !cfg.Raw {
		w.markers = p.format.Markers()
	}
	w.reply.Model = p.Name
	return w
}

func newCallID() string { return "call_" + rand.Text()[:24] }

// shortCallID has the nine letters and digits that Mistral's templates insist on.
func shortCallID() string { return rand.Text()[:9] }

// echo is the text of the prompt when the request asks for it back.
func (p *prepared) echo(ctx context.Context, req *core.GenerateRequest, prompt prompt) (string, error) {
	switch {
	case !req.Echo:
		return "", nil
	case req.PromptIDs == nil:
		return validText([]byte(prompt.text)), nil
	}
	pieces, err := p.Runner.Pieces(ctx, req.PromptIDs, true)
	return validText(slices.Concat(pieces...)), err
}

// begin emits the echo in front of everything else. It waits for the first token, so that a request that cannot run
// fails before anything was sent.
func (w *writer) begin() error {
	if w.prefix == "" || w.begun {
		return nil
	}
	w.begun = true
	return w.emit(core.Delta{Text: w.prefix})
}

// sample takes one token of the engine.
func (w *writer) sample(s engine.Sample) error {
	w.reply.Usage.CompletionTokens++
	if err := w.begin(); err != nil {
		return err
	}
	if s.End {
		return nil
	}
	piece := s.Piece
	if text, ok := w.model.control[s.Token]; ok {
		piece = nil
		if slices.Contains(w.markers, text) {
			piece = []byte(text)
		}
	}
	start := w.parser.Seen()
	delta := w.parser.Write(piece)
	if w.logging {
		w.logprobs = append(w.logprobs, placed{w.model.logprob(s), start, w.parser.Seen()})
	}
	if err := w.send(delta); err != nil {
		return err
	}
	if w.parser.Stopped() {
		return errStopped
	}
	return nil
}

// send emits a delta with the logprobs of the tokens whose text is out.
func (w *writer) send(d core.Delta) error {
	out := 0
	for out < len(w.logprobs) && w.logprobs[out].end <= w.parser.Settled() {
		l := w.logprobs[out]
		out++
		if w.parser.Stopped() && l.start >= w.parser.StoppedAt() {
			continue
		}
		d.Logprobs = append(d.Logprobs, l.TokenLogprob)
	}
	w.logprobs = w.logprobs[out:]
	w.reply.Logprobs = append(w.reply.Logprobs, d.Logprobs...)
	if d.Text == "" && d.Reasoning == "" && len(d.ToolCalls) == 0 && len(d.Logprobs) == 0 {
		return nil
	}
	return w.emit(d)
}

// finish closes the reply.
func (w *writer) finish(f engine.Finish, promptTokens int) (*core.Reply, error) {
	if err := w.begin(); err != nil {
		return nil, err
	}
	if err := w.send(w.parser.Close()); err != nil {
		return nil, err
	}
	r := &w.reply
	r.Message = w.parser.Message()
	if f.Reason != core.FinishLength || w.parser.Stopped() { // who is told that it ended gets no half calls
		i := -1
		r.Message.ToolCalls = slices.DeleteFunc(r.Message.ToolCalls, func(core.ToolCall) bool {
			i++
			return !w.parser.Whole(i)
		})
	}
	r.Message.Content = w.prefix + r.Message.Content
	r.Usage.PromptTokens, r.Usage.CachedTokens = promptTokens, f.Cached
	switch {
	case f.Reason == core.FinishLength && !w.parser.Stopped():
		r.FinishReason = core.FinishLength
	case len(r.Message.ToolCalls) > 0:
		r.FinishReason = core.FinishToolCalls
	default:
		r.FinishReason = core.FinishStop
	}
	return r, nil
}

func (p *prepared) logprob(s engine.Sample) core.TokenLogprob {
	l := p.candidate(s.Token, s.Piece, s.Logprob)
	for _, c := range s.Top {
		l.Top = append(l.Top, p.candidate(c.Token, c.Piece, c.Logprob))
	}
	return l
}

func (p *prepared) candidate(token int32, piece []byte, logprob float64) core.TokenLogprob {
	if text, ok := p.control[token]; ok {
		piece = []byte(text)
	}
	return core.TokenLogprob{Token: validText(piece), Bytes: piece, ID: token, Logprob: logprob}
}
