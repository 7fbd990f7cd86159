package llama

import (
	"time"

	binding "github.com/hybridgroup/yzma/pkg/llama"

	"github.com/shoal-p2p/shoal/daemon/engine"
)

// Logits are the raw logits of a row of the last step, until the next one.
func Logits(w engine.Window, row int) []float32 {
	win := w.(*Window)
	list, err := binding.GetLogitsIth(win.ctx, int32(row), win.shape.Vocabulary)
	if err != nil {
		panic(err)
	}
	return list
}

// SetGrammarLimit sets how long a grammar may take to choose one token.
func SetGrammarLimit(w engine.Window, limit time.Duration) { w.(*Window).grammarLimit = limit }
