package library

import (
	"context"
	"path/filepath"
	"slices"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/config"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/arch"
	"github.com/shoal-p2p/shoal/daemon/gguf"
	"github.com/shoal-p2p/shoal/daemon/hardware"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// Span is a run of shards: First is in it, End is not.
type Span struct{ First, End int }

// Len is the number of shards.
func (s Span) Len() int { return s.End - s.First }

// Has tells whether a shard is in the span.
func (s Span) Has(index int) bool { return index >= s.First && index < s.End }

// Indices lists the shards.
func (s Span) Indices() (list []int) {
	list = []int{}
	for i := s.First; i < s.End; i++ {
		list = append(list, i)
	}
	return list
}

// Model is one model on the disk, or one whose manifest and header alone are here. Its exported fields never change.
// It is safe for concurrent use.
type Model struct {
	ID       core.ModelID
	Dir      string
	Manifest *shard.Manifest
	Digest   core.Digest // of the manifest
	Traits   Traits

	// gate holds one token: whoever has it may change the model's files or what of it is in memory.
	gate chan struct{}

	fitOnce sync.Once
	fit     *hardware.Fit // nil if the header cannot be judged

	mu      sync.Mutex // guards all below
	local   []bool     // by shard: on this disk
	locked  map[int]bool
	source  *admin.HFSource
	windows int // its own setting; 0 follows the settings
	about   *admin.Metadata
	aboutOf headerStamp // of the file that about was read from
}

// Traits are what the header says that is asked for often, so that the header need not stay in memory.
type Traits struct {
	Context   int // tokens that the model was trained for; 0 if the header does not say
	Vocab     int
	Refusal   string // why the model may not run as windows; "" if it may
	Template  string // the chat template
	BOS, EOS  string // text of the special tokens
	Half      bool   // hidden states may travel as half floats
	Supported bool   // the architecture is known to work as windows
}

// Text is what a model says about how it is talked to.
type Text struct {
	ChatTemplate string // Jinja; "" if the model has none
	BOS, EOS     string // text of the tokens that begin and end a text; "" if there is none
	Arch         string // general.architecture
}

func newModel(id core.ModelID, opened *shard.Model) *Model {
	m := &Model{
		ID: id, Dir: opened.Dir, Manifest: opened.Manifest, Traits: readTraits(opened),
		gate: make(chan struct{}, 1), locked: map[int]bool{},
	}
	m.Digest, _ = opened.Manifest.Digest() // a manifest that was read can be written
	m.local = make([]bool, len(m.Manifest.Shards))
	for _, i := range opened.Present() {
		m.local[i] = true
	}
	return m
}

func readTraits(o *shard.Model) Traits {
	f, t := o.Header, Traits{}
	if n, ok := f.ArchUint("context_length"); ok {
		t.Context = int(min(n, 16<<20))
	}
	tokens, _ := f.Strings("tokenizer.ggml.tokens")
	t.Vocab = len(tokens)
	if n, ok := f.ArchUint("vocab_size"); ok && t.Vocab == 0 {
		t.Vocab = int(min(n, 1<<24))
	}
	t.Template, _ = f.String("tokenizer.chat_template")
	t.BOS, t.EOS = special(f, tokens, "bos"), special(f, tokens, "eos")
	t.Supported = slices.Contains(arch.Names(), f.Architecture())
	if err := o.Splittable(); err != nil {
		t.Refusal = err.Error()
	}
	t.Half = arch.Of(f.Architecture(), f).HalfRows()
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

// Enter waits for the model's gate: whoever has it may change the model's files or what of it is in memory, until
// Leave. The error has code CodeCancelled.
func (m *Model) Enter(ctx context.Context) error {
	select {
	case m.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return core.Errorf(core.CodeCancelled, "wait for model %s: %w", m.ID, ctx.Err())
	}
}

// TryEnter is Enter without waiting; it is false when somebody else has the gate.
func (m *Model) TryEnter() bool {
	select {
	case m.gate <- struct{}{}:
		return true
	default:
		return false
	}
}

// Leave gives the gate back.
func (m *Model) Leave() { <-m.gate }

// Whole is the span of all shards.
func (m *Model) Whole() Span { return Span{0, len(m.Manifest.Shards)} }

// Local tells by shard whether it is on this disk.
func (m *Model) Local() []bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.local)
}

// Missing returns the layers of s whose shards are not on this disk.
func (m *Model) Missing(s Span) (layers []core.LayerRange) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := s.First; i < s.End; i++ {
		if !m.local[i] {
			layers = append(layers, m.Manifest.Shards[i].Layers)
		}
	}
	return layers
}

// Outside returns the layers of the shards that s leaves out.
func (m *Model) Outside(s Span) (layers []core.LayerRange) {
	for i, sh := range m.Manifest.Shards {
		if !s.Has(i) {
			layers = append(layers, sh.Layers)
		}
	}
	return layers
}

// Fit estimates what the model needs of memory; the answer is nil when its header cannot be judged.
func (m *Model) Fit() *hardware.Fit {
	m.fitOnce.Do(func() {
		m.fit, _ = hardware.ReadFit(filepath.Join(m.Dir, shard.HeaderFile), m.Manifest.Size)
	})
	return m.fit
}

// Bytes is the size of a span's shards.
func (m *Model) Bytes(s Span) (n int64) {
	for _, sh := range m.Manifest.Shards[s.First:s.End] {
		n += sh.Size
	}
	return n
}

// Layers is the run of layers of a span.
func (m *Model) Layers(s Span) core.LayerRange {
	return core.LayerRange{First: m.Manifest.Shards[s.First].Layers.First, End: m.Manifest.Shards[s.End-1].Layers.End}
}

// WindowCount is how many windows the model is to run in.
func (m *Model) WindowCount(set config.Settings) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Traits.Refusal != "" {
		return 1
	}
	if m.windows > 0 {
		return m.windows
	}
	return set.Windows
}

// Name is what the model calls itself, or its id. Control characters and marks of direction are taken out of it.
func (m *Model) Name() string {
	if name := core.Plain(m.Manifest.Name, maxName); name != "" {
		return name
	}
	return m.ID.String()
}

// maxName is how many letters of a model's name are shown.
const maxName = 200

// Text is how the model is talked to.
func (m *Model) Text() Text {
	return Text{ChatTemplate: m.Traits.Template, BOS: m.Traits.BOS, EOS: m.Traits.EOS, Arch: m.Manifest.Architecture}
}

// Source is where the model was fetched from; nil if that is not known.
func (m *Model) Source() *admin.HFSource {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.source
}

// Shards lists the shards as they are on the disk; where they are in memory and at others is for the caller to add.
func (m *Model) Shards() []admin.ShardInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]admin.ShardInfo, len(m.Manifest.Shards))
	for i, s := range m.Manifest.Shards {
		list[i] = admin.ShardInfo{
			Index: i, LayerStart: s.Layers.First, LayerEnd: s.Layers.End, SizeBytes: s.Size, Hash: s.Hash.String(),
			Local: m.local[i], Locked: m.locked[i],
		}
	}
	return list
}
