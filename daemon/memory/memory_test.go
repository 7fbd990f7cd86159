package memory

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/fake"
	"github.com/shoal-p2p/shoal/daemon/event"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/library"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/store"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

// layers of the test model, and so its shards.
const layers = 6

// house is a library on a scripted engine, and what a test may want to look at.
type house struct {
	*Memory
	lib     *library.Library
	t       *testing.T
	dir     string
	engine  *fake.Engine
	set     config.Settings // copied by the library at each question
	mu      sync.Mutex
	damaged chan int // shards that were put aside
}

// furnish makes a library in dir that runs until the test ends.
func furnish(t *testing.T, dir string, cfg fake.Config) *house {
	t.Helper()
	h := build(t, dir, cfg)
	h.run()
	return h
}

func build(t *testing.T, dir string, cfg fake.Config) *house { return buildScrubbed(t, dir, cfg, 0) }

// buildScrubbed is build with so much time between two looks at all shards.
func buildScrubbed(t *testing.T, dir string, cfg fake.Config, scrubEvery time.Duration) *house {
	t.Helper()
	cfg.Layers = layers
	h := &house{t: t, dir: dir, engine: fake.New(cfg), set: config.Default()}
	key, err := identity.Open(filepath.Join(dir, "identity.key"))
	must(t, err)
	db, err := store.Open(t.Context(), filepath.Join(dir, "shoal.db"))
	must(t, err)
	t.Cleanup(func() { db.Close() })
	log := slog.New(slog.DiscardHandler)
	h.damaged = make(chan int, 10)
	h.lib = library.New(library.Config{
		Dir: filepath.Join(dir, "models"), Store: db, Settings: h.settings, Key: key, Events: &event.Bus{}, Log: log,
		Damaged: func(_ core.ModelID, _ core.Digest, index int) { h.damaged <- index }, ScrubEvery: scrubEvery,
	})
	h.Memory = New(Config{
		Library: h.lib, Engine: h.engine, Store: db, Hardware: hardware.New(hardware.Config{DataDir: dir}),
		Settings: h.settings, Log: log,
	})
	h.firstBackOff, h.sweepEvery = 100*time.Millisecond, 50*time.Millisecond
	must(t, h.lib.Scan(t.Context()))
	return h
}

// run runs the library and returns a function that stops it, which the end of the test does too.
func (h *house) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { must(h.t, h.lib.Run(ctx)) })
	running.Go(func() { must(h.t, h.Memory.Run(ctx)) })
	stop = func() { cancel(); running.Wait() }
	h.t.Cleanup(stop)
	return stop
}

func (h *house) settings() config.Settings {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.set
}

func (h *house) change(fn func(*config.Settings)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fn(&h.set)
}

// bring imports a generated model called name and returns its id.
func (h *house) bring(name string, windows int) core.ModelID {
	h.t.Helper()
	id, err := h.lib.Import(h.t.Context(), modelFile(h.t, name), windows, nil)
	must(h.t, err)
	must(h.t, h.Recut(h.t.Context(), id, windows))
	return id
}

func modelFile(t *testing.T, name string) string { return seededFile(t, name, 1) }

// seededFile writes a generated model; another seed gives other weights.
func seededFile(t *testing.T, name string, seed uint64) string {
	t.Helper()
	m, err := gguftest.New(gguftest.Config{Name: name, Layers: layers, Seed: seed})
	must(t, err)
	path := filepath.Join(t.TempDir(), name+".gguf")
	must(t, m.WriteFile(path))
	return path
}

// say generates with a model, loading it if need be.
func (h *house) say(name string) (tokens int, err error) {
	lease, err := h.Acquire(h.t.Context(), idOf(name))
	if err != nil {
		return 0, err
	}
	defer lease.Release()
	_, err = lease.Runner.Generate(h.t.Context(), engine.Job{Prompt: []int32{1, 2, 3}, MaxTokens: 5},
		func(engine.Sample) error { tokens++; return nil })
	return tokens, err
}

// open counts the windows that are open.
func (h *house) open() (n int) {
	for _, w := range h.engine.Windows() {
		select {
		case <-w.Done():
		default:
			n++
		}
	}
	return n
}

func (h *house) model(id core.ModelID) admin.ModelInfo {
	h.t.Helper()
	m, err := h.lib.Find(id)
	must(h.t, err)
	return h.Info(h.t.Context(), m, Elsewhere{})
}

// idOf is the id of a name that is one.
func idOf(name string) core.ModelID {
	id, err := core.ParseModelID(name)
	if err != nil {
		panic(err)
	}
	return id
}

// folder opens the folder of a model.
func (h *house) folder(id core.ModelID) *shard.Model {
	h.t.Helper()
	o, err := shard.NewStore(shard.Config{Dir: filepath.Join(h.dir, "models")}).Open(id)
	must(h.t, err)
	return o
}

// until waits for cond for a while.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code core.Code) {
	t.Helper()
	if core.CodeOf(err) != code {
		t.Errorf("got %v (%s), want %s", err, core.CodeOf(err), code)
	}
}

func TestImportAndLoad(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	var last core.Progress
	id, err := h.lib.Import(t.Context(), modelFile(t, "Tiny_Model-F32"), 0, func(p core.Progress) { last = p })
	must(t, err)
	info := h.model(id)
	if last.Done != last.Total || last.Total == 0 {
		t.Errorf("progress ended at %d of %d", last.Done, last.Total)
	}
	if info.ID != "tiny-model-f32" || info.Name != "Tiny_Model-F32" || info.Status != admin.StatusReady || info.ShardCount != layers ||
		info.HostedShards != layers || !info.GlobalAvailable || !info.HasFirstShard || !info.HasLastShard || !info.Fits ||
		info.Architecture != "llama" || info.EstimatedVRAMMB < 1 || info.TrustLevel != "Pinned" || !info.Splittable {
		t.Errorf("imported: %+v", info)
	}
	must(t, h.Load(t.Context(), id))
	info = h.model(id)
	if info.Status != admin.StatusLoaded || len(info.LoadedShards) != layers || h.open() != 1 {
		t.Errorf("loaded: status %s, shards %v, %d windows", info.Status, info.LoadedShards, h.open())
	}
	if err := h.Load(t.Context(), id); err != nil || len(h.engine.Windows()) != 1 {
		t.Errorf("loading again: %v, %d windows in all", err, len(h.engine.Windows()))
	}
	if n, err := h.say(info.ID); n == 0 || err != nil {
		t.Errorf("generate: %d tokens, %v", n, err)
	}
	out, err := h.Unload(t.Context(), id)
	must(t, err)
	if out.Status != "unloaded" || out.SegmentsRemoved != 1 || out.EstimatedFreedMB < 1 || out.ModelName != "Tiny_Model-F32" {
		t.Errorf("unloaded: %+v", out)
	}
	if h.open() != 0 || h.model(id).Status != admin.StatusReady {
		t.Errorf("after unload: %d windows, status %s", h.open(), h.model(id).Status)
	}
	if out, err = h.Unload(t.Context(), id); err != nil || out.SegmentsRemoved != 0 {
		t.Errorf("unloading again: %+v, %v", out, err)
	}
}

func TestWindows(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 3)
	err := h.Load(t.Context(), id)
	must(t, err)
	var got []core.LayerRange
	for _, w := range h.engine.Windows() {
		got = append(got, w.Shape().Layers)
	}
	if want := []core.LayerRange{{First: 0, End: 2}, {First: 2, End: 4}, {First: 4, End: 6}}; !slices.Equal(got, want) {
		t.Errorf("windows %v, want %v", got, want)
	}
	if n, err := h.say("m"); n == 0 || err != nil {
		t.Errorf("generate: %d tokens, %v", n, err)
	}
	if info := h.model(id); info.Windows != 3 {
		t.Errorf("%d windows reported", info.Windows)
	}
	h.bring("m", 2)
	if h.model(id).Status != admin.StatusReady {
		t.Error("a model whose number of windows changed stays in memory")
	}
	if _, err := h.say("m"); err != nil || h.open() != 2 {
		t.Errorf("%d windows, %v; want 2", h.open(), err)
	}
}

func TestCutIsEvenAndWhole(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	m, err := h.find(h.bring("m", 0))
	must(t, err)
	for first := range layers {
		for end := first + 1; end <= layers; end++ {
			for n := 1; n <= layers+1; n++ {
				spans := m.divide(library.Span{First: first, End: end}, n)
				next := first
				for _, s := range spans {
					if s.First != next || s.Len() < 1 || s.Len() > (end-first+len(spans)-1)/len(spans) {
						t.Fatalf("%d to %d in %d: %v", first, end, n, spans)
					}
					next = s.End
				}
				if next != end || len(spans) != min(n, end-first) {
					t.Fatalf("%d to %d in %d: %v", first, end, n, spans)
				}
			}
		}
	}
}

func TestOneLoadForAllWhoAsk(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	h.bring("m", 0)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := h.say("m"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(h.engine.Windows()); n != 1 {
		t.Errorf("%d windows were loaded, want 1", n)
	}
}

func TestShardsInAndOutOfMemory(t *testing.T) {
	h := furnish(t, t.TempDir(), fake.Config{})
	id := h.bring("m", 0)
	ctx := t.Context()
	err := h.Load(ctx, id)
	must(t, err)
	out, err := h.UnloadShard(ctx, id, 0)
	must(t, err)
	if !slices.Equal(out.RemainingLoaded, []int{1, 2, 3, 4, 5}) || out.Status != "unloaded" {
		t.Errorf("without shard 0: %+v", out)
	}
	if h.open() != 1 || h.model(id).Status != admin.StatusPartial {
		t.Errorf("%d windows, status %s", h.open(), h.model(id).Status)
	}
	_, err = h.say("m")
	wantCode(t, err, core.CodeNotReady)
	if err == nil || !strings.Contains(err.Error(), "layers 0-0") {
		t.Errorf("the error does not name the layers: %v", err)
	}
	out, err = h.UnloadShard(ctx, id, 4)
	must(t, err)
	if !slices.Equal(out.RemainingLoaded, []int{1, 2, 3}) {
		t.Errorf("without shard 4: %v", out.RemainingLoaded)
	}
	_, err = h.UnloadShard(ctx, id, 5)
	wantCode(t, err, core.CodeConflict)
	in, err := h.LoadShard(ctx, id, 5)
	must(t, err)
	if !slices.Equal(in.LoadedShards, []int{1, 2, 3, 4, 5}) || in.Status != "loaded" {
		t.Errorf("with shard 5: %+v", in)
	}
	_, err = h.LoadShard(ctx, id, 0)
	must(t, err)
	if n, err := h.say("m"); n == 0 || err != nil {
		t.Errorf("whole again: %d tokens, %v", n, err)
	}
	for i := range layers {
		_, err = h.UnloadShard(ctx, id, i)
		must(t, err)
	}
	if h.open() != 0 || h.model(id).Status != admin.StatusReady {
		t.Errorf("the last shard out: %d windows, status %s", h.open(), h.model(id).Status)
	}
	_, err = h.LoadShard(ctx, id, layers)
	wantCode(t, err, core.CodeNotFound)
}
