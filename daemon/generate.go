package daemon

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/chat"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/library"
)

// Generate implements api.Node.
func (n *Node) Generate(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
	arrived := time.Now()
	var first time.Time
	var reply *core.Reply
	err := n.answer(ctx, req.Model, func(m chat.Model, route func() core.Route) (err error) {
		before := route()
		if err := emit(core.Delta{Route: &before}); err != nil {
			return err
		}
		reply, err = n.chat.Generate(ctx, m, req, func(d core.Delta) error {
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
	n.counters.done(now.Sub(arrived), reply.Usage.CompletionTokens, now.Sub(first))
	return reply, nil
}

// Embed implements api.Node.
func (n *Node) Embed(ctx context.Context, model string, inputs []api.EmbedInput) (vectors [][]float32, usage core.Usage, err error) {
	arrived := time.Now()
	err = n.answer(ctx, model, func(m chat.Model, _ func() core.Route) error {
		for _, in := range inputs {
			vector, tokens, err := n.chat.Embed(ctx, m, in.Text, in.Tokens)
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
	n.counters.done(time.Since(arrived), 0, 0)
	return vectors, usage, nil
}

// answer calls fn with the model that name means, in memory here or in a chain, when it is the request's turn. route
// tells which way the request goes.
func (n *Node) answer(ctx context.Context, name string, fn func(m chat.Model, route func() core.Route) error) error {
	if err := n.gate.enter(ctx); err != nil {
		return err
	}
	defer n.gate.leave()
	id, err := n.Resolve(name)
	if err != nil {
		return err
	}
	b, err := n.Blueprint(id)
	if err != nil {
		return err
	}
	n.network.wanted.add(id)
	local := n.Paused() // refused in the usual words
	if !local {
		if local, err = n.chooseLocal(ctx, b); err != nil {
			return err
		}
	}
	if local {
		return n.answerHere(ctx, id, fn)
	}
	ch, release, err := n.network.chains.acquire(ctx, b)
	if err != nil {
		return err
	}
	defer release()
	m := chat.Model{Name: id.String(), Runner: ch, Template: b.Text.ChatTemplate, BOS: b.Text.BOS, EOS: b.Text.EOS, Arch: b.Text.Arch}
	return fn(m, func() core.Route { return ch.route(n.network.swarm.Self()) })
}

// answerHere calls fn with a model that runs on this PC alone.
func (n *Node) answerHere(ctx context.Context, id core.ModelID, fn func(chat.Model, func() core.Route) error) error {
	lease, err := n.Acquire(ctx, id.String())
	if err != nil {
		return err
	}
	defer lease.Release()
	return fn(talk(lease), func() core.Route { return core.Route{Kind: n.localRoute(id)} })
}

// talk is a leased model as the chat package wants it.
func talk(l *library.Lease) chat.Model {
	return chat.Model{
		Name: l.ID.String(), Runner: l.Runner, Template: l.Text.ChatTemplate, BOS: l.Text.BOS, EOS: l.Text.EOS, Arch: l.Text.Arch,
	}
}
