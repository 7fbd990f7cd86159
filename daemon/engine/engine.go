// Package engine is the port to inference: windows of layers that run batches, and what flows between them.
//
// A window is a contiguous run of a model's shards held by one worker process. Windows in a row make a chain:
// the first takes tokens, each hands hidden states to the next, the last one samples. The implementations are
// engine/worker (a process that runs stock llama.cpp) and engine/fake (scripted, for tests); engine/schedule
// runs many requests over one chain.
package engine

import (
	"context"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Engine starts windows. It is safe for concurrent use.
type Engine interface {
	// Info tells which runtime and devices there are. The error has code core.CodeNoRuntime and a hint when the
	// libraries are missing or do not fit.
	Info(ctx context.Context) (RuntimeInfo, error)
	// Load starts a window. It returns when the window can take a Step, or with the reason why it cannot.
	Load(ctx context.Context, spec Spec) (Window, error)
}

// RuntimeInfo describes the llama.cpp libraries in use.
type RuntimeInfo struct {
	Dir     string   // where the libraries are
	Version string   // "v0.5.0"
	Flavour string   // "cpu", "vulkan", "cuda" or "metal"
	Devices []Device // every device the runtime sees, the CPU included
}

// Device is something a layer can be placed on. Sizes are in bytes.
type Device struct {
	Name        string
	Description string
	GPU         bool
	FreeBytes   int64
	TotalBytes  int64
}

// Spec says which window to load and how much of the PC it may use.
type Spec struct {
	ModelDir   string // folder with manifest.json, gguf_header.bin and the shard files; or a GGUF file, to load whole
	FirstShard int    // first shard of the window
	EndShard   int    // one past the last shard
	Context    int    // KV cache size in tokens, all sequences together
	Sequences  int    // most sequences at once, 1 to 64
	BatchRows  int    // most rows of one Step
	Threads    int    // CPU threads; 0 is one per physical core
	GPULayers  int    // layers to put on the GPU; -1 chooses by free VRAM
	ShareCPU   bool   // other workers use the same cores: park idle threads instead of spinning
	VocabOnly  bool   // load the tokenizer only; Step is refused
}

// Shape is what a loaded window is.
type Shape struct {
	Layers     core.LayerRange // layers of the model held by the window
	First      bool            // takes tokens
	Last       bool            // samples
	Embedding  int             // width of a hidden state, in floats
	Vocabulary int             // tokens of the model
	Context    int             // KV cache size in tokens
	Sequences  int
	BatchRows  int
	GPULayers  int    // layers placed on a GPU
	Placement  string // why layers are on the CPU; empty when none is
	CanTrim    bool   // the tail of a sequence can be dropped (no sliding-window or recurrent state is lost)
	PID        int    // process of the worker, for logs and tests; 0 in process
}

// Window is a loaded run of layers. Step calls are ordered: one at a time, in the order they were made.
// The other methods may run at the same time as a Step.
type Window interface {
	Shape() Shape
	// Step applies the batch's operations, in order, then runs its rows; a batch may have no rows. Operations are
	// applied even when ctx has ended. When ctx ends while the rows run, the window stops as soon as it can and
	// returns an error of code core.CodeCancelled; the rows of the batch are then not in the KV cache. The window
	// keeps nothing of b after it returns. A dead worker is an error of code core.CodeEngineCrashed. No other error
	// leaves the window unfit, or a row of the batch in the KV cache, or changes what a sampler gives next; operations
	// may have been applied.
	Step(ctx context.Context, b *Batch) (*Output, error)
	Tokenizer
	// Done is closed when the window's process has ended, for whatever reason.
	Done() <-chan struct{}
	// Close ends the process and frees its memory. It is safe to call twice.
	Close() error
}

// Tokenizer turns text into a model's tokens and back.
type Tokenizer interface {
	// Tokenize splits text. addSpecial adds the begin-of-text token where the model wants one; parseSpecial reads
	// markers such as <|im_end|> as the tokens they name, which text from a user must never be.
	Tokenize(ctx context.Context, text string, addSpecial, parseSpecial bool) ([]int32, error)
	// Pieces returns the bytes of each token. A piece may be part of a UTF-8 sequence. Special tokens have text
	// only when special is set.
	Pieces(ctx context.Context, tokens []int32, special bool) ([][]byte, error)
}

// Row is one token of one sequence.
type Row struct {
	Token  int32 // read by the first window only
	Pos    int32
	Seq    int32
	Sample bool // the last window reports a Sample (or an embedding) after this row
	// Draft says that Token is a guess at what the row before it, which is of the same sequence and marked Sample,
	// gives. The last window reports a Sample of this row only if the guess is right, and none of the drafts that
	// follow a wrong one. The positions of wrong drafts are in the KV cache of every window until they are trimmed.
	Draft bool
}

// OpKind is a kind of Op.
type OpKind uint8

// Operations on sequences.
const (
	OpTrim    OpKind = iota + 1 // drop positions From and after of Seq (From 0 drops all)
	OpCopy                      // make positions below From of sequence Source also those of Seq
	OpSampler                   // set how Seq samples, and reset its history
)

// Op changes a sequence before the rows of its batch run.
type Op struct {
	Kind    OpKind
	Seq     int32
	From    int32
	Source  int32
	Sampler *Sampler
}

// Sampler is how the last window chooses tokens of a sequence.
type Sampler struct {
	core.Sampling
	// History are the last tokens of the prompt, which the repetition penalties look at.
	History []int32
	// Accepted are tokens that the sampler chose before, and that are part of the prompt now because the reply goes on
	// elsewhere: the grammar and the penalties continue after them.
	Accepted []int32
}

// Batch is one unit of work of a window. A window further down the chain gets the same batch with the hidden
// states of the window before it.
type Batch struct {
	Ops    []Op
	Rows   []Row
	Hidden []float32 // len(Rows) × Embedding floats, or nil for the first window
	Spare  []float32 // memory the window may return as Output.Hidden instead of allocating; may be nil or too small
	Embed  bool      // rows marked Sample report the final hidden state instead of a token
}

// Output is what a Step gives: hidden states, or samples and embeddings of the last window.
type Output struct {
	Hidden     []float32
	Samples    []Sample    // one per row marked Sample but wrong drafts, in the order of the rows
	Embeddings [][]float32 // with Batch.Embed: one per row marked Sample
}

// Sample is a token chosen by the last window.
type Sample struct {
	Row     int // index in Batch.Rows
	Token   int32
	Piece   []byte  // the token's bytes; empty for special tokens
	End     bool    // the token ends the generation
	Failed  bool    // with End: there is no token, for the grammar took too long to choose one
	Logprob float64 // natural logarithm of the token's probability before temperature; with Sampling.Logprobs
	Top     []Candidate
}

// Candidate is an alternative to a sampled token.
type Candidate struct {
	Token   int32
	Piece   []byte
	Logprob float64
}

// Runner generates with one loaded model: many requests at once over one chain of windows.
// engine/schedule implements it.
type Runner interface {
	Tokenizer
	Shape() Shape // First and Last are set; Layers are the whole chain's
	// Generate runs one request and calls emit for each token, in order, from the calling goroutine; the token that
	// ends the generation (Sample.End) is emitted too. It returns when the job is finished, ctx ends
	// (core.CodeCancelled), emit fails (emit's error), emit is too slow for too long (core.CodeTimeout) or the
	// request cannot be run: core.CodeContextTooLong, core.CodeOverloaded (the queue is full; at once),
	// core.CodeEngineCrashed, core.CodeNotReady (the runner is closed).
	Generate(ctx context.Context, job Job, emit func(Sample) error) (Finish, error)
	// Embed returns the final hidden state of every row of a prompt.
	Embed(ctx context.Context, prompt []int32) ([][]float32, error)
	// Load is how busy the runner is.
	Load() Load
}

// Job is one request to a Runner.
type Job struct {
	Requester string  // prefixes are reused among the jobs of one requester, never across requesters
	Prompt    []int32 // at least one token
	Sampler   Sampler
	MaxTokens int // at least 1; cut to what the context leaves
}

// Finish says how a job ended.
type Finish struct {
	Reason string // core.FinishStop or core.FinishLength
	Cached int    // prompt tokens taken from the prefix cache
}

// Load is how busy a Runner is.
type Load struct {
	Active  int // jobs that hold a sequence
	Waiting int // jobs in the queue
}
