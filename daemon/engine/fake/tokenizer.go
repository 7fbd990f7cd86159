package fake

import (
	"context"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Special tokens, after the 256 bytes.
const (
	TokenBegin     int32 = 256 + iota // <s>
	TokenEnd                          // </s>, ends a generation
	TokenTurnBegin                    // <|im_start|>
	TokenTurnEnd                      // <|im_end|>, ends a generation
)

// Vocabulary is the number of tokens.
const Vocabulary = 260

// Tokens turns text into tokens, one per byte, without special ones.
func Tokens(text string) []int32 {
	tokens := make([]int32, len(text))
	for i := range len(text) {
		tokens[i] = int32(text[i])
	}
	return tokens
}

// Tokenize implements engine.Tokenizer.
func (w *Window) Tokenize(_ context.Context, text string, addSpecial, parseSpecial bool) ([]int32, error) {
	tokens := make([]int32, 0, len(text)+1)
	if addSpecial {
		tokens = append(tokens, TokenBegin)
	}
	for text != "" {
		token, n := int32(text[0]), 1
		if parseSpecial {
			token, n = marker(text)
		}
		tokens, text = append(tokens, token), text[n:]
	}
	return tokens, nil
}

// marker reads the special token at the start of text, or its first byte.
func marker(text string) (int32, int) {
	for token := TokenBegin; token < Vocabulary; token++ {
		if m := special(token); strings.HasPrefix(text, m) {
			return token, len(m)
		}
	}
	return int32(text[0]), 1
}

// Pieces implements engine.Tokenizer.
func (w *Window) Pieces(_ context.Context, tokens []int32, withSpecial bool) ([][]byte, error) {
	pieces := make([][]byte, len(tokens))
	for i, token := range tokens {
		switch {
		case token < 0 || token >= Vocabulary:
			return nil, core.Errorf(core.CodeInvalidRequest, "no token %d", token)
		case token < 256:
			pieces[i] = []byte{byte(token)}
		case withSpecial:
			pieces[i] = []byte(special(token))
		}
	}
	return pieces, nil
}

func special(token int32) string {
	switch token {
	case TokenBegin:
		return "<s>"
	case TokenEnd:
		return "</s>"
	case TokenTurnBegin:
		return "<|im_start|>"
	default:
		return "<|im_end|>"
	}
}

// Text turns tokens into the text of those that are bytes.
func Text(tokens []int32) string {
	text := make([]byte, 0, len(tokens))
	for _, token := range tokens {
		if token < 256 {
			text = append(text, byte(token))
		}
	}
	return string(text)
}
