// Package draft guesses what a model will say by what a smaller one with the same vocabulary says. It implements
// schedule.Guesser.
//
// The small model is any engine.Runner. Its prefix cache keeps what was read of a text, drops guesses that were wrong
// and serves the next guess: there is no other state of a text here.
package draft

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// restFor is how long the small model is left alone after it failed.
const restFor = 30 * time.Second

// Config says which model guesses. All fields are required.
type Config struct {
	// Open gives the model, which stays until release is called. It may take its time to load it.
	Open func(ctx context.Context) (r engine.Runner, release func(), err error)
	// Name names the model, at once; "" while guesses are not welcome. A model that failed rests; another need not.
	Name func() string
	Log  *slog.Logger
}

// Model is a model that guesses.
type Model struct {
	cfg Config

	mu    sync.Mutex // guards the rest
	tired string     // name of the model that failed last
	last  string     // why
	until time.Time  // it rests
}

// New makes a Model. It opens nothing yet.
func New(cfg Config) *Model { return &Model{cfg: cfg} }

// Name implements schedule.Guesser.
func (m *Model) Name() string {
	name := m.cfg.Name()
	if m.failure(name) != "" {
		return ""
	}
	return name
}

// Failure tells why the model is left alone now; "" if it is not.
func (m *Model) Failure() string { return m.failure(m.cfg.Name()) }

func (m *Model) failure(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if name == m.tired && time.Now().Before(m.until) {
		return m.last
	}
	return ""
}

// Guess implements schedule.Guesser. A model that does something else already is not asked: who uses it for itself must
// not wait for guesses.
func (m *Model) Guess(ctx context.Context, key string, tokens []int32, n int) ([]int32, error) {
	name := m.cfg.Name()
	guess, err := m.follow(ctx, key, tokens, n)
	if ctx.Err() != nil { // what there is by then is the guess
		err = nil
	}
	switch core.CodeOf(err) {
	case "", core.CodeContextTooLong, core.CodeInvalidRequest, core.CodeOverloaded:
	default:
		m.rest(name, err)
	}
	return guess, err
}

// follow lets the model go on greedily.
func (m *Model) follow(ctx context.Context, key string, tokens []int32, n int) (guess []int32, err error) {
	r, release, err := m.cfg.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if load := r.Load(); load.Active+load.Waiting > 0 {
		return nil, core.Errorf(core.CodeOverloaded, "the draft model is in use")
	}
	job := engine.Job{Requester: "draft/" + key, Prompt: tokens, MaxTokens: n}
	_, err = r.Generate(ctx, job, func(s engine.Sample) error {
		if !s.End { // after which nothing follows that could be guessed
			guess = append(guess, s.Token)
		}
		return nil
	})
	return guess, err
}

// rest leaves the model alone for a while. The reason is logged when it is a new one.
func (m *Model) rest(name string, err error) {
	m.mu.Lock()
	again := m.tired == name && m.last == err.Error()
	m.tired, m.last, m.until = name, err.Error(), time.Now().Add(restFor)
	m.mu.Unlock()
	if !again {
		m.cfg.Log.Warn("draft model does not guess", "err", err)
	}
}
