package gguftest

import "fmt"

// Token types of tokenizer.ggml.token_type.
const (
	tokenNormal  = 1
	tokenUnknown = 2
	tokenControl = 3
	tokenUnused  = 5
	tokenByte    = 6
)

// vocabulary collects tokens; each has a text, a score and a type.
type vocabulary struct {
	size   int
	tokens []string
	scores []float32
	types  []int32
	merges []string
}

func (v *vocabulary) add(text string, score float32, kind int32) {
	v.tokens = append(v.tokens, text)
	v.scores = append(v.scores, score)
	v.types = append(v.types, kind)
}

// full tells whether there is no room for another token.
func (v *vocabulary) full() bool { return len(v.tokens) >= v.size }

// pairs adds two-letter tokens until the vocabulary is full.
func (v *vocabulary) pairs(add func(a, b string)) {
	for x := 'a'; x <= 'z'; x++ {
		for y := 'a'; y <= 'z' && !v.full(); y++ {
			add(string(x), string(y))
		}
	}
	for !v.full() {
		v.add(fmt.Sprintf("[u%d]", len(v.tokens)), 0, tokenUnused)
	}
}

// tokenizer adds a vocabulary that can spell any text: every byte is a token, and common pairs are too.
func (b *builder) tokenizer() {
	v := &vocabulary{size: b.Vocabulary}
	if b.recipe.bytePair {
		b.bytePair(v)
	} else {
		b.sentencePiece(v)
	}
	b.file.Set("tokenizer.ggml.tokens", v.tokens)
	b.file.Set("tokenizer.ggml.scores", v.scores)
	b.file.Set("tokenizer.ggml.token_type", v.types)
	if b.ChatTemplate != "" {
		b.file.Set("tokenizer.chat_template", b.ChatTemplate)
	}
}

func (b *builder) sentencePiece(v *vocabulary) {
	v.add("<unk>", 0, tokenUnknown)
	v.add("<s>", 0, tokenControl)
	v.add("</s>", 0, tokenControl)
	for c := range 256 {
		v.add(fmt.Sprintf("<0x%02X>", c), 0, tokenByte)
	}
	v.add("<|im_start|>", 0, tokenControl)
	v.add("<|im_end|>", 0, tokenControl)
	v.add("<|endoftext|>", 0, tokenControl)
	v.add("▁", -1000, tokenNormal)
	for c := 'a'; c <= 'z'; c++ {
		v.add(string(c), -1001-float32(c-'a'), tokenNormal)
	}
	v.pairs(func(x, y string) { v.add(x+y, -float32(len(v.tokens)), tokenNormal) })
	b.file.Set("tokenizer.ggml.model", "llama")
	b.file.Set("tokenizer.ggml.bos_token_id", uint32(1))
	b.file.Set("tokenizer.ggml.eos_token_id", uint32(2))
	b.file.Set("tokenizer.ggml.unknown_token_id", uint32(0))
	b.file.Set("tokenizer.ggml.add_bos_token", true)
}

func (b *builder) bytePair(v *vocabulary) {
	for c := range 256 {
		v.add(string(byteRune(c)), 0, tokenNormal)
	}
	v.add("<|endoftext|>", 0, tokenControl)
	v.add("<|im_start|>", 0, tokenControl)
	v.add("<|im_end|>", 0, tokenControl)
	v.pairs(func(x, y string) {
		v.add(x+y, 0, tokenNormal)
		v.merges = append(v.merges, x+" "+y)
	})
	b.file.Set("tokenizer.ggml.model", "gpt2")
	b.file.Set("tokenizer.ggml.pre", "qwen2")
	b.file.Set("tokenizer.ggml.merges", v.merges)
	b.file.Set("tokenizer.ggml.eos_token_id", uint32(258))
	b.file.Set("tokenizer.ggml.padding_token_id", uint32(256))
	b.file.Set("tokenizer.ggml.add_bos_token", false)
}

// byteRune is the letter that stands for a byte in GPT-2's vocabulary: printable ones stand for themselves, the
// others for the letters from 256 on.
func byteRune(c int) rune {
	printable := func(c int) bool { return c >= 33 && c <= 126 || c >= 161 && c <= 172 || c >= 174 }
	if printable(c) {
		return rune(c)
	}
	n := 0
	for i := range c {
		if !printable(i) {
			n++
		}
	}
	return rune(256 + n)
}
