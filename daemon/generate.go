package daemon

import (
	"context"
	"math"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/library"
)

// Generate implements api.Node.
func (n *Node) Generate(ctx context.Context, req *core.GenerateRequest, emit func(core.Delta) error) (*core.Reply, error) {
	if err := n.gate.enter(ctx); err != nil {
		return nil, err
	}
	defer n.gate.leave()
	lease, err := n.Acquire(ctx, req.Model)
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	return nil, core.Errorf(core.CodeUnsupported, "text generation is wired in the next commit")
}

// Embed implements api.Node.
func (n *Node) Embed(ctx context.Context, model string, inputs []api.EmbedInput) ([][]float32, core.Usage, error) {
	var usage core.Usage
	if err := n.gate.enter(ctx); err != nil {
		return nil, usage, err
	}
	defer n.gate.leave()
	lease, err := n.Acquire(ctx, model)
	if err != nil {
		return nil, usage, err
	}
	defer lease.Release()
	out := make([][]float32, len(inputs))
	for i, in := range inputs {
		vector, tokens, err := embed(ctx, lease, in)
		if err != nil {
			return nil, usage, err
		}
		out[i] = vector
		usage.PromptTokens += tokens
	}
	return out, usage, nil
}

// embed is the mean of the last hidden states of a text, with length 1.
func embed(ctx context.Context, lease *library.Lease, in api.EmbedInput) (vector []float32, tokens int, err error) {
	prompt := in.Tokens
	if prompt == nil {
		if prompt, err = lease.Runner.Tokenize(ctx, in.Text, true, false); err != nil {
			return nil, 0, err
		}
	}
	if len(prompt) == 0 {
		return nil, 0, core.Errorf(core.CodeInvalidRequest, "an input has no tokens").WithParam("input")
	}
	rows, err := lease.Runner.Embed(ctx, prompt)
	if err != nil {
		return nil, 0, err
	}
	return normalise(mean(rows)), len(prompt), nil
}

// mean is the average of rows of equal length.
func mean(rows [][]float32) []float64 {
	sum := make([]float64, len(rows[0]))
	for _, row := range rows {
		for i, x := range row {
			sum[i] += float64(x) / float64(len(rows))
		}
	}
	return sum
}

// normalise scales v to length 1; a vector of zeros stays.
func normalise(v []float64) []float32 {
	var square float64
	for _, x := range v {
		square += x * x
	}
	length := math.Sqrt(square)
	out := make([]float32, len(v))
	for i, x := range v {
		if length > 0 {
			x /= length
		}
		out[i] = float32(x)
	}
	return out
}
