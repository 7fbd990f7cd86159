package shard

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
)

// randomFile is a header with tensors of random sizes in random order; layers may be empty.
func randomFile(r *rand.Rand) *gguf.File {
	f := &gguf.File{Version: 3}
	layers := 1 + r.IntN(40)
	f.Set("general.architecture", "llama")
	f.Set("llama.block_count", uint32(layers))
	if r.IntN(3) == 0 {
		f.Set("general.alignment", uint32(16<<r.IntN(4)))
	}
	add := func(name string, n int) {
		f.Tensors = append(f.Tensors, gguf.Tensor{Name: name, Dims: []int64{int64(n)}, Type: gguf.F32})
	}
	for l := range layers {
		for k := range r.IntN(6) {
			add(fmt.Sprintf("blk.%d.t%d.weight", l, k), r.IntN(1<<r.IntN(16)))
		}
	}
	for _, name := range []string{"output.weight", "output_norm.weight", "token_embd.weight", "rope_freqs.weight", "cls.weight"} {
		if r.IntN(4) > 0 {
			add(name, r.IntN(1<<r.IntN(20)))
		}
	}
	r.Shuffle(len(f.Tensors), func(i, j int) { f.Tensors[i], f.Tensors[j] = f.Tensors[j], f.Tensors[i] })
	f.Pack()
	return f
}

func TestLayoutProperties(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		f := randomFile(r)
		rule := Rule{Number: 1, ShardSize: 1 << (8 + r.IntN(16)), MinShards: 1 + r.IntN(10)}
		p, err := layOut(f, rule)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		checkLayout(t, f, p, rule)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func checkLayout(t *testing.T, f *gguf.File, p *plan, rule Rule) {
	next, count := 0, make(map[string]int)
	for _, s := range p.shards {
		if s.layers.First != next || s.layers.Len() < 1 {
			t.Errorf("shard of layers %v after layer %d", s.layers, next)
		}
		next = s.layers.End
		once := make(map[string]bool)
		for k, tensor := range s.tensors {
			if once[tensor.Name] {
				t.Errorf("shard of layers %v has %s twice", s.layers, tensor.Name)
			}
			once[tensor.Name] = true
			count[tensor.Name]++
			l, inLayer := layerOf(tensor.Name)
			if inLayer != (k < s.own) || inLayer && (l < s.layers.First || l >= s.layers.End) {
				t.Errorf("%s at %d of shard of layers %v", tensor.Name, k, s.layers)
			}
		}
	}
	if next != p.layers {
		t.Errorf("%d of %d layers covered", next, p.layers)
	}
	for i := range f.Tensors {
		if count[f.Tensors[i].Name] == 0 {
			t.Errorf("%s is in no shard", f.Tensors[i].Name)
		}
		if l, inLayer := layerOf(f.Tensors[i].Name); inLayer && count[f.Tensors[i].Name] != 1 {
			t.Errorf("tensor of layer %d is in %d shards", l, count[f.Tensors[i].Name])
		}
	}
	if len(p.shards) < min(p.layers, rule.MinShards) {
		t.Errorf("%d shards of %d layers", len(p.shards), p.layers)
	}
	checkWindows(t, p)
}

// checkWindows looks at every window of the layout: the whole model lists every tensor once, and no window lists
// one twice.
func checkWindows(t *testing.T, p *plan) {
	n := len(p.shards)
	total := make(map[string]bool)
	for _, s := range p.shards {
		for _, tensor := range s.tensors {
			total[tensor.Name] = true
		}
	}
	for first := range n {
		for end := first + 1; end <= n; end++ {
			w := &window{model: &Model{plan: p}, first: first, end: end, plan: WindowPlan{Whole: first == 0 && end == n}}
			seen := make(map[string]bool)
			for i := first; i < end; i++ {
				for _, tensor := range w.listed(i) {
					if seen[tensor.Name] {
						t.Errorf("window %d to %d of %d lists %s twice", first, end, n, tensor.Name)
					}
					seen[tensor.Name] = true
				}
			}
			if w.plan.Whole && len(seen) != len(total) {
				t.Errorf("the whole model lists %d of %d tensors", len(seen), len(total))
			}
			if end == n && p.tied && total[embeddingName] && !seen[embeddingName] {
				t.Errorf("window %d to %d of %d of a tied model lacks the embedding", first, end, n)
			}
		}
	}
}

func TestCutIsEven(t *testing.T) {
	same := make([]int64, 22)
	for i := range same {
		same[i] = 30 << 20
	}
	for _, c := range []struct {
		rule  Rule
		sizes []int64
		want  int
	}{
		{DefaultRule(), same, 8},
		{DefaultRule(), same[:3], 3},
		{Rule{1, 100 << 20, 1}, same, 7},
		{Rule{1, 1, 1}, same, 22},
		{Rule{1, 1 << 40, 1}, same, 1},
		{DefaultRule(), make([]int64, 5), 5},
	} {
		runs := c.rule.cut(c.sizes)
		if len(runs) != c.want {
			t.Errorf("%+v: %d runs, want %d", c.rule, len(runs), c.want)
		}
		short, long := len(c.sizes), 0
		for _, r := range runs {
			short, long = min(short, r.Len()), max(long, r.Len())
		}
		if long-short > 1 {
			t.Errorf("%+v: runs of %d to %d equal layers", c.rule, short, long)
		}
	}
}

func TestLayerOf(t *testing.T) {
	for name, want := range map[string]int{
		"blk.0.a": 0, "blk.12.attn_q.weight": 12, "blk.x.a": -1, "blk.1": -1, "blk.01.a": -1,
		"blk.-1.a": -1, "blk.99999999999.a": -1, "output.weight": -1, "xblk.1.a": -1, "blk..a": -1,
	} {
		l, ok := layerOf(name)
		if ok != (want >= 0) || ok && l != want {
			t.Errorf("%s: %d %v", name, l, ok)
		}
	}
}

func TestLayoutRefuses(t *testing.T) {
	for name, change := range map[string]func(*gguf.File){
		"no layers":        func(f *gguf.File) { f.Set("llama.block_count", uint32(0)) },
		"too many layers":  func(f *gguf.File) { f.Set("llama.block_count", uint32(1<<30)) },
		"layer past last":  func(f *gguf.File) { f.Tensors[0].Name = "blk.7000.x" },
		"no architecture":  func(f *gguf.File) { f.KVs = nil },
		"layers as string": func(f *gguf.File) { f.Set("llama.block_count", "6") },
	} {
		f := randomFile(rand.New(rand.NewPCG(3, 1)))
		change(f)
		if _, err := layOut(f, DefaultRule()); core.CodeOf(err) != core.CodeUnsupported && core.CodeOf(err) != core.CodeCorrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := randomFile(rand.New(rand.NewPCG(3, 1)))
	for _, r := range []Rule{{}, {2, 1 << 20, 1}, {1, 0, 1}, {1, -1, 1}, {1, 1, 0}, {1, 1 << 60, 1}, {1, 1, 1 << 20}} {
		if _, err := layOut(f, r); err == nil {
			t.Errorf("rule %+v accepted", r)
		}
	}
}

func FuzzSource(f *testing.F) {
	f.Add([]byte(`{"repo_id":"a/b","filename":"c.gguf"}`))
	f.Add([]byte(`{"repo_id":"` + strings.Repeat("x", maxText+1) + `"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s := decodeSource(text); s != nil && (s.RepoID == "" || len(s.RepoID)+len(s.Filename)+len(s.Revision) > 3*maxText) {
			t.Errorf("taken: %d, %d and %d bytes", len(s.RepoID), len(s.Filename), len(s.Revision))
		}
	})
}
