package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/daemon/api/openai"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func (s *Server) chatCompletions(c *call) error {
	req, err := openai.ChatRequest(c.body)
	if err != nil {
		return err
	}
	return s.complete(c, req)
}

func (s *Server) completions(c *call) error {
	req, err := openai.CompletionRequest(c.body)
	if err != nil {
		return err
	}
	return s.complete(c, req)
}

func (s *Server) complete(c *call, req *openai.Request) error {
	model, err := s.resolveModel(req.Model)
	if err != nil {
		return err
	}
	req.Model = model
	req.Requester = c.requester + "\x00" + req.Caller
	if req.Stream {
		return s.streamCompletion(c, req)
	}
	began := time.Now()
	jobs := split(req)
	replies, err := s.generate(c.ctx(), jobs, func(int, core.Delta) error { return nil })
	if err != nil {
		return err
	}
	setRoute(c.Writer.Header(), replies[0].Route, time.Since(began))
	out := newCompletion(req, "chat.completion")
	for i, r := range replies {
		out.Choices = append(out.Choices, wholeChoice(req, i, r))
	}
	out.Usage = openai.NewUsage(usages(replies), req.N)
	return c.reply(http.StatusOK, out)
}

// setRoute tells in the reply's headers which way the request went and how many milliseconds it took: until its end,
// or until the first piece of a stream.
func setRoute(h http.Header, r core.Route, took time.Duration) {
	if r.Kind == "" {
		r.Kind = core.RouteLocal
	}
	peers := make([]string, len(r.Peers))
	for i, p := range r.Peers {
		peers[i] = p.String()
	}
	h.Set("X-Shoal-Route", r.Kind)
	h.Set("X-Shoal-Peers", strings.Join(peers, ","))
	h.Set("X-Shoal-Ms", strconv.FormatInt(took.Milliseconds(), 10))
}

// maxProgram is how much of a program's name counts.
const maxProgram = 128

// requesterOf is the first parts of core.GenerateRequest.Requester: the address of who sent the request, and what his
// program calls itself. All programs of this PC have one address.
func requesterOf(from netip.Addr, req *http.Request) string {
	program := req.UserAgent()
	return from.String() + "\x00" + program[:min(len(program), maxProgram)]
}

// split makes one job for each reply that was asked for; the replies to one prompt lie together.
func split(req *openai.Request) []*core.GenerateRequest {
	prompts := req.Prompts
	if req.Chat {
		prompts = make([]openai.Prompt, 1)
	}
	var jobs []*core.GenerateRequest
	for _, p := range prompts {
		for range req.N {
			job := req.GenerateRequest
			job.Prompt, job.PromptIDs = p.Text, p.Tokens
			job.Sampling.Seed = nextSeed(req.Sampling.Seed, len(jobs))
			jobs = append(jobs, &job)
		}
	}
	return jobs
}

// nextSeed gives each of several replies its own seed; the first has the one that was asked for.
func nextSeed(seed *uint32, i int) *uint32 {
	if seed == nil {
		return nil
	}
	next := *seed + uint32(i)
	return &next
}

// generate runs the jobs at the same time. emit is called with the index of the job, from several goroutines.
// The first error ends all.
func (s *Server) generate(ctx context.Context, jobs []*core.GenerateRequest, emit func(int, core.Delta) error) ([]*core.Reply, error) {
	replies := make([]*core.Reply, len(jobs))
	group, ctx := errgroup.WithContext(ctx)
	for i, job := range jobs {
		group.Go(func() (err error) {
			replies[i], err = s.generateOne(ctx, job, func(d core.Delta) error { return emit(i, d) })
			return err
		})
	}
	return replies, group.Wait()
}

// generateOne runs one job. It runs on a goroutine of its own, where no one else catches a panic.
func (s *Server) generateOne(ctx context.Context, job *core.GenerateRequest, emit func(core.Delta) error) (reply *core.Reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			reply, err = nil, s.panicked("generate", p)
		}
	}()
	return s.node.Generate(ctx, job, emit)
}

// resolveModel finds the model that a request names.
func (s *Server) resolveModel(name string) (string, error) {
	id, err := s.node.Resolve(name)
	if e, ok := errors.AsType[*core.Error](err); ok && e.Code == core.CodeNotFound {
		return "", e.WithParam("model")
	}
	return id.String(), err
}

// newCompletion starts a reply; object is that of chat, plain completions have only one.
func newCompletion(req *openai.Request, object string) openai.Completion {
	prefix := "chatcmpl-"
	if !req.Chat {
		prefix, object = "cmpl-", "text_completion"
	}
	return openai.Completion{
		ID:      prefix + uuid.NewString(),
		Object:  object,
		Created: time.Now().Unix(),
		Model:   req.Model,
	}
}

func wholeChoice(req *openai.Request, i int, r *core.Reply) openai.Choice {
	out := openai.Choice{Index: i, FinishReason: &r.FinishReason}
	if !req.Chat {
		out.Text = &r.Message.Content
		if lp := openai.NewTextLogprobs(r.Logprobs, &openai.TextOffset{}); lp != nil {
			out.Logprobs = lp
		}
		return out
	}
	message := r.Message
	if req.SingleToolCall && len(message.ToolCalls) > 1 {
		message.ToolCalls = message.ToolCalls[:1]
	}
	out.Message = openai.NewMessage(message)
	if lp := openai.NewChatLogprobs(r.Logprobs); lp != nil {
		out.Logprobs = lp
	}
	return out
}

func usages(replies []*core.Reply) []core.Usage {
	all := make([]core.Usage, len(replies))
	for i, r := range replies {
		all[i] = r.Usage
	}
	return all
}
