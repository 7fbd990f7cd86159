// Package gguftest makes small GGUF models with random weights, of every architecture the engine knows, for tests
// and benchmarks. The same Config gives the same bytes on every machine.
package gguftest

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
)

// Config is the shape of a model. Zero fields take the architecture's default: a model of a few MB.
type Config struct {
	Arch         string // default llama
	Name         string // general.name; default random-<arch>
	Seed         uint64
	Layers       int
	Embedding    int // width of a hidden state; a multiple of 256 for k-quants
	Heads        int
	KVHeads      int
	HeadSize     int // default Embedding / Heads; not every architecture can differ
	FeedForward  int
	Experts      int // of mixture-of-experts architectures
	Vocabulary   int // at least 512
	Context      int
	Tied         bool // no output matrix of its own, where the architecture allows it
	Weights      Mix
	ChatTemplate string // tokenizer.chat_template; none if empty
}

// Mix is how the matrices of a model are stored. Vectors are float32 always.
type Mix uint8

// The mixes. Q4KM is llama.cpp's Q4_K_M; matrices whose rows are not whole blocks are F16 in it.
const (
	F32 Mix = iota
	F16
	BF16
	Q8_0
	Q4_0
	Q4KM
)

// fileType is the mix's number in general.file_type.
func (m Mix) fileType() uint32 {
	return [...]uint32{F32: 0, F16: 1, BF16: 32, Q8_0: 7, Q4_0: 2, Q4KM: 15}[m]
}

// ChatML is a chat template for Config.ChatTemplate; every vocabulary has its markers.
const ChatML = "{%- for message in messages -%}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}" +
	"{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"

// Bench is the shape that `make bench` measures: 1.1 billion weights, 668 MB as Q4_K_M.
func Bench() Config {
	return Config{
		Arch: "llama", Name: "bench-1b", Layers: 22, Embedding: 2048, Heads: 32, KVHeads: 4,
		FeedForward: 5632, Vocabulary: 32000, Context: 4096, Weights: Q4KM, ChatTemplate: ChatML,
	}
}

// Architectures lists what Config.Arch may be, in order.
func Architectures() []string { return slices.Sorted(maps.Keys(recipes)) }

// Model is a generated model. Its weights are made while it is written.
type Model struct {
	File    *gguf.File
	Config  Config // with the defaults filled in
	weights []weight
}

// weight says how the numbers of a tensor are drawn.
type weight struct {
	name string
	mean float64
	std  float64
}

// New lays out a model. The error has code core.CodeInvalidRequest.
func New(c Config) (*Model, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &builder{Config: c, recipe: recipes[c.Arch], file: &gguf.File{Version: 3}}
	b.build()
	b.file.Pack()
	return &Model{File: b.file, Config: c, weights: b.weights}, nil
}

func (c Config) withDefaults() (Config, error) {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	if c.Arch == "" {
		c.Arch = "llama"
	}
	r, ok := recipes[c.Arch]
	if !ok {
		return c, core.Errorf(core.CodeInvalidRequest, "no recipe for architecture %q", c.Arch)
	}
	if c.Name == "" {
		c.Name = "random-" + c.Arch
	}
	set(&c.Layers, max(6, r.layers))
	set(&c.Embedding, 256)
	set(&c.Heads, 8)
	set(&c.KVHeads, 2)
	set(&c.HeadSize, c.Embedding/c.Heads)
	set(&c.FeedForward, 512)
	set(&c.Experts, 4)
	set(&c.Vocabulary, 512)
	set(&c.Context, 2048)
	c.Tied = c.Tied && !r.untied || r.tied
	if c.Vocabulary < 512 || c.Heads%c.KVHeads != 0 || c.Layers < 1 || c.Embedding < 1 {
		return c, core.Errorf(core.CodeInvalidRequest, "a model of this shape cannot be made")
	}
	return c, nil
}

// WriteTo writes the whole GGUF file.
func (m *Model) WriteTo(w io.Writer) (int64, error) {
	header, err := gguf.Marshal(m.File)
	if err != nil {
		return 0, err
	}
	count := &counter{w: w}
	buf := bufio.NewWriterSize(count, 1<<20)
	_, err = buf.Write(header)
	for i := range m.weights {
		if err == nil {
			err = m.writeTensor(buf, i)
		}
	}
	if err == nil {
		err = buf.Flush()
	}
	return count.n, err
}

func (m *Model) writeTensor(w io.Writer, i int) error {
	t := &m.File.Tensors[i]
	if err := fill(w, t, m.weights[i], m.Config.Seed); err != nil {
		return fmt.Errorf("write tensor %s: %w", t.Name, err)
	}
	_, err := w.Write(make([]byte, gguf.Pad(t.Size(), m.File.Alignment())-t.Size()))
	return err
}

// WriteFile writes the model to path, replacing what is there.
func (m *Model) WriteFile(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err = m.WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// WriteFile makes a model and writes it to path.
func WriteFile(path string, c Config) error {
	m, err := New(c)
	if err != nil {
		return err
	}
	return m.WriteFile(path)
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// builder collects a model's metadata and tensors.
type builder struct {
	Config
	recipe  recipe
	file    *gguf.File
	weights []weight
	prefix  string // of the layer at hand
	layer   int
}

func (b *builder) build() {
	b.metadata()
	b.tokenizer()
	b.matrix("token_embd.weight", b.Embedding, b.Vocabulary)
	if b.recipe.globals != nil {
		b.recipe.globals(b)
	}
	for b.layer = range b.Layers {
		b.prefix = fmt.Sprintf("blk.%d.", b.layer)
		b.recipe.block(b)
	}
	b.prefix = ""
	b.norm("output_norm")
	if !b.Tied {
		b.matrix("output.weight", b.Embedding, b.Vocabulary)
	}
}

func (b *builder) metadata() {
	b.file.Set("general.architecture", b.Arch)
	b.file.Set("general.name", b.Name)
	b.file.Set("general.file_type", b.Weights.fileType())
	b.file.Set("general.quantization_version", uint32(2))
	b.set("block_count", b.Layers)
	b.set("context_length", b.Context)
	b.set("embedding_length", b.Embedding)
	b.set("feed_forward_length", b.FeedForward)
	b.set("attention.head_count", b.Heads)
	b.set("attention.head_count_kv", b.KVHeads)
	b.set("attention.key_length", b.HeadSize)
	b.set("attention.value_length", b.HeadSize)
	b.set("rope.dimension_count", b.HeadSize)
	b.set("vocab_size", b.Vocabulary)
	b.setFloat("rope.freq_base", 10000)
	if b.recipe.layerNorm {
		b.setFloat("attention.layer_norm_epsilon", 1e-5)
	} else {
		b.setFloat("attention.layer_norm_rms_epsilon", 1e-5)
	}
	if b.recipe.metadata != nil {
		b.recipe.metadata(b)
	}
}

// set adds metadata under the architecture's prefix.
func (b *builder) set(key string, n int)          { b.file.Set(b.Arch+"."+key, uint32(n)) }
func (b *builder) setFloat(key string, x float32) { b.file.Set(b.Arch+"."+key, x) }
func (b *builder) setBool(key string, yes bool)   { b.file.Set(b.Arch+"."+key, yes) }
func (b *builder) tensor(name string, t gguf.Type, mean, std float64, dims ...int) {
	tensor := gguf.Tensor{Name: b.prefix + name, Type: t}
	for _, d := range dims {
		tensor.Dims = append(tensor.Dims, int64(d))
	}
	b.file.Tensors = append(b.file.Tensors, tensor)
	b.weights = append(b.weights, weight{tensor.Name, mean, std})
}

// matrix adds weights that keep the size of what they multiply: their deviation falls with the row length.
func (b *builder) matrix(name string, dims ...int) {
	b.tensor(name, b.matrixType(name, dims[0]), 0, 0.9/math.Sqrt(float64(dims[0])), dims...)
}

// matrixType is the storage of a matrix with rows of n numbers.
func (b *builder) matrixType(name string, n int) gguf.Type {
	t := gguf.F32
	switch b.Weights {
	case F16:
		t = gguf.F16
	case BF16:
		t = gguf.BF16
	case Q8_0:
		t = gguf.Q8_0
	case Q4_0:
		t = gguf.Q4_0
	case Q4KM:
		t = gguf.Q4K
		if name == "output.weight" || (name == "attn_v.weight" || name == "ffn_down.weight") && b.moreBits() {
			t = gguf.Q6K
		}
	}
	if int64(n)%t.BlockElements() != 0 {
		return gguf.F16
	}
	return t
}

// moreBits picks the layers whose most delicate matrices llama.cpp's Q4_K_M keeps in Q6_K: the first and the last
// eighth, and one in three between.
func (b *builder) moreBits() bool {
	n := b.Layers
	return b.layer < n/8 || b.layer >= 7*n/8 || (b.layer-n/8)%3 == 2
}

// norm adds the scale of a normalisation over the hidden state, and its bias for architectures that have one.
func (b *builder) norm(name string) {
	b.scale(name+".weight", b.Embedding)
	if b.recipe.layerNorm {
		b.bias(name, b.Embedding)
	}
}

// scale adds a float32 vector of numbers around 1.
func (b *builder) scale(name string, dims ...int) { b.tensor(name, gguf.F32, 1, 0.05, dims...) }

// bias adds a float32 vector of numbers around 0.
func (b *builder) bias(name string, dims ...int) { b.tensor(name+".bias", gguf.F32, 0, 0.1, dims...) }
