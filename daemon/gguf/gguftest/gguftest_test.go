package gguftest_test

import (
	"bytes"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/gguf"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

func write(t *testing.T, c gguftest.Config) []byte {
	t.Helper()
	m, err := gguftest.New(c)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	n, err := m.WriteTo(&buf)
	if err != nil || n != int64(buf.Len()) {
		t.Fatalf("wrote %d of %d bytes: %v", n, buf.Len(), err)
	}
	return buf.Bytes()
}

func TestEveryArchitectureIsAValidFile(t *testing.T) {
	for _, arch := range gguftest.Architectures() {
		for _, mix := range []gguftest.Mix{gguftest.F32, gguftest.F16, gguftest.BF16, gguftest.Q8_0, gguftest.Q4_0, gguftest.Q4KM} {
			data := write(t, gguftest.Config{Arch: arch, Weights: mix, Layers: 2})
			f, err := gguf.Read(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatalf("%s: %v", arch, err)
			}
			if f.Architecture() != arch || f.DataOffset+f.Pack() != int64(len(data)) {
				t.Errorf("%s: architecture %q, %d bytes", arch, f.Architecture(), len(data))
			}
			if tokens, _ := f.Strings("tokenizer.ggml.tokens"); len(tokens) != 512 {
				t.Errorf("%s: %d tokens", arch, len(tokens))
			}
		}
	}
}

func TestSameConfigGivesSameBytes(t *testing.T) {
	c := gguftest.Config{Layers: 2, Weights: gguftest.Q4KM, ChatTemplate: gguftest.ChatML}
	a, b := write(t, c), write(t, c)
	if !bytes.Equal(a, b) {
		t.Error("two runs differ")
	}
	c.Seed = 1
	if bytes.Equal(a, write(t, c)) {
		t.Error("another seed gives the same bytes")
	}
}

func TestBenchIsAQ4KM(t *testing.T) {
	m, err := gguftest.New(gguftest.Bench())
	if err != nil {
		t.Fatal(err)
	}
	if size := m.File.Pack(); size < 600e6 || size > 720e6 {
		t.Errorf("bench model has %d bytes", size)
	}
	for name, want := range map[string]gguf.Type{
		"output.weight": gguf.Q6K, "token_embd.weight": gguf.Q4K, "blk.0.ffn_down.weight": gguf.Q6K,
		"blk.0.attn_q.weight": gguf.Q4K, "blk.2.attn_v.weight": gguf.Q4K, "blk.21.attn_v.weight": gguf.Q6K, "blk.0.attn_norm.weight": gguf.F32,
	} {
		if got := m.File.Tensor(name).Type; got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestImpossibleShapes(t *testing.T) {
	for _, c := range []gguftest.Config{{Arch: "nonsense"}, {Vocabulary: 10}, {Heads: 3, KVHeads: 2}, {Layers: -1}} {
		if _, err := gguftest.New(c); err == nil {
			t.Errorf("%+v was made", c)
		}
	}
}
