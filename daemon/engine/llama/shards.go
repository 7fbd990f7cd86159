package llama

import (
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

func planShards(spec engine.Spec) (*plan, error) {
	return nil, core.Errorf(core.CodeUnsupported, "model folder %s", spec.ModelDir)
}
