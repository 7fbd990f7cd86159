package llama

import (
	"context"
	"math"
	"unsafe"

	binding "github.com/hybridgroup/yzma/pkg/llama"
	"github.com/jupiterrider/ffi"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Limits of one call.
const (
	maxText   = 64 << 20 // bytes
	maxTokens = 16 << 20
)

// Tokenize implements engine.Tokenizer.
func (w *Window) Tokenize(_ context.Context, text string, addSpecial, parseSpecial bool) ([]int32, error) {
	release, err := w.useVocab()
	if err != nil {
		return nil, err
	}
	defer release()
	if len(text) > maxText {
		return nil, core.Errorf(core.CodeTooLarge, "text of %d bytes, most are %d", len(text), maxText)
	}
	tokens := make([]int32, len(text)+8)
	n := w.tokenize(text, tokens, addSpecial, parseSpecial)
	if n < 0 && n != math.MinInt32 && -n <= maxTokens {
		tokens = make([]int32, -n)
		n = w.tokenize(text, tokens, addSpecial, parseSpecial)
	}
	if n < 0 {
		return nil, core.Errorf(core.CodeTooLarge, "text of %d bytes has too many tokens", len(text))
	}
	return tokens[:n:n], nil
}

// tokenize returns the number of tokens, or if there is no room its negative.
func (w *Window) tokenize(text string, out []int32, addSpecial, parseSpecial bool) int {
	p, size := unsafe.StringData(text), int32(len(text))
	if size == 0 {
		p = unsafe.StringData("\x00")
	}
	to, room := &out[0], int32(len(out))
	special, parse := flag(addSpecial), flag(parseSpecial)
	var n ffi.Arg
	w.lib.tokenizeFn.Call(unsafe.Pointer(&n), unsafe.Pointer(&w.vocab), unsafe.Pointer(&p), unsafe.Pointer(&size),
		unsafe.Pointer(&to), unsafe.Pointer(&room), unsafe.Pointer(&special), unsafe.Pointer(&parse))
	return int(int32(n))
}

func flag(on bool) uint8 {
	if on {
		return 1
	}
	return 0
}

// Pieces implements engine.Tokenizer.
func (w *Window) Pieces(_ context.Context, tokens []int32, special bool) ([][]byte, error) {
	release, err := w.useVocab()
	if err != nil {
		return nil, err
	}
	defer release()
	pieces := make([][]byte, len(tokens))
	for i, t := range tokens {
		if t < 0 || int(t) >= w.shape.Vocabulary {
			return nil, core.Errorf(core.CodeInvalidRequest, "token %d of %d", t, w.shape.Vocabulary)
		}
		pieces[i] = w.piece(t, special)
	}
	return pieces, nil
}

// piece is the bytes of a token; none for a special one unless special is set.
func (w *Window) piece(token int32, special bool) []byte {
	var buf [64]byte
	n := binding.TokenToPiece(w.vocab, binding.Token(token), buf[:], 0, special)
	if n >= 0 {
		return append([]byte(nil), buf[:n]...)
	}
	long := make([]byte, -n)
	n = binding.TokenToPiece(w.vocab, binding.Token(token), long, 0, special)
	return long[:max(n, 0)]
}

func (w *Window) useVocab() (release func(), err error) {
	release, err = w.use()
	if err == nil && w.vocab == 0 {
		release()
		return nil, core.Errorf(core.CodeUnsupported, "this window has no tokenizer")
	}
	return release, err
}
