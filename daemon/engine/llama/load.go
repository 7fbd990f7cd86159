package llama

import (
	"context"
	"strings"
	"sync"
	"time"

	binding "github.com/hybridgroup/yzma/pkg/llama"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// Limits of a Spec.
const (
	maxSequences = 64
	maxBatchRows = 4096
	maxContext   = 1 << 22
	maxThreads   = 512 // of ggml's thread pool
)

// minOutputs is how many rows of a last window may be sampled at once, at least. It bounds the memory for logits.
const minOutputs = 64

// Window is a loaded window. It implements engine.Window.
type Window struct {
	lib   *library
	plan  *plan
	shape engine.Shape

	life   sync.RWMutex // held for reading while the model is used, for writing to free it
	closed bool
	done   chan struct{}

	model binding.Model // 0 with VocabOnly
	ctx   binding.Context
	mem   binding.Memory
	pool  *threadPool
	abort *abortFlag

	vocabModel binding.Model // the model that vocab belongs to, if it is not model
	vocab      binding.Vocab // 0 without a tokenizer

	step    sync.Mutex // one Step at a time; guards the rest
	export  *export    // nil where nothing is captured or overwritten
	rows    *rowReader // nil where tokens are not looked up here
	batch   rowBatch
	lengths []int32 // positions in the KV cache, for each sequence; lost if its state is broken
	after   []int32 // scratch: lengths as they will be
	sampler []*sampler
	// byLength is made when a grammar first needs it.
	byLength     []int32
	grammarLimit time.Duration

	outputs int // most sampled rows of a batch
	slides  int32
	trims   bool // any tail can be dropped
	state   bool // has recurrent state, which can be neither trimmed nor copied in part
}

// load makes a window. What fails half way is freed.
func load(ctx context.Context, lib *library, spec engine.Spec) (*Window, error) {
	if err := checkSpec(&spec); err != nil {
		return nil, err
	}
	p, err := planOf(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer p.unlock()
	w := &Window{lib: lib, plan: p, done: make(chan struct{}), grammarLimit: grammarLimit}
	w.shape = engine.Shape{
		Layers: p.layers, First: p.first, Last: p.last, Context: spec.Context,
		Sequences: spec.Sequences, BatchRows: spec.BatchRows,
	}
	err = w.loadVocab()
	if err == nil && !spec.VocabOnly {
		err = w.loadModel(spec)
		if core.CodeOf(err) == core.CodeInsufficientRAM && spec.GPULayers < 0 && w.shape.GPULayers > 0 {
			w.unload()
			spec.GPULayers = 0
			if err = w.loadModel(spec); err == nil {
				w.shape.Placement = "the GPU ran out of memory"
			}
		}
	}
	if err != nil {
		_ = w.Close()
		return nil, err
	}
	return w, nil
}

func checkSpec(s *engine.Spec) error {
	if s.VocabOnly {
		return nil
	}
	switch {
	case s.Sequences < 1 || s.Sequences > maxSequences:
		return core.Errorf(core.CodeInvalidRequest, "%d sequences, want 1 to %d", s.Sequences, maxSequences)
	case s.BatchRows < 1 || s.BatchRows > maxBatchRows:
		return core.Errorf(core.CodeInvalidRequest, "%d rows of a batch, want 1 to %d", s.BatchRows, maxBatchRows)
	case s.Context < 1 || s.Context > maxContext:
		return core.Errorf(core.CodeInvalidRequest, "context of %d tokens, want 1 to %d", s.Context, maxContext)
	case s.Threads < 0 || s.Threads > maxThreads:
		return core.Errorf(core.CodeInvalidRequest, "%d threads, want 0 to %d", s.Threads, maxThreads)
	}
	if s.Threads == 0 {
		s.Threads = physicalCores()
	}
	return nil
}

// loadVocab loads the tokenizer alone, where the window has one that its own files lack.
func (w *Window) loadVocab() error {
	if w.plan.vocab == "" {
		return nil
	}
	params := binding.ModelDefaultParams()
	params.VocabOnly = 1
	w.lib.lines.reset()
	model, err := binding.ModelLoadFromFile(w.plan.vocab, params)
	if err != nil {
		return core.Errorf(core.CodeCorrupt, "load tokenizer: %s", w.lib.lines.reason())
	}
	w.vocabModel, w.vocab = model, binding.ModelGetVocab(model)
	w.shape.Vocabulary = int(binding.VocabNTokens(w.vocab))
	if w.plan.vocabulary != 0 && w.plan.vocabulary != w.shape.Vocabulary {
		return core.Errorf(core.CodeCorrupt, "the model has %d tokens and its tokenizer %d", w.plan.vocabulary, w.shape.Vocabulary)
	}
	return nil
}

func (w *Window) loadModel(spec engine.Spec) (err error) {
	params := binding.ModelDefaultParams()
	w.shape.GPULayers, w.shape.Placement = place(w.plan, spec, devices())
	params.NGpuLayers = gpuParam(w.shape.GPULayers, w.plan.layers.Len())
	w.lib.lines.reset()
	if len(w.plan.paths) == 1 {
		w.model, err = binding.ModelLoadFromFile(w.plan.paths[0], params)
	} else {
		w.model, err = binding.ModelLoadFromSplits(w.plan.paths, params)
	}
	if err != nil {
		return loadError(w.lib.lines.reason())
	}
	w.shape.Embedding = int(binding.ModelNEmbd(w.model))
	if w.vocab == 0 && w.plan.whole() {
		w.vocab = binding.ModelGetVocab(w.model)
		w.shape.Vocabulary = int(binding.VocabNTokens(w.vocab))
	}
	if err := w.openRows(); err != nil {
		return err
	}
	if err := w.openContext(spec); err != nil {
		return err
	}
	w.lengths, w.after = make([]int32, spec.Sequences), make([]int32, spec.Sequences)
	w.sampler = make([]*sampler, spec.Sequences)
	w.batch = newRowBatch(spec.BatchRows)
	return nil
}

// loadError tells a lack of memory from a damaged file. llama.cpp has only words for it.
func loadError(reason string) error {
	code := core.CodeCorrupt
	if strings.Contains(reason, "alloc") || strings.Contains(reason, "memory") {
		code = core.CodeInsufficientRAM
	}
	return core.Errorf(code, "load model: %s", reason)
}

// openRows makes the table that turns tokens into rows, in the first of several windows.
func (w *Window) openRows() (err error) {
	if !w.plan.first || w.plan.whole() {
		return nil
	}
	w.shape.Vocabulary = w.plan.embedding.rows
	w.rows, err = newRowReader(w.lib, w.plan.embedding, w.plan.window.Scale)
	return err
}

func (w *Window) openContext(spec engine.Spec) (err error) {
	if w.abort, err = newAbortFlag(); err != nil {
		return err
	}
	p := binding.ContextDefaultParams()
	p.NCtx = uint32(spec.Context)
	p.NSeqMax = uint32(spec.Sequences)
	p.NBatch = uint32(max(spec.BatchRows, spec.Sequences))
	p.NUbatch = p.NBatch // rows then leave in the order in which they came
	w.outputs = int(p.NBatch)
	if w.plan.last {
		w.outputs = min(w.outputs, max(spec.Sequences, minOutputs))
	}
	p.NOutputsMax = uint32(w.outputs)
	p.NThreads, p.NThreadsBatch = int32(spec.Threads), int32(spec.Threads)
	p.PoolingType = binding.PoolingTypeNone
	p.KVUnified = 1 // otherwise llama.cpp reorders the rows of a batch of several sequences
	p.SwaFull = 0
	p.NoPerf = 1
	p.AbortCallback, p.AbortCallbackData = w.abort.fn, w.abort.data()
	if w.export = newExport(w.lib, w.plan, w.shape.Embedding); w.export != nil {
		p.CbEval, p.CbEvalUserData = w.lib.evalFunction(), w.export.register()
	}
	w.lib.lines.reset()
	if w.ctx, err = binding.InitFromModel(w.model, p); err != nil {
		return core.Errorf(core.CodeInsufficientRAM, "make context of %d tokens: %s", spec.Context, w.lib.lines.reason())
	}
	if w.mem, err = binding.GetMemory(w.ctx); err != nil || w.mem == 0 {
		return core.Errorf(core.CodeUnsupported, "this model is not a decoder")
	}
	w.slides = binding.ModelNSWA(w.model)
	w.state = binding.ModelIsRecurrent(w.model) || binding.ModelIsHybrid(w.model)
	w.shape.CanTrim = w.slides == 0 && !w.state
	w.trims = w.shape.CanTrim
	w.pool = w.lib.newThreadPool(spec.Threads, spec.ShareCPU)
	if w.pool != nil {
		binding.AttachThreadpool(w.ctx, w.pool.handle, w.pool.handle)
	}
	return nil
}

// Shape implements engine.Window.
func (w *Window) Shape() engine.Shape { return w.shape }

// Done implements engine.Window.
func (w *Window) Done() <-chan struct{} { return w.done }

// Close implements engine.Window. A Step that runs is stopped.
func (w *Window) Close() error {
	if w.abort != nil {
		w.abort.raise()
	}
	w.life.Lock()
	defer w.life.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	w.unload()
	if w.vocabModel != 0 {
		_ = binding.ModelFree(w.vocabModel)
	}
	close(w.done)
	return nil
}

// unload frees what loadModel made, also half of it.
func (w *Window) unload() {
	for _, s := range w.sampler {
		s.free()
	}
	if w.ctx != 0 {
		_ = binding.Free(w.ctx)
	}
	if w.pool != nil {
		w.pool.free()
	}
	w.export.unregister()
	if w.model != 0 {
		_ = binding.ModelFree(w.model)
	}
	if w.rows != nil {
		_ = w.rows.file.Close()
	}
	w.sampler, w.ctx, w.pool, w.export, w.model, w.rows = nil, 0, nil, nil, 0, nil
	if w.vocabModel == 0 {
		w.vocab = 0
	}
}

// use keeps the window from being freed until release is called.
func (w *Window) use() (release func(), err error) {
	w.life.RLock()
	if w.closed {
		w.life.RUnlock()
		return nil, core.Errorf(core.CodeEngineCrashed, "the window is closed")
	}
	return w.life.RUnlock, nil
}

var _ engine.Window = (*Window)(nil)

var _ engine.Engine = (*Engine)(nil)
