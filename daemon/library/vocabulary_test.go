package library

import (
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/gguf"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

// TestDifferingVocabularies changes one thing of a vocabulary at a time.
func TestDifferingVocabularies(t *testing.T) {
	header := func(c gguftest.Config) *gguf.File {
		m, err := gguftest.New(c)
		if err != nil {
			t.Fatal(err)
		}
		return m.File
	}
	tokens := func(f *gguf.File) []string {
		list, _ := f.Strings("tokenizer.ggml.tokens")
		return append([]string{}, list...)
	}
	for name, c := range map[string]struct {
		change func(f *gguf.File)
		want   string // "" for the same
	}{
		"another model":   {func(*gguf.File) {}, ""},
		"padding":         {func(f *gguf.File) { f.Set("tokenizer.ggml.tokens", append(tokens(f), "[PAD1]", "[PAD2]")) }, ""},
		"many more":       {func(f *gguf.File) { f.Set("tokenizer.ggml.tokens", append(tokens(f), make([]string, 129)...)) }, "numbers"},
		"no tokens":       {func(f *gguf.File) { f.Set("tokenizer.ggml.tokens", []string{}) }, "no tokens"},
		"another text":    {func(f *gguf.File) { list := tokens(f); list[300] += "x"; f.Set("tokenizer.ggml.tokens", list) }, "texts"},
		"another kind":    {func(f *gguf.File) { f.Set("tokenizer.ggml.model", "rwkv") }, "kinds"},
		"another end":     {func(f *gguf.File) { f.Set("tokenizer.ggml.eos_token_id", uint32(77)) }, "end a text"},
		"another special": {func(f *gguf.File) { f.Set("tokenizer.ggml.token_type", make([]int32, 512)) }, "types"},
	} {
		a, b := header(gguftest.Config{}), header(gguftest.Config{Layers: 2, Name: "other"})
		c.change(b)
		for _, got := range []string{differ(a, b), differ(b, a)} {
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
	}
}
