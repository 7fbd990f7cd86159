package daemon

import (
	"context"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/chat"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/memory"
	"github.com/shoal-p2p/shoal/daemon/router"
)

// Generate implements api.Node.
func (n *Node) Generate(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
	return n.router.Generate(ctx, req, emit)
}

// Embed implements api.Node.
func (n *Node) Embed(ctx context.Context, model string, inputs []api.EmbedInput) ([][]float32, core.Usage, error) {
	list := make([]router.Input, len(inputs))
	for i, in := range inputs {
		list[i] = router.Input(in)
	}
	return n.router.Embed(ctx, model, list)
}

// acquire leases a model, as the chat package wants it.
func (n *Node) acquire(ctx context.Context, id core.ModelID) (chat.Model, func(), error) {
	l, err := n.Acquire(ctx, id)
	if err != nil {
		return chat.Model{}, nil, err
	}
	return chat.Model{
		Name: l.ID.String(), Runner: l.Runner, Template: l.Text.ChatTemplate, BOS: l.Text.BOS, EOS: l.Text.EOS, Arch: l.Text.Arch,
	}, l.Release, nil
}

// models are the models of this PC as the router asks of them, on the disk and in memory.
type models struct {
	*library.Library
	*memory.Memory
}
