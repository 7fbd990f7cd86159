package schedule

import (
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// joinShapes checks that windows form a whole model and returns what they are together.
func joinShapes(windows []engine.Window) (engine.Shape, error) {
	if len(windows) == 0 {
		return engine.Shape{}, core.Errorf(core.CodeInvalidRequest, "a chain needs a window")
	}
	joined := windows[0].Shape()
	if !joined.First || !windows[len(windows)-1].Shape().Last {
		return engine.Shape{}, core.Errorf(core.CodeInvalidRequest, "a chain starts with the first layer and ends with the last")
	}
	for _, w := range windows[1:] {
		s := w.Shape()
		if s.First || joined.Last || s.Layers.First != joined.Layers.End || s.Embedding != joined.Embedding {
			return engine.Shape{}, core.Errorf(core.CodeInvalidRequest, "layers %d to %d cannot follow layer %d", s.Layers.First, s.Layers.End, joined.Layers.End)
		}
		joined = joinPair(joined, s)
	}
	return joined, nil
}

func joinPair(a, b engine.Shape) engine.Shape {
	a.Layers.End, a.Last, a.Vocabulary = b.Layers.End, b.Last, b.Vocabulary
	a.Context = min(a.Context, b.Context)
	a.Sequences = min(a.Sequences, b.Sequences)
	a.BatchRows = min(a.BatchRows, b.BatchRows)
	a.GPULayers += b.GPULayers
	if a.Placement == "" {
		a.Placement = b.Placement
	}
	a.CanTrim = a.CanTrim && b.CanTrim
	a.PID = 0
	return a
}
