package llama

import (
	"context"
	"os"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/arch"
	"github.com/shoal-p2p/shoal/daemon/gguf"
)

// plan is what a window is loaded from.
type plan struct {
	paths     []string // one GGUF file, or the splits in order; none to load the tokenizer only
	vocab     string   // a GGUF file to take the tokenizer from; empty if the window's own files have it
	layers    core.LayerRange
	first     bool
	last      bool
	window    arch.Window // zero when whole
	embedding rowTable    // where the first window of several looks up tokens
	bytes     int64       // of the layers' tensors
	cacheRow  int64       // bytes of KV cache per token and layer
	unlock    func()      // call when the files are loaded

	vocabulary int // tokens of the model; 0 if the tokenizer tells
}

// whole tells that the plan is a complete model, which takes tokens and needs no help.
func (p *plan) whole() bool { return p.first && p.last }

// rowTable is a token embedding in a file.
type rowTable struct {
	path   string
	offset int64 // of the first row, in bytes
	typ    gguf.Type
	width  int
	rows   int
}

// planOf finds the files of a window. A ModelDir that is a GGUF file is planned whole, as it is.
func planOf(ctx context.Context, spec engine.Spec) (*plan, error) {
	info, err := os.Stat(spec.ModelDir)
	if err != nil {
		return nil, core.Errorf(core.CodeNotFound, "model: %w", err)
	}
	if info.IsDir() {
		return planShards(ctx, spec)
	}
	return planFile(spec.ModelDir, spec.VocabOnly)
}

func planFile(path string, vocabOnly bool) (*plan, error) {
	f, err := readHeader(path)
	if err != nil {
		return nil, err
	}
	p := &plan{first: true, last: true, unlock: func() {}}
	if vocabOnly {
		p.vocab = path
		return p, nil
	}
	layers, _ := f.ArchUint("block_count")
	p.paths, p.layers = []string{path}, core.LayerRange{End: int(layers)}
	for i := range f.Tensors {
		p.bytes += f.Tensors[i].Size()
	}
	p.cacheRow = cacheRow(f)
	return p, nil
}

func readHeader(path string) (*gguf.File, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, core.Errorf(core.CodeNotFound, "model: %w", err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, core.Errorf(core.CodeInternal, "model: %w", err)
	}
	return gguf.Read(in, info.Size())
}

// cacheRow is the most KV cache that one token takes in one layer, in bytes, with keys and values as half floats.
func cacheRow(f *gguf.File) int64 {
	get := func(key string) int64 {
		n, _ := f.ArchUint(key)
		return int64(min(n, 1<<20))
	}
	heads := max(get("attention.head_count"), 1)
	cached := get("attention.head_count_kv")
	if cached == 0 {
		cached = heads
	}
	width := get("embedding_length") / heads
	keys, values := get("attention.key_length"), get("attention.value_length")
	if keys == 0 {
		keys = width
	}
	if values == 0 {
		values = width
	}
	return 2 * cached * (keys + values)
}
