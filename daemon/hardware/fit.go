package hardware

import (
	"fmt"
	"io"
	"os"
	"sync"

	ggufparser "github.com/gpustack/gguf-parser-go"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// overhead is what a worker process takes beside the model: llama.cpp's libraries and buffers of the system.
const overhead = 48 * MiB

// Fit tells how much memory a model needs. It is safe for concurrent use.
type Fit struct {
	file   *ggufparser.GGUFFile
	layers int

	mu    sync.Mutex
	known map[Load]Use // estimates, which take long and are asked for again with every look at the models
}

// maxKnown is how many estimates are kept.
const maxKnown = 64

// Use is memory in bytes.
type Use struct {
	RAM  int64
	VRAM int64
}

// Total is all memory, wherever it is.
func (u Use) Total() int64 { return u.RAM + u.VRAM }

// ReadFit reads a GGUF header: the file at path holds the header of a GGUF of size bytes, whose tensor data need not
// be there.
func ReadFit(path string, size int64) (f *Fit, err error) {
	whole, err := stretch(path, size)
	if err != nil {
		return nil, fmt.Errorf("fit: %w", err)
	}
	defer os.Remove(whole)
	// The parser answers some files it does not expect with a panic.
	defer func() {
		if r := recover(); r != nil {
			f, err = nil, core.Errorf(core.CodeCorrupt, "fit: the header cannot be judged: %v", r)
		}
	}()
	file, err := ggufparser.ParseGGUFFile(whole, ggufparser.SkipLargeMetadata())
	if err != nil {
		return nil, core.Errorf(core.CodeCorrupt, "fit: %w", err)
	}
	return &Fit{file: file, layers: int(file.Architecture().BlockCount), known: map[Load]Use{}}, nil
}

// stretch copies the header to a temporary file and makes that as long as the model, with a hole for the tensors:
// the parser wants to see the full length, and reads the header only.
func stretch(path string, size int64) (name string, err error) {
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := os.CreateTemp("", "shoal-fit-*.gguf")
	if err != nil {
		return "", err
	}
	defer func() {
		if cerr := out.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			os.Remove(out.Name())
		}
	}()
	if err := makeSparse(out); err != nil {
		return "", err
	}
	n, err := io.Copy(out, in)
	if err != nil {
		return "", err
	}
	return out.Name(), out.Truncate(max(n, size))
}

// Load says how a model is to be loaded.
type Load struct {
	Context   int // tokens of the KV cache
	Sequences int
	BatchRows int
	GPULayers int // layers on the GPU; the number of layers and more takes the output along
}

// At estimates what loading the whole model needs.
func (f *Fit) At(l Load) (Use, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if use, ok := f.known[l]; ok {
		return use, nil
	}
	use, err := f.estimate(l)
	if err != nil {
		return Use{}, err
	}
	if len(f.known) == maxKnown {
		clear(f.known)
	}
	f.known[l] = use
	return use, nil
}

func (f *Fit) estimate(l Load) (use Use, err error) {
	defer func() {
		if r := recover(); r != nil {
			use, err = Use{}, core.Errorf(core.CodeCorrupt, "fit: the header cannot be judged: %v", r)
		}
	}()
	layers := l.GPULayers
	if layers >= f.layers {
		layers = f.layers + 1
	}
	e := f.file.EstimateLLaMACppRun(
		ggufparser.WithLLaMACppContextSize(int32(l.Context)),
		ggufparser.WithParallelSize(int32(max(1, l.Sequences))),
		ggufparser.WithLLaMACppLogicalBatchSize(int32(l.BatchRows)),
		ggufparser.WithLLaMACppPhysicalBatchSize(int32(l.BatchRows)),
		ggufparser.WithLLaMACppOffloadLayers(uint64(max(0, layers))),
	)
	for i, d := range e.Devices {
		bytes := int64(d.Footprint) + int64(d.Weight.Sum()) + int64(d.KVCache.Sum()) + int64(d.Computation.Sum())
		switch {
		case i == 0:
			use.RAM += bytes + overhead
		case layers > 0:
			use.VRAM += bytes
		}
	}
	return use, nil
}

// Layers is the number of layers of the model.
func (f *Fit) Layers() int { return f.layers }
