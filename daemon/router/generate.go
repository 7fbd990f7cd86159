package router

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/chat"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/library"
)

// Generate answers a prompt when it is its turn, with a model in memory here or in a chain.
func (r *Router) Generate(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
	arrived := time.Now()
	var first time.Time
	var reply *core.Reply
	begun := func() bool { return !first.IsZero() }
	err := r.answer(ctx, req.Requester, req.Model, begun, func(m chat.Model, route func() core.Route) (err error) {
		before := route()
		if err := emit(core.Delta{Route: &before}); err != nil {
			return err
		}
		reply, err = r.chat.Generate(ctx, m, req, func(d core.Delta) error {
			if first.IsZero() {
				first = time.Now()
			}
			return emit(d)
		})
		if err == nil {
			reply.Route = route() // a chain may have been replaced by another
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if first.IsZero() {
		first = now
	}
	r.counters.done(finished{now.Sub(arrived), first.Sub(arrived), reply.Usage})
	return reply, nil
}

// Embed turns texts into vectors, when it is the request's turn.
func (r *Router) Embed(ctx context.Context, req *core.EmbedRequest) (vectors [][]float32, usage core.Usage, err error) {
	arrived := time.Now()
	begun := func() bool { return false }
	err = r.answer(ctx, req.Requester, req.Model, begun, func(m chat.Model, _ func() core.Route) error {
		vectors, usage = nil, core.Usage{}
		for _, in := range req.Inputs {
			vector, tokens, err := r.chat.Embed(ctx, m, in.Text, in.Tokens)
			if err != nil {
				return err
			}
			vectors = append(vectors, vector)
			usage.PromptTokens += tokens
		}
		return nil
	})
	if err != nil {
		return nil, usage, err
	}
	r.counters.done(finished{took: time.Since(arrived), usage: usage})
	return vectors, usage, nil
}

// answerer answers a request with a model. route tells which way the request goes.
type answerer func(m chat.Model, route func() core.Route) error

// answer calls fn with the model that name means, in memory here or in a chain, when it is the request's turn. fn may be
// called again, if nothing of the answer was sent: begun tells.
func (r *Router) answer(ctx context.Context, requester, name string, begun func() bool, fn answerer) error {
	if err := r.line.enter(ctx, requester); err != nil {
		return err
	}
	defer r.line.leave(requester)
	b, err := r.blueprint(name)
	if err != nil {
		return err
	}
	r.demand.add(b.ID)
	here, chosen, err := r.way(ctx, b)
	if err != nil {
		return err
	}
	if here {
		return r.answerHere(ctx, b.ID, begun, fn)
	}
	ch, release, err := r.chains.acquire(ctx, b, chosen)
	if err != nil {
		return err
	}
	defer release()
	m := chat.Model{Name: b.ID.String(), Runner: ch, Template: b.Text.ChatTemplate, BOS: b.Text.BOS, EOS: b.Text.EOS, Arch: b.Text.Arch}
	return fn(m, func() core.Route { return ch.route(r.cfg.Swarm.Self()) })
}

// blueprint describes the model that a request means. The API has resolved the name already; what is an id is not
// resolved again.
func (r *Router) blueprint(name string) (library.Blueprint, error) {
	if id, err := core.ParseModelID(name); err == nil {
		if b, err := r.cfg.Models.Blueprint(id); err == nil {
			return b, nil
		}
	}
	id, err := r.Resolve(name)
	if err != nil {
		return library.Blueprint{}, err
	}
	return r.cfg.Models.Blueprint(id)
}

// answerHere calls fn with a model that runs on this PC alone. Who meets a worker that has died and is not missed yet
// is answered by the next, once: a request that ends every worker must not end many.
func (r *Router) answerHere(ctx context.Context, id core.ModelID, begun func() bool, fn answerer) error {
	err := r.answerOnce(ctx, id, fn)
	if core.CodeOf(err) != core.CodeEngineCrashed || begun() {
		return err
	}
	r.cfg.Log.Info("engine ended before the reply began; asking again", "model", id.String(), "err", err)
	return r.answerOnce(ctx, id, fn)
}

func (r *Router) answerOnce(ctx context.Context, id core.ModelID, fn answerer) error {
	m, release, err := r.cfg.Acquire(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	return fn(m, func() core.Route { return core.Route{Kind: r.localRoute(id)} })
}
