package shard

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/arch"
	"github.com/shoal-p2p/shoal/daemon/gguf"
)

// WindowPlan is what an engine needs to know about a window besides the files to load.
type WindowPlan struct {
	Architecture string
	Layers       core.LayerRange
	Whole        bool       // the window is the whole model: it takes tokens and needs nothing of the rest below
	First        bool       // holds the model's first layer
	Last         bool       // holds the model's last layer and its output matrix
	Tied         bool       // the token embedding is the output matrix too
	Embedding    int        // width of a hidden state, in numbers
	Vocabulary   int        // tokens of the model
	CanTrim      bool       // see arch.Model.CanTrim
	Bytes        int64      // of the tensors the window loads
	Header       *gguf.File // of the whole model

	arch.Window          // for windows that are not the whole model
	Tokens      TensorAt // the token embedding, for a first window that is not the whole model
	Vocab       string   // path of a GGUF with the model's tokenizer and no tensors
}

// TensorAt is a tensor's place in a file on disk.
type TensorAt struct {
	Path    string
	Offset  int64 // bytes from the start of the file
	Type    gguf.Type
	Columns int64 // numbers in a row
	Rows    int64
}

// Lock keeps other processes from preparing windows of the model in dir. Hold it from PrepareWindow until the
// files are loaded: the headers in the shard files are rewritten for every window. It waits until ctx ends.
func Lock(ctx context.Context, dir string) (unlock func(), err error) {
	l := flock.New(filepath.Join(dir, lockFile))
	if _, err := l.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, stopped(ctx, err)
	}
	return func() { _ = l.Unlock() }, nil
}

// PrepareWindow makes the shards from first up to end, which is not in it, loadable by llama.cpp, as the splits in
// paths. It writes headers into the shard files' reserved areas and small files into the folder windows. Errors
// have code core.CodeInvalidRequest, core.CodeNotReady for a shard that is not there, or core.CodeUnsupported for
// a model that must stay whole.
func PrepareWindow(dir string, first, end int) (paths []string, plan WindowPlan, err error) {
	m, err := Open(dir)
	if err != nil {
		return nil, plan, err
	}
	w, err := m.window(first, end)
	if err != nil {
		return nil, plan, err
	}
	if err := os.MkdirAll(filepath.Join(dir, windowsDir), 0o700); err != nil {
		return nil, plan, err
	}
	if w.plan.Vocab, err = m.PrepareVocab(); err != nil {
		return nil, plan, err
	}
	paths, err = w.write()
	return paths, w.plan, diskFull(err)
}

// PrepareVocab writes the model's tokenizer as a GGUF without tensors, if it is not there, and returns its path.
func (m *Model) PrepareVocab() (path string, err error) {
	path = filepath.Join(m.Dir, windowsDir, "vocab.gguf")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	header, err := gguf.Marshal(&gguf.File{Version: 3, KVs: without(m.Header.KVs, "split.")})
	if err != nil {
		return "", err
	}
	return path, ensureFile(path, header, int64(len(header)))
}

// Splittable is nil if the model may run as several windows, and else an error of code core.CodeUnsupported that
// says why not.
func (m *Model) Splittable() error {
	if m.plan.large != "" {
		return core.Errorf(core.CodeUnsupported, "%s cannot be split: every part would need the tensor %s", m.Manifest.Architecture, m.plan.large)
	}
	embedding := m.Header.Tensor(embeddingName)
	if embedding == nil || len(embedding.Dims) != 2 {
		return core.Errorf(core.CodeUnsupported, "%s cannot be split: it has no token embedding", m.Manifest.Architecture)
	}
	return m.arch().Splittable()
}

func (m *Model) arch() arch.Model { return arch.Of(m.Header.Architecture(), m.Header) }

// window is one run of shards being prepared.
type window struct {
	model      *Model
	first, end int
	plan       WindowPlan
}

func (m *Model) window(first, end int) (*window, error) {
	shards := m.plan.shards
	if first < 0 || end > len(shards) || first >= end {
		return nil, core.Errorf(core.CodeInvalidRequest, "window of shards %d to %d of %d", first, end, len(shards))
	}
	for i := first; i < end; i++ {
		if !m.Has(i) {
			return nil, core.Errorf(core.CodeNotReady, "shard %d of model %s is not here", i, m.Manifest.ModelID)
		}
	}
	width, _ := m.Header.ArchUint("embedding_length")
	w := &window{model: m, first: first, end: end, plan: WindowPlan{
		Architecture: m.Manifest.Architecture,
		Layers:       core.LayerRange{First: shards[first].layers.First, End: shards[end-1].layers.End},
		First:        first == 0, Last: end == len(shards), Whole: first == 0 && end == len(shards),
		Tied: m.plan.tied, Embedding: int(width), Vocabulary: m.vocabulary(), CanTrim: m.arch().CanTrim(), Header: m.Header,
	}}
	for i := first; i < end; i++ {
		w.plan.Bytes += packedSize(w.listed(i), m.Header.Alignment())
	}
	if w.plan.Whole {
		return w, nil
	}
	if err := m.Splittable(); err != nil {
		return nil, err
	}
	if w.plan.First {
		w.plan.Tokens = m.tokens()
	}
	var err error
	w.plan.Window, err = m.arch().Window(w.plan.Layers)
	return w, err
}

// vocabulary is the number of tokens.
func (m *Model) vocabulary() int {
	if t := m.Header.Tensor(embeddingName); t != nil && len(t.Dims) == 2 {
		return int(t.Dims[1])
	}
	list, _ := m.Header.Strings("tokenizer.ggml.tokens")
	return len(list)
}

// tokens finds the token embedding in the first shard's file.
func (m *Model) tokens() TensorAt {
	s := &m.Manifest.Shards[0]
	at := starts(s.Tensors, m.Header.Alignment())
	for i, t := range m.plan.shards[0].tensors {
		if t.Name == embeddingName {
			return TensorAt{Path: m.Path(0), Offset: m.Manifest.Reserved + at[i], Type: t.Type, Columns: t.Dims[0], Rows: t.Dims[1]}
		}
	}
	return TensorAt{}
}

// listed are the tensors of shard i that the loader sees in this window: a prefix of what the shard has, and no
// tensor twice in one window.
func (w *window) listed(i int) []*gguf.Tensor {
	s := &w.model.plan.shards[i]
	switch {
	case w.plan.Whole && i == 0:
		return s.tensors
	case w.plan.Whole:
		return s.tensors[:s.output]
	case i == w.first:
		return s.tensors[:s.shared]
	default:
		return s.tensors[:s.tied]
	}
}

// write writes the head and the shards' headers.
func (w *window) write() ([]string, error) {
	head, err := w.head()
	if err != nil {
		return nil, err
	}
	s := split{count: 1 + w.end - w.first, tensors: len(head.Tensors)}
	for i := w.first; i < w.end; i++ {
		s.tensors += len(w.listed(i))
	}
	s.set(head)
	data := head.Pack()
	header, err := gguf.Marshal(head)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(w.model.Dir, windowsDir, fmt.Sprintf("window-%03d-%03d.gguf", w.first, w.end))
	if err := ensureFile(path, header, int64(len(header))+data); err != nil {
		return nil, err
	}
	paths := []string{path}
	for i := w.first; i < w.end; i++ {
		s.no++
		if err := w.writeShard(i, s); err != nil {
			return nil, err
		}
		paths = append(paths, w.model.Path(i))
	}
	return paths, nil
}

// head is the first split: the window's metadata, and stand-ins for tensors that the loader asks for and the
// window does not use.
func (w *window) head() (*gguf.File, error) {
	if w.plan.Whole {
		return &gguf.File{Version: 3, KVs: without(w.model.Header.KVs, "split.")}, nil
	}
	h := &gguf.File{Version: 3, KVs: w.metadata()}
	for i := range w.model.Header.Tensors {
		t := w.model.Header.Tensors[i]
		switch embedding := strings.HasPrefix(t.Name, "token_embd"); {
		case !embedding && !strings.HasPrefix(t.Name, "output"):
		case !w.plan.Last:
			h.Tensors = append(h.Tensors, standIn(t))
		case embedding && !w.plan.Tied:
			h.Tensors = append(h.Tensors, t) // a hole in the file: never read
		}
	}
	return h, nil
}

// standIn is t cut down to one token of the vocabulary.
func standIn(t gguf.Tensor) gguf.Tensor {
	dims := append([]int64(nil), t.Dims...)
	if len(dims) == 2 {
		dims[1] = 1
	} else if t.Name == "output.bias" {
		dims[0] = 1
	}
	return gguf.Tensor{Name: t.Name, Dims: dims, Type: gguf.F32}
}

// metadata is the model's, as if the window's layers were all it has and it had no tokenizer.
func (w *window) metadata() []gguf.KV {
	name := w.plan.Architecture
	h := &gguf.File{}
	for _, kv := range without(w.model.Header.KVs, "split.", "tokenizer.") {
		if strings.HasPrefix(kv.Key, name+".") && kv.Key != name+".rope.dimension_sections" {
			kv.Value = perLayer(kv.Value, w.model.Manifest.Layers, w.plan.Layers)
		}
		h.KVs = append(h.KVs, kv)
	}
	vocabulary := 1
	if w.plan.Last {
		vocabulary = w.plan.Vocabulary
	}
	h.Set(name+".block_count", uint32(w.plan.Layers.Len()))
	h.Set(name+".vocab_size", uint32(vocabulary))
	h.Set("tokenizer.ggml.model", "no_vocab")
	for _, fix := range w.plan.Fixes {
		if fix.Bools != nil {
			h.Set(fix.Key, fix.Bools)
		} else {
			h.Set(fix.Key, fix.Uint)
		}
	}
	return h.KVs
}

// perLayer cuts an array with an entry for each layer down to the layers of r; other values stay.
func perLayer(v any, layers int, r core.LayerRange) any {
	list := reflect.ValueOf(v)
	if list.Kind() != reflect.Slice || list.Len() != layers {
		return v
	}
	return list.Slice(r.First, r.End).Interface()
}

// without leaves out the keys with the given prefixes.
func without(kvs []gguf.KV, prefixes ...string) []gguf.KV {
	list := make([]gguf.KV, 0, len(kvs))
next:
	for _, kv := range kvs {
		for _, p := range prefixes {
			if strings.HasPrefix(kv.Key, p) {
				continue next
			}
		}
		list = append(list, kv)
	}
	return list
}
