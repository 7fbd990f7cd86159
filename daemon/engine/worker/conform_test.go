package worker_test

import (
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
	"github.com/shoal-p2p/shoal/daemon/engine/enginetest"
)

func TestWindowsKeepTheContract(t *testing.T) {
	e := newEngine(t, "llama")
	path := shared(t, "models", "stories260K-f32.gguf")
	enginetest.Run(t, enginetest.Config{
		Windows: []int{1},
		Open: func(t *testing.T, windows int, spec engine.Spec) []engine.Window {
			spec.Threads, spec.ModelDir = 1, path
			w, err := e.Load(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			return []engine.Window{w}
		},
	})
}
