package renderer

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/chat/template"
)

// Limits are what one render may use up. Honest templates take a few milliseconds and a few MiB.
type Limits struct {
	Time   time.Duration // from when the renderer has the question
	Memory int64         // bytes of the renderer's whole heap and stacks
}

// DefaultLimits fit a conversation of the greatest length.
func DefaultLimits() Limits { return Limits{Time: 2 * time.Second, Memory: 256 << 20} }

// Inside renders in this process, for templates of which one knows where they come from: a hostile one can take all
// memory. The zero value is ready to use.
type Inside struct{ recent cache }

// Render implements template.Renderer.
func (i *Inside) Render(ctx context.Context, source template.Source, in template.Input) ([]string, error) {
	t, err := i.recent.get(source)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, DefaultLimits().Time)
	defer cancel()
	return t.Render(ctx, in)
}

// maxParsed is how many templates stay parsed.
const maxParsed = 4

// cache keeps the templates used last.
type cache struct {
	mu     sync.Mutex // guards recent
	recent []*template.Template
}

func (c *cache) get(source template.Source) (*template.Template, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.IndexFunc(c.recent, func(t *template.Template) bool { return t.Of(&source) }); i >= 0 {
		t := c.recent[i]
		c.recent = append(slices.Delete(c.recent, i, i+1), t)
		return t, nil
	}
	t, err := template.New(source)
	if err != nil {
		return nil, err
	}
	if len(c.recent) == maxParsed {
		c.recent = slices.Delete(c.recent, 0, 1)
	}
	c.recent = append(c.recent, t)
	return t, nil
}
