package router

import (
	"context"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// tokenizerUse is a tokenizer of this PC, kept until release.
type tokenizerUse struct {
	engine.Window
	release func()
}

func (r *Router) openTokenizer(ctx context.Context, id core.ModelID) (*tokenizerUse, error) {
	w, release, err := r.cfg.Models.Tokenizer(ctx, id)
	if err != nil {
		return nil, err
	}
	return &tokenizerUse{w, release}, nil
}

// lateTokenizer opens a tokenizer with the first call, and again when its process has died.
type lateTokenizer struct {
	open func() (*tokenizerUse, error)

	mu     sync.Mutex // guards the rest
	use    *tokenizerUse
	closed bool
}

func (l *lateTokenizer) get() (*tokenizerUse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, core.Errorf(core.CodeNotReady, "the model is being unloaded")
	}
	if l.use != nil {
		select {
		case <-l.use.Done():
			l.use.release()
			l.use = nil
		default:
			return l.use, nil
		}
	}
	use, err := l.open()
	if err == nil {
		l.use = use
	}
	return use, err
}

// close lets the tokenizer go.
func (l *lateTokenizer) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.use != nil {
		l.use.release()
		l.use = nil
	}
}

// Tokenize implements engine.Tokenizer.
func (l *lateTokenizer) Tokenize(ctx context.Context, text string, addSpecial, parseSpecial bool) ([]int32, error) {
	use, err := l.get()
	if err != nil {
		return nil, err
	}
	return use.Tokenize(ctx, text, addSpecial, parseSpecial)
}

// Pieces implements engine.Tokenizer.
func (l *lateTokenizer) Pieces(ctx context.Context, tokens []int32, special bool) ([][]byte, error) {
	use, err := l.get()
	if err != nil {
		return nil, err
	}
	return use.Pieces(ctx, tokens, special)
}
