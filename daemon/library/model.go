package library

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/arch"
	"github.com/shoal-p2p/shoal/daemon/gguf"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// span is a run of shards: first is in it, end is not.
type span struct{ first, end int }

func (s span) len() int           { return s.end - s.first }
func (s span) has(index int) bool { return index >= s.first && index < s.end }
func (s span) indices() (list []int) {
	list = []int{}
	for i := s.first; i < s.end; i++ {
		list = append(list, i)
	}
	return list
}

// model is one model. The fields above the gate never change.
type model struct {
	id       core.ModelID
	dir      string
	manifest *shard.Manifest
	digest   core.Digest // of the manifest
	traits   traits
	meter    meter

	// gate holds one token: whoever has it may change the model's files or what of it is in memory.
	gate chan struct{}

	fitOnce sync.Once
	fit     *hardware.Fit // nil if the header cannot be judged

	mu       sync.Mutex // guards all below
	local    []bool     // by shard: on this disk
	locked   map[int]bool
	source   *admin.HFSource
	windows  int // its own setting; 0 follows the settings
	instance *instance
	stages   map[stageKey]*stage // windows beside the instance
	flight   *flight             // the load under way
	lastErr  string              // why the last load failed
	unloaded time.Time           // when its user last took it out of memory
	broken   bool                // its workers died too often; only an explicit load tries again
}

// traits are what the header says that is asked for often, so that the header need not stay in memory.
type traits struct {
	context   int
	vocab     int
	refusal   string // why the model may not run as windows; "" if it may
	template  string // the chat template
	bos, eos  string // text of the special tokens
	addBOS    bool
	half      bool // hidden states may travel as half floats
	supported bool // the architecture is known to work as windows
}

func newModel(id core.ModelID, opened *shard.Model) *model {
	m := &model{
		id: id, dir: opened.Dir, manifest: opened.Manifest, traits: readTraits(opened),
		gate: make(chan struct{}, 1), locked: map[int]bool{}, stages: map[stageKey]*stage{},
	}
	m.digest, _ = opened.Manifest.Digest() // a manifest that was read can be written
	m.local = make([]bool, len(m.manifest.Shards))
	for _, i := range opened.Present() {
		m.local[i] = true
	}
	return m
}

func readTraits(o *shard.Model) traits {
	f, t := o.Header, traits{}
	if n, ok := f.ArchUint("context_length"); ok {
		t.context = int(min(n, 16<<20))
	}
	tokens, _ := f.Strings("tokenizer.ggml.tokens")
	t.vocab = len(tokens)
	if n, ok := f.ArchUint("vocab_size"); ok && t.vocab == 0 {
		t.vocab = int(min(n, 1<<24))
	}
	t.template, _ = f.String("tokenizer.chat_template")
	t.bos, t.eos = special(f, tokens, "bos"), special(f, tokens, "eos")
	t.addBOS, _ = f.Bool("tokenizer.ggml.add_bos_token")
	t.supported = slices.Contains(arch.Names(), f.Architecture())
	if err := o.Splittable(); err != nil {
		t.refusal = err.Error()
	}
	t.half = arch.Of(f.Architecture(), f).HalfRows()
	return t
}

// special is the text of a special token, or "".
func special(f *gguf.File, tokens []string, name string) string {
	id, ok := f.Uint("tokenizer.ggml." + name + "_token_id")
	if !ok || id >= uint64(len(tokens)) {
		return ""
	}
	return tokens[id]
}

// enter waits for the model's gate.
func (m *model) enter(ctx context.Context) error {
	select {
	case m.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return core.Errorf(core.CodeCancelled, "wait for model %s: %w", m.id, ctx.Err())
	}
}

func (m *model) leave() { <-m.gate }

// whole is the span of all shards.
func (m *model) whole() span { return span{0, len(m.manifest.Shards)} }

func (m *model) current() *instance {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.instance
}

// staged tells whether windows beside the instance are in memory.
func (m *model) staged() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.stages) > 0
}

func (m *model) loading() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.flight != nil
}

// idle tells for how long nobody has used the model, if it is in memory.
func (m *model) idle() (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.instance == nil || m.instance.uses > 0 {
		return 0, false
	}
	return time.Since(m.instance.used), true
}

// missing returns the layers of s whose shards are not on this disk. The mutex is held.
func (m *model) missing(s span) (layers []core.LayerRange) {
	for i := s.first; i < s.end; i++ {
		if !m.local[i] {
			layers = append(layers, m.manifest.Shards[i].Layers)
		}
	}
	return layers
}

// memory estimates what the model needs; the answer is nil when its header cannot be judged.
func (m *model) memory() *hardware.Fit {
	m.fitOnce.Do(func() {
		m.fit, _ = hardware.ReadFit(filepath.Join(m.dir, shard.HeaderFile), m.manifest.Size)
	})
	return m.fit
}

// bytes is the size of a span's shards.
func (m *model) bytes(s span) (n int64) {
	for _, sh := range m.manifest.Shards[s.first:s.end] {
		n += sh.Size
	}
	return n
}

// layers is the run of layers of a span.
func (m *model) layers(s span) core.LayerRange {
	return core.LayerRange{First: m.manifest.Shards[s.first].Layers.First, End: m.manifest.Shards[s.end-1].Layers.End}
}
