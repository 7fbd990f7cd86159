package shard

import (
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine/arch"
	"github.com/shoal-p2p/shoal/daemon/gguf"
)

// isModel tells whether a file holds a model that can run by itself, by what its header says. Otherwise the error, of
// code core.CodeUnsupported, says what the file is.
func isModel(f *gguf.File) error {
	kind, _ := f.String("general.type")
	tokenizer, _ := f.String("tokenizer.ggml.model")
	switch {
	case f.Architecture() == "clip" || kind == "mmproj":
		return core.Errorf(core.CodeUnsupported, "this file is a projector: it lets another model see or hear, and is no model itself")
	case kind == "adapter":
		return core.Errorf(core.CodeUnsupported, "this file is an adapter: it changes another model, and is no model itself")
	case kind == "imatrix":
		return core.Errorf(core.CodeUnsupported, "this file holds measurements for quantising a model, and is no model itself")
	case kind == "vocab" || len(f.Tensors) == 0:
		return core.Errorf(core.CodeUnsupported, "this file holds a vocabulary only, and no weights")
	case arch.Of(f.Architecture(), f).Encoder():
		return core.Errorf(core.CodeUnsupported, "this file is an encoder (%s): it writes no text, and Shoal does not run such models", f.Architecture())
	case tokenizer == "no_vocab" || tokenizer == "none":
		return core.Errorf(core.CodeUnsupported, "this file has no tokenizer, so that it cannot read text")
	}
	return nil
}
