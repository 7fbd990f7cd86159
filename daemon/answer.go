package daemon

import (
	"context"

	"github.com/shoal-p2p/shoal/daemon/chat"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/memory"
)

// acquire leases a model, as the chat package wants it.
func (n *Node) acquire(ctx context.Context, id core.ModelID) (chat.Model, func(), error) {
	l, err := n.memory.Acquire(ctx, id)
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
