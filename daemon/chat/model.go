package chat

import (
	"context"
	"slices"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/chat/reply"
	"github.com/shoal-p2p/shoal/daemon/chat/template"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// Model is a loaded model as a request needs it.
type Model struct {
	Name     string
	Runner   engine.Runner
	Template string // Jinja chat template; "" for none
	BOS, EOS string // texts of the tokens that begin and end a text; "" for none
	Arch     string // general.architecture; may be empty
}

// prepared is what was worked out once for a loaded model.
type prepared struct {
	Model
	control map[int32]string // texts of the control tokens
	source  template.Source
	format  reply.Format
}

// maxPrepared is how many models are kept prepared. Preparing reads the vocabulary, a fraction of a second.
const maxPrepared = 8

// cache keeps the models used last, by their runner: a model that is loaded anew has a new one.
type cache struct {
	gate   chan struct{} // holds one token; whoever has it may prepare, so that no vocabulary is read twice at once
	mu     sync.Mutex    // guards recent
	recent []*prepared
}

// get returns m prepared.
func (c *cache) get(ctx context.Context, m Model) (*prepared, error) {
	if p := c.find(m.Runner); p != nil {
		return p, nil
	}
	select {
	case c.gate <- struct{}{}:
		defer func() { <-c.gate }()
	case <-ctx.Done():
		return nil, core.Errorf(core.CodeCancelled, "wait for the vocabulary of %s: %w", m.Name, ctx.Err())
	}
	if p := c.find(m.Runner); p != nil {
		return p, nil
	}
	p, err := prepare(ctx, m)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.recent) == maxPrepared {
		c.recent = slices.Delete(c.recent, 0, 1)
	}
	c.recent = append(c.recent, p)
	return p, nil
}

// find looks a runner up, and makes it the one used last.
func (c *cache) find(r engine.Runner) *prepared {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.recent, func(p *prepared) bool { return p.Runner == r })
	if i < 0 {
		return nil
	}
	p := c.recent[i]
	c.recent = append(slices.Delete(c.recent, i, i+1), p)
	return p
}

func prepare(ctx context.Context, m Model) (*prepared, error) {
	control, err := controlTokens(ctx, m.Runner)
	if err != nil {
		return nil, err
	}
	p := &prepared{Model: m, control: control}
	texts := make([]string, 0, len(control))
	for _, text := range control {
		texts = append(texts, text)
	}
	slices.Sort(texts)
	p.source = template.Source{Text: m.Template, BOS: m.BOS, EOS: m.EOS, Control: texts}
	if m.Template == "" {
		p.source.Text = template.Fallback(texts)
	}
	p.format = reply.FormatOf(p.source.Text, m.Arch)
	return p, nil
}

// controlTokens finds the tokens that are markers: those whose text only shows when special tokens are asked for.
func controlTokens(ctx context.Context, r engine.Runner) (map[int32]string, error) {
	const atOnce = 16384
	control := map[int32]string{}
	total := int32(r.Shape().Vocabulary)
	for first := int32(0); first < total; first += atOnce {
		ids := make([]int32, min(atOnce, total-first))
		for i := range ids {
			ids[i] = first + int32(i)
		}
		all, err := r.Pieces(ctx, ids, true)
		if err != nil {
			return nil, err
		}
		plain, err := r.Pieces(ctx, ids, false)
		if err != nil {
			return nil, err
		}
		for i, id := range ids {
			if len(all[i]) > 0 && len(plain[i]) == 0 {
				control[id] = string(all[i])
			}
		}
	}
	return control, nil
}
