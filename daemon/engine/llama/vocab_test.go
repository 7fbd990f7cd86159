package llama_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest/real"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

// inputEnd separates the texts of an .inp file.
const inputEnd = "\n__ggml_vocab_test__\n"

func TestTokenizers(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(real.Handed(t, "vocabs"), "*.gguf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vocabularies: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			w := open(t, engine.Spec{ModelDir: file, VocabOnly: true})
			inputs := strings.Split(strings.TrimSuffix(readText(t, file+".inp"), inputEnd), inputEnd)
			outputs := strings.Split(strings.TrimSuffix(readText(t, file+".out"), "\n"), "\n")
			if len(inputs) != len(outputs) {
				t.Fatalf("%d inputs, %d outputs", len(inputs), len(outputs))
			}
			for i, text := range inputs {
				checkTokens(t, w, text, outputs[i])
			}
		})
	}
}

func checkTokens(t *testing.T, w engine.Window, text, want string) {
	t.Helper()
	tokens, err := w.Tokenize(context.Background(), text, false, false)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, tok := range tokens {
		got = append(got, strconv.Itoa(int(tok)))
	}
	if strings.Join(got, " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("%q: got %v, want %s", text, got, want)
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skip(err)
	}
	return string(b)
}

func TestTokenizerOnly(t *testing.T) {
	dir, _ := random(t, gguftest.Config{Arch: "qwen2"})
	for _, path := range []string{dir, real.Handed(t, "vocabs", "ggml-vocab-llama-bpe.gguf")} {
		w := open(t, engine.Spec{ModelDir: path, VocabOnly: true})
		ctx := context.Background()
		if _, err := w.Step(ctx, &engine.Batch{}); core.CodeOf(err) != core.CodeUnsupported {
			t.Errorf("a step of a tokenizer gave %v", err)
		}
		for _, text := range []string{"", "a", "\x00", "a\x00b", "\xff\xfe broken \xc3", strings.Repeat("word ", 5000)} {
			tokens, err := w.Tokenize(ctx, text, false, false)
			if err != nil {
				t.Errorf("%.20q: %v", text, err)
			}
			if _, err := w.Pieces(ctx, tokens, true); err != nil {
				t.Errorf("%.20q: %v", text, err)
			}
		}
		if _, err := w.Pieces(ctx, []int32{1 << 30}, true); core.CodeOf(err) != core.CodeInvalidRequest {
			t.Errorf("a token that is none gave %v", err)
		}
	}
}

func TestSpecialTokensOnlyOnRequest(t *testing.T) {
	w := open(t, engine.Spec{ModelDir: real.Handed(t, "vocabs", "ggml-vocab-llama-bpe.gguf"), VocabOnly: true})
	ctx := context.Background()
	const marker = "<|eot_id|>"
	as, err := w.Tokenize(ctx, marker, false, true)
	if err != nil || len(as) != 1 {
		t.Fatalf("the marker is %v, %v", as, err)
	}
	if text, err := w.Tokenize(ctx, marker, false, false); err != nil || len(text) < 2 {
		t.Errorf("the marker as text is %v, %v", text, err)
	}
	for special, want := range map[bool]string{true: marker, false: ""} {
		pieces, err := w.Pieces(ctx, as, special)
		if err != nil || string(bytes.Join(pieces, nil)) != want {
			t.Errorf("special %v: %q, %v", special, pieces, err)
		}
	}
	plain, _ := w.Tokenize(ctx, "hi", false, false)
	with, _ := w.Tokenize(ctx, "hi", true, false)
	if len(with) != len(plain)+1 {
		t.Errorf("with the begin of text %v, without %v", with, plain)
	}
}
