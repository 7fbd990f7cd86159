package shard_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// splitFile is a GGUF file with its header read.
type splitFile struct {
	*gguf.File
	path string
}

func readSplit(t *testing.T, path string) splitFile {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	g, err := gguf.Read(f, info.Size())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return splitFile{g, path}
}

// data reads a tensor's bytes.
func (s splitFile) data(t *testing.T, tensor *gguf.Tensor) []byte {
	t.Helper()
	f, err := os.Open(s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, tensor.Size())
	if _, err := io.ReadFull(io.NewSectionReader(f, s.DataOffset+tensor.Offset, tensor.Size()), b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestWindowsHoldTheOriginalTensors prepares every window of a model of each kind and reads the files as the loader
// would.
func TestWindowsHoldTheOriginalTensors(t *testing.T) {
	for _, c := range []gguftest.Config{
		{Arch: "llama"},
		{Arch: "llama", Tied: true},
		{Arch: "qwen2", Weights: gguftest.Q4KM},
		{Arch: "gemma3"},
		{Arch: "phi3"},
		{Arch: "gptneox"},
		{Arch: "deepseek2", Weights: gguftest.Q8_0},
	} {
		t.Run(fmt.Sprintf("%s tied %v", c.Arch, c.Tied), func(t *testing.T) {
			t.Parallel()
			c.Layers = 4
			path := model(t, c)
			m := importFile(t, newStore(t), path)
			original := readSplit(t, path)
			n := len(m.Manifest.Shards)
			for first := range n {
				for end := first + 1; end <= n; end++ {
					checkWindow(t, m, original, first, end)
				}
			}
			if damaged, err := m.Verify(context.Background(), nil); err != nil || len(damaged) > 0 {
				t.Errorf("preparing windows damaged shards %v: %v", damaged, err)
			}
			out := filepath.Join(t.TempDir(), "out.gguf")
			if err := m.Export(context.Background(), out, nil); err != nil {
				t.Fatal(err)
			}
			sameFiles(t, path, out)
		})
	}
}

func checkWindow(t *testing.T, m *shard.Model, original splitFile, first, end int) {
	t.Helper()
	paths, plan, err := shard.PrepareWindow(m.Dir, first, end)
	if err != nil {
		t.Fatalf("window %d to %d: %v", first, end, err)
	}
	whole := first == 0 && end == len(m.Manifest.Shards)
	layers := core.LayerRange{First: m.Manifest.Shards[first].Layers.First, End: m.Manifest.Shards[end-1].Layers.End}
	if plan.Whole != whole || plan.Layers != layers || plan.First != (first == 0) || plan.Last != (end == len(m.Manifest.Shards)) || len(paths) != end-first+1 {
		t.Errorf("window %d to %d: plan %+v, %d paths", first, end, plan, len(paths))
	}
	total, got := 0, make(map[string][]byte)
	for no, path := range paths {
		s := readSplit(t, path)
		checkSplit(t, s, no, len(paths))
		if no == 0 {
			count, _ := s.Uint("split.tensors.count")
			total = int(count)
		}
		for i := range s.Tensors {
			got[s.Tensors[i].Name] = s.data(t, &s.Tensors[i])
		}
	}
	if len(got) != total {
		t.Errorf("window %d to %d: %d different tensors, the header says %d", first, end, len(got), total)
	}
	for i := range original.Tensors {
		checkTensor(t, got, original, &original.Tensors[i], plan)
	}
	checkHead(t, readSplit(t, paths[0]), original, plan)
	if first == 0 && !whole {
		checkTokens(t, plan, original)
	}
}

func checkSplit(t *testing.T, s splitFile, no, count int) {
	t.Helper()
	if v, _ := s.Value("split.no"); v != uint16(no) {
		t.Errorf("%s is split %v, want %d", s.path, v, no)
	}
	if v, _ := s.Value("split.count"); v != uint16(count) {
		t.Errorf("%s is one of %v splits, want %d", s.path, v, count)
	}
	if v, ok := s.Value("split.tensors.count"); !ok || reflect.TypeOf(v).Kind() != reflect.Int32 {
		t.Errorf("%s: split.tensors.count is %T", s.path, v)
	}
	if s.Architecture() == "" {
		t.Errorf("%s has no architecture", s.path)
	}
}

// checkTensor looks for an original tensor among those of a window.
func checkTensor(t *testing.T, got map[string][]byte, original splitFile, tensor *gguf.Tensor, plan shard.WindowPlan) {
	t.Helper()
	name, want := tensor.Name, original.data(t, tensor)
	var layer int
	inLayer, _ := fmt.Sscanf(name, "blk.%d.", &layer)
	data, listed := got[windowName(name, layer, plan)]
	switch {
	case inLayer == 1 && (layer < plan.Layers.First || layer >= plan.Layers.End):
		return
	case !listed:
		t.Errorf("%+v lacks %s", plan.Layers, name)
	case plan.Whole || inLayer == 1:
	case strings.HasPrefix(name, "token_embd") && (!plan.Last || !plan.Tied), strings.HasPrefix(name, "output") && !plan.Last:
		if len(bytes.Trim(data, "\x00")) > 0 { // a stand-in
			t.Errorf("the stand-in for %s is not zero", name)
		}
		if !plan.Last && len(data) > 4*plan.Embedding {
			t.Errorf("the stand-in for %s has %d bytes", name, len(data))
		}
		return
	}
	if !bytes.Equal(data, want) {
		t.Errorf("%+v has other bytes for %s", plan.Layers, name)
	}
}

func windowName(name string, layer int, plan shard.WindowPlan) string {
	old := fmt.Sprintf("blk.%d.", layer)
	if rest, ok := strings.CutPrefix(name, old); ok {
		return fmt.Sprintf("blk.%d.%s", layer-plan.Layers.First, rest)
	}
	return name
}

func checkHead(t *testing.T, head, original splitFile, plan shard.WindowPlan) {
	t.Helper()
	if plan.Whole {
		for _, kv := range original.KVs {
			if v, _ := head.Value(kv.Key); !reflect.DeepEqual(v, kv.Value) {
				t.Errorf("the whole model's %s is %v", kv.Key, v)
			}
		}
		if len(head.Tensors) > 0 {
			t.Errorf("the whole model's head has %d tensors", len(head.Tensors))
		}
		return
	}
	vocabulary := uint64(1)
	if plan.Last {
		vocabulary = uint64(plan.Vocabulary)
	}
	if n, _ := head.ArchUint("vocab_size"); n != vocabulary || plan.Vocabulary != 512 {
		t.Errorf("vocab_size is %d, vocabulary %d", n, plan.Vocabulary)
	}
	if n, _ := head.ArchUint("block_count"); n != uint64(plan.Layers.Len()) {
		t.Errorf("block_count is %d, layers %v", n, plan.Layers)
	}
	if s, _ := head.String("tokenizer.ggml.model"); s != "no_vocab" {
		t.Errorf("tokenizer of a window is %q", s)
	}
	if _, ok := head.Value("tokenizer.ggml.tokens"); ok || plan.Export != fmt.Sprintf("l_out-%d", plan.Layers.Len()-1) {
		t.Errorf("tokens there: %v, export %q", ok, plan.Export)
	}
}

func checkTokens(t *testing.T, plan shard.WindowPlan, original splitFile) {
	t.Helper()
	tensor := original.Tensor("token_embd.weight")
	f, err := os.Open(plan.Tokens.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, tensor.Size())
	if _, err := f.ReadAt(b, plan.Tokens.Offset); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, original.data(t, tensor)) || plan.Tokens.Type != tensor.Type || plan.Tokens.Columns != tensor.Dims[0] || plan.Tokens.Rows != tensor.Dims[1] {
		t.Errorf("the token embedding is not at %+v", plan.Tokens)
	}
	if plan.Embedding != int(tensor.Dims[0]) {
		t.Errorf("hidden states are %d wide", plan.Embedding)
	}
}

// TestOddLayouts has tensors aligned to more than usual, and more of them in a shard than 64 KiB of header hold.
func TestOddLayouts(t *testing.T) {
	g, err := gguftest.New(gguftest.Config{Arch: "llama", Layers: 300, Embedding: 32, Heads: 1, KVHeads: 1, FeedForward: 32})
	if err != nil {
		t.Fatal(err)
	}
	g.File.Set("general.alignment", uint32(256))
	g.File.Pack()
	path := filepath.Join(t.TempDir(), "odd.gguf")
	if err := g.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, func(c *shard.Config) { c.Rule = shard.Rule{Number: 1, ShardSize: 1 << 30, MinShards: 2} })
	m := importFile(t, s, path)
	if len(m.Manifest.Shards) != 2 || m.Manifest.Reserved != 128<<10 {
		t.Errorf("%d shards with %d bytes reserved", len(m.Manifest.Shards), m.Manifest.Reserved)
	}
	original := readSplit(t, path)
	for _, w := range [][2]int{{0, 1}, {1, 2}, {0, 2}} {
		checkWindow(t, m, original, w[0], w[1])
	}
	out := filepath.Join(t.TempDir(), "out.gguf")
	if err := m.Export(context.Background(), out, nil); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, path, out)
}

func TestVocabHasTheTokenizer(t *testing.T) {
	c := small("qwen2")
	c.ChatTemplate = gguftest.ChatML
	path := model(t, c)
	m := importFile(t, newStore(t), path)
	for range 2 { // the second time it is there already
		vocab, err := m.PrepareVocab()
		if err != nil {
			t.Fatal(err)
		}
		v, original := readSplit(t, vocab), readSplit(t, path)
		if len(v.Tensors) > 0 || !reflect.DeepEqual(v.KVs, original.KVs) {
			t.Errorf("%d tensors, metadata differ", len(v.Tensors))
		}
	}
}

// TestWindowAfterCrash has rubbish in a reserved area and in the head file.
func TestWindowAfterCrash(t *testing.T) {
	path := model(t, small("llama"))
	m := importFile(t, newStore(t), path)
	original := readSplit(t, path)
	paths, _, err := shard.PrepareWindow(m.Dir, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, paths[1], 100)
	if err := os.Truncate(paths[0], 10); err != nil {
		t.Fatal(err)
	}
	checkWindow(t, m, original, 1, 3)
}

func TestPerLayerMetadataIsCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "arrays.gguf")
	g, err := gguftest.New(small("llama"))
	if err != nil {
		t.Fatal(err)
	}
	g.File.Set("llama.attention.head_count_kv", []int32{2, 2, 1, 2})
	g.File.Set("llama.rope.dimension_sections", []int32{1, 2, 3, 4})
	g.File.Set("llama.other", []int32{1, 2, 3})
	g.File.Set("split.count", uint16(1))
	if err := g.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	m := importFile(t, newStore(t), path)
	paths, _, err := shard.PrepareWindow(m.Dir, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	head := readSplit(t, paths[0])
	for key, want := range map[string]any{
		"llama.attention.head_count_kv": []int32{2, 1}, "llama.rope.dimension_sections": []int32{1, 2, 3, 4},
		"llama.other": []int32{1, 2, 3}, "split.count": uint16(3),
	} {
		if v, _ := head.Value(key); !reflect.DeepEqual(v, want) {
			t.Errorf("%s is %v, want %v", key, v, want)
		}
	}
}

func TestWindowRefuses(t *testing.T) {
	m := importFile(t, newStore(t), model(t, small("llama")))
	for _, w := range [][2]int{{-1, 2}, {0, 5}, {2, 2}, {3, 1}} {
		if _, _, err := shard.PrepareWindow(m.Dir, w[0], w[1]); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("window %v: %v", w, err)
		}
	}
	if err := m.DeleteShard(2); err != nil {
		t.Fatal(err)
	}
	if _, _, err := shard.PrepareWindow(m.Dir, 1, 3); core.CodeOf(err) != core.CodeNotReady {
		t.Errorf("with a missing shard: %v", err)
	}
	if _, _, err := shard.PrepareWindow(m.Dir, 0, 2); err != nil {
		t.Errorf("without the missing shard: %v", err)
	}
	if _, _, err := shard.PrepareWindow(filepath.Join(m.Dir, "nowhere"), 0, 1); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("no model: %v", err)
	}
}

// TestModelsThatStayWhole have a large tensor outside the layers, or an architecture that is not in the table.
func TestModelsThatStayWhole(t *testing.T) {
	for name, change := range map[string]func(*gguf.File){
		"large tensor": func(f *gguf.File) {
			f.Tensors[len(f.Tensors)-1].Name = "per_layer_table"
			f.Tensors[len(f.Tensors)-1].Dims = []int64{64, 8192}
		},
		"architecture": func(f *gguf.File) {
			f.Set("general.architecture", "mamba")
			f.Set("mamba.block_count", uint32(4))
		},
	} {
		g, err := gguftest.New(small("llama"))
		if err != nil {
			t.Fatal(err)
		}
		change(g.File)
		g.File.Pack()
		path := filepath.Join(t.TempDir(), "odd.gguf")
		if err := g.WriteFile(path); err != nil {
			t.Fatal(err)
		}
		m := importFile(t, newStore(t), path)
		if core.CodeOf(m.Splittable()) != core.CodeUnsupported {
			t.Errorf("%s: splittable: %v", name, m.Splittable())
		}
		if _, _, err := shard.PrepareWindow(m.Dir, 0, 2); core.CodeOf(err) != core.CodeUnsupported {
			t.Errorf("%s: window: %v", name, err)
		}
		if _, plan, err := shard.PrepareWindow(m.Dir, 0, len(m.Manifest.Shards)); err != nil || !plan.Whole {
			t.Errorf("%s: whole: %v", name, err)
		}
	}
}

func TestLockWaits(t *testing.T) {
	dir := t.TempDir()
	unlock, err := shard.Lock(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := shard.Lock(ctx, dir); core.CodeOf(err) != core.CodeCancelled {
		t.Errorf("second lock: %v", err)
	}
	unlock()
	unlock, err = shard.Lock(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
