package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/engine/schedule"
	"github.com/shoal-p2p/shoal/daemon/pipeline"
	"github.com/shoal-p2p/shoal/daemon/swarm/swarmtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	model, _  = core.ParseModelID("fake-model")
	manifest  = core.Digest{1, 2, 3}
	discarded = slog.New(slog.DiscardHandler)
)

// windows is the library of one node: windows of a scripted model, loaded once each.
type windows struct {
	engine engine.Engine
	spec   engine.Spec

	mu      sync.Mutex // guards the rest
	loaded  map[[2]int]engine.Window
	loading map[[2]int]chan struct{}
	uses    int
	warm    map[[2]int]chan struct{} // closed when the window is given up
	full    bool                     // no room to keep anything warm
}

func newWindows(e engine.Engine, spec engine.Spec) *windows {
	return &windows{engine: e, spec: spec, loaded: map[[2]int]engine.Window{}, loading: map[[2]int]chan struct{}{}, warm: map[[2]int]chan struct{}{}}
}

func (w *windows) Acquire(ctx context.Context, id core.ModelID, digest core.Digest, first, end int, o pipeline.Options) (engine.Window, func(), error) {
	if id != model || digest != manifest {
		return nil, nil, core.Errorf(core.CodeNotFound, "no model %s", id)
	}
	key := [2]int{first, end}
	if err := w.load(ctx, key); err != nil {
		return nil, nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.uses++
	return w.loaded[key], func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.uses--
	}, nil
}

// load loads a window that is not there. No lock is held meanwhile, which would stop the time of a bubble.
func (w *windows) load(ctx context.Context, key [2]int) error {
	for {
		w.mu.Lock()
		under, there := w.loading[key], w.loaded[key] != nil
		if !there && under == nil {
			w.loading[key] = make(chan struct{})
		}
		w.mu.Unlock()
		if there {
			return nil
		}
		if under == nil {
			break
		}
		select {
		case <-under:
		case <-ctx.Done():
			return core.Errorf(core.CodeCancelled, "wait for a load: %w", ctx.Err())
		}
	}
	spec := w.spec
	spec.FirstShard, spec.EndShard = key[0], key[1]
	loaded, err := w.engine.Load(ctx, spec)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.loaded[key] = loaded
	}
	close(w.loading[key])
	delete(w.loading, key)
	return err
}

// Warm implements pipeline.Warmer.
func (w *windows) Warm(ctx context.Context, _ core.ModelID, _ core.Digest, first, end int, o pipeline.Options) (<-chan struct{}, func(), error) {
	key := [2]int{first, end}
	w.mu.Lock()
	full := w.full
	w.mu.Unlock()
	if full {
		return nil, nil, core.Errorf(core.CodeInsufficientRAM, "no room")
	}
	if err := w.load(ctx, key); err != nil {
		return nil, nil, err
	}
	gone := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.warm[key] = gone
	return gone, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.warm, key)
	}, nil
}

// kept is how many windows are kept warm.
func (w *windows) kept() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.warm)
}

// fill takes away the room for warm windows, or gives it back.
func (w *windows) fill(full bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.full = full
	for key, gone := range w.warm {
		if full {
			close(gone)
			delete(w.loaded, key)
		}
	}
}

func (w *windows) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.loaded {
		_ = l.Close()
	}
}

// swarm is a network of nodes that serve windows of one scripted model.
type swarm struct {
	t      testing.TB
	net    *swarmtest.Network
	model  fake.Config
	spec   engine.Spec
	limits pipeline.Limits
	nodes  map[string]*node
}

type node struct {
	*swarmtest.Peer
	server  *pipeline.Server
	windows *windows
	stop    context.CancelFunc
	ended   chan struct{}
}

func newSwarm(t testing.TB, cfg fake.Config, names ...string) *swarm {
	s := &swarm{t: t, net: swarmtest.New(), model: cfg, nodes: map[string]*node{}}
	for _, name := range names {
		s.join(name)
	}
	t.Cleanup(s.close)
	return s
}

func (s *swarm) join(name string) *node {
	n := &node{Peer: s.net.Join(name), windows: newWindows(fake.New(s.model), s.spec), ended: make(chan struct{})}
	n.server = pipeline.NewServer(pipeline.ServerConfig{Network: n.Peer, Windows: n.windows, Warmer: n.windows, Log: discarded, Limits: s.limits})
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	go func() {
		defer close(n.ended)
		_ = n.server.Run(ctx)
	}()
	s.nodes[name] = n
	await(s.t, func() bool { return n.Handles(pipeline.Protocol) })
	return n
}

func (s *swarm) close() {
	for _, n := range s.nodes {
		n.stop()
	}
	for _, n := range s.nodes {
		<-n.ended
		n.windows.close()
	}
}

// spec is a chain over the named nodes, with the layers split evenly.
func spec(cfg fake.Config, names ...string) pipeline.Spec {
	layers := cfg.Layers
	if layers == 0 {
		layers = 4
	}
	out := pipeline.Spec{Model: model, Manifest: manifest}
	for i, name := range names {
		out.Stages = append(out.Stages, pipeline.Stage{Peer: swarmtest.ID(name), FirstShard: i * layers / len(names), EndShard: (i + 1) * layers / len(names)})
	}
	return out
}

// scheduler runs a scheduler over windows until the test ends.
func scheduler(t testing.TB, list ...engine.Window) *schedule.Scheduler {
	t.Helper()
	return schedulerWith(t, schedule.Config{}, list...)
}

func schedulerWith(t testing.TB, cfg schedule.Config, list ...engine.Window) *schedule.Scheduler {
	t.Helper()
	cfg.Windows, cfg.Tokenizer = list, tokenizer(t)
	s, err := schedule.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Run(context.Background())
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-ended
		for _, w := range list {
			_ = w.Close()
		}
	})
	return s
}

func tokenizer(t testing.TB) engine.Tokenizer {
	t.Helper()
	cut, err := fake.Cut(fake.Config{}, engine.Spec{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cut[0].Close() })
	return cut[0]
}

func dial(t testing.TB, s *swarm, from string, sp pipeline.Spec) *pipeline.Pipe {
	t.Helper()
	p, err := pipeline.Dial(context.Background(), s.nodes[from].Peer, sp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// reply is what came of a job.
type reply struct {
	text   string
	tokens []int32
	finish engine.Finish
	err    error
}

func generate(ctx context.Context, r engine.Runner, job engine.Job) (got reply) {
	var text strings.Builder
	got.finish, got.err = r.Generate(ctx, job, func(sample engine.Sample) error {
		text.Write(sample.Piece)
		got.tokens = append(got.tokens, sample.Token)
		return nil
	})
	got.text = text.String()
	return got
}

func job(requester, prompt string, tokens int) engine.Job {
	return engine.Job{Requester: requester, Prompt: fake.Tokens(prompt), MaxTokens: tokens}
}

// alone is what a job gives with the whole model on one PC.
func alone(t testing.TB, cfg fake.Config, j engine.Job) reply {
	t.Helper()
	cfg.StepTime, cfg.RowTime, cfg.BeforeStep = 0, 0, nil
	cut, err := fake.Cut(cfg, engine.Spec{Context: 1 << 16}, 1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := schedule.New(schedule.Config{Windows: cut})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Run(context.Background())
	}()
	defer func() {
		_ = s.Close()
		<-ended
		_ = cut[0].Close()
	}()
	return generate(context.Background(), s, j)
}

func wantCode(t *testing.T, err error, code core.Code) {
	t.Helper()
	if core.CodeOf(err) != code {
		t.Errorf("error %v has code %q, want %q", err, core.CodeOf(err), code)
	}
}

func asLost(err error) (*pipeline.Lost, bool) { return errors.AsType[*pipeline.Lost](err) }

func names(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint("stage", i))
	}
	return list
}

// TestSameTextAsWhole runs jobs, alone and together, over chains of one to four other nodes.
func TestSameTextAsWhole(t *testing.T) {
	for n := 1; n <= 4; n++ {
		t.Run(fmt.Sprintf("%dStages", n), func(t *testing.T) {
			cfg := fake.Config{}
			s := newSwarm(t, cfg, append(names(n), "host")...)
			chain := scheduler(t, dial(t, s, "host", spec(cfg, names(n)...)))
			for i := range 3 {
				j := job("a", fmt.Sprintf("what is shoal number %d?", i), 40)
				if got, want := generate(t.Context(), chain, j), alone(t, cfg, j); got.err != nil || got.text != want.text || got.finish.Reason != want.finish.Reason {
					t.Errorf("got %q, %+v, %v; want %q", got.text, got.finish, got.err, want.text)
				}
			}
			var group sync.WaitGroup
			for i := range 12 {
				j := job(fmt.Sprint("r", i%5), strings.Repeat(fmt.Sprintf("job %d ", i), 1+10*i), 30)
				want := alone(t, cfg, j)
				group.Go(func() {
					if got := generate(t.Context(), chain, j); got.err != nil || got.text != want.text {
						t.Errorf("job %d: got %q, %v; want %q", i, got.text, got.err, want.text)
					}
				})
			}
			group.Wait()
		})
	}
}

// TestChainBeginsAndEndsAtHome is the encrypted pipeline: no other node has the first or the last layer.
func TestChainBeginsAndEndsAtHome(t *testing.T) {
	cfg := fake.Config{Layers: 4}
	s := newSwarm(t, cfg, "host", "b", "c")
	home := fake.New(cfg)
	first, err := home.Load(t.Context(), engine.Spec{FirstShard: 0, EndShard: 1})
	if err != nil {
		t.Fatal(err)
	}
	last, err := home.Load(t.Context(), engine.Spec{FirstShard: 3, EndShard: 4})
	if err != nil {
		t.Fatal(err)
	}
	middle := pipeline.Spec{Model: model, Manifest: manifest, Stages: []pipeline.Stage{
		{Peer: swarmtest.ID("b"), FirstShard: 1, EndShard: 2}, {Peer: swarmtest.ID("c"), FirstShard: 2, EndShard: 3},
	}}
	chain := scheduler(t, first, dial(t, s, "host", middle), last)
	j := job("a", "nobody else sees this", 40)
	if got, want := generate(t.Context(), chain, j), alone(t, cfg, j); got.err != nil || got.text != want.text {
		t.Errorf("got %q, %v; want %q", got.text, got.err, want.text)
	}
	for _, name := range []string{"b", "c"} {
		for _, w := range s.nodes[name].windows.loaded {
			for _, token := range w.(*fake.Window).Tokens(0) {
				if token != 0 {
					t.Fatalf("node %s saw token %d", name, token)
				}
			}
		}
	}
}

// TestSessionsLeaveNothingBehind checks that the windows of a chain forget it, and that others can use them then.
func TestSessionsLeaveNothingBehind(t *testing.T) {
	cfg := fake.Config{}
	s := newSwarm(t, cfg, "host", "b", "c")
	for range 10 {
		p, err := pipeline.Dial(t.Context(), s.nodes["host"].Peer, spec(cfg, "b", "c"))
		if err != nil {
			t.Fatal(err)
		}
		if p.Shape().Sequences != 6 {
			t.Fatalf("granted %d sequences of 8", p.Shape().Sequences)
		}
		b := &engine.Batch{Rows: []engine.Row{{Token: 65}, {Token: 66, Pos: 1, Sample: true}}}
		if out, err := p.Step(t.Context(), b); err != nil || len(out.Samples) != 1 {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool { return s.nodes["b"].server.Sessions()+s.nodes["c"].server.Sessions() == 0 })
	}
	for _, name := range []string{"b", "c"} {
		w := s.nodes[name].windows
		w.mu.Lock()
		if w.uses != 0 || len(w.loaded) != 1 {
			t.Errorf("node %s: %d windows are in use, %d loaded", name, w.uses, len(w.loaded))
		}
		for _, l := range w.loaded {
			for seq := range 8 {
				if n := len(l.(*fake.Window).Tokens(seq)); n > 0 {
					t.Errorf("node %s holds %d tokens of sequence %d", name, n, seq)
				}
			}
		}
		w.mu.Unlock()
	}
}
