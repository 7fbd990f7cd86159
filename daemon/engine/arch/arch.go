// Package arch is the table of model architectures that may run as windows of layers, and what each needs.
//
// A window is loaded by stock llama.cpp as if it were a small model of its own, so everything llama.cpp derives
// from a layer's number or from the number of layers has to be put right in the window's metadata, and
// architectures where that cannot be done are refused. A refused model still runs whole. The table holds for
// llama.cpp v0.5.0; every row has a test that compares windows with the whole model bit by bit.
package arch

import (
	"fmt"
	"math"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Metadata reads integer values of a GGUF header, as *gguf.File does. Booleans read as 0 and 1.
type Metadata interface {
	Uint(key string) (uint64, bool)
	Uints(key string) ([]uint64, bool) // an array
}

// Window is what one window of a model needs besides its tensors.
type Window struct {
	// Scale is what the rows of the token embedding are multiplied by before the first layer; 1 for most.
	Scale float32
	// Export names the tensor that holds the hidden states after the window's last layer.
	Export string
	// Input names a tensor to overwrite with the incoming hidden states, for architectures that change their
	// input even when it is not a token; empty for most. The window that embeds tokens has no use for it, unless
	// StandIn is set.
	Input string
	// StandIn is for architectures that refuse rows as input: they take token 0 in place of each, and the rows,
	// embedded tokens too, go to the tensor Input.
	StandIn bool
	// Fixes are metadata values to set in the window's header.
	Fixes []Fix
}

// Fix is a metadata value of a window: a bool array if Bools is not nil, else a uint32.
type Fix struct {
	Key   string
	Uint  uint32
	Bools []bool
}

// Model is a model as the table sees it.
type Model struct {
	name   string
	row    row
	known  bool
	layers int
	embd   int
	meta   Metadata
}

// Of looks up the architecture called name (general.architecture). Any name is accepted: a model whose
// architecture is not in the table is not Splittable.
func Of(name string, m Metadata) Model {
	r, known := table[name]
	layers, _ := m.Uint(name + ".block_count")
	embd, _ := m.Uint(name + ".embedding_length")
	return Model{name: name, row: r, known: known, layers: int(layers), embd: int(embd), meta: m}
}

// Names lists the architectures that may run as windows, in order.
func Names() []string {
	names := make([]string, 0, len(table))
	for name := range table {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Encoder tells whether the architecture reads a text as a whole: it makes vectors of texts and writes none, or needs a
// decoder after it.
func (m Model) Encoder() bool { return refused[m.name] == encoder }

// HalfRows tells whether hidden states may travel between nodes as half floats where the user wants that: it changes the
// logits little, and trained models show that the numbers fit. Texts at temperature 0 may still differ from the whole
// model's, so that nothing does it unasked; see the table.
func (m Model) HalfRows() bool { return m.row.halfRows }

// Splittable is nil if the model may be cut into windows, and else an error of code core.CodeUnsupported that
// says why not.
func (m Model) Splittable() error {
	reason, listed := refused[m.name]
	switch {
	case listed:
		return m.refuse(reason)
	case !m.known:
		return m.refuse("windows of this architecture are not tested")
	case m.layers < 1:
		return m.refuse("the header has no layer count")
	}
	if reason, bad := m.row.refuseLayers[m.layers]; bad {
		return m.refuse(reason)
	}
	for _, f := range m.row.refuseKeys {
		if m.has(m.name + f.key) {
			return m.refuse(f.reason)
		}
	}
	return nil
}

// Window tells what the window of layers r needs. The error is that of Splittable, or says what is wrong with r.
// A window of all layers is a window too; to load a model as it is, do not ask.
func (m Model) Window(r core.LayerRange) (Window, error) {
	if err := m.Splittable(); err != nil {
		return Window{}, err
	}
	if r.First < 0 || r.End > m.layers || r.Len() < 1 {
		return Window{}, core.Errorf(core.CodeInvalidRequest, "window of layers %d to %d of %d", r.First, r.End, m.layers)
	}
	if slices.Contains(m.row.refuseLengths, r.Len()) && r.Len() != m.layers {
		return Window{}, m.refuse(fmt.Sprintf("llama.cpp takes a window of %d layers for another model", r.Len()))
	}
	w := Window{Scale: 1, Export: fmt.Sprintf("l_out-%d", r.Len()-1), Input: m.row.input, StandIn: m.row.standIn}
	if m.row.scaleRows {
		w.Scale = float32(math.Sqrt(float64(m.embd)))
	}
	w.Fixes = m.fixes(r)
	return w, nil
}

// CanTrim tells whether the tail of a sequence can be dropped from the KV cache without losing what earlier
// positions need: not so with a sliding window, whose cache forgets, nor with recurrent state.
func (m Model) CanTrim() bool {
	return m.known && !m.sliding()
}

func (m Model) fixes(r core.LayerRange) (fixes []Fix) {
	if dense, ok := m.meta.Uint(m.name + ".leading_dense_block_count"); ok {
		left := min(max(int(dense)-r.First, 0), r.Len())
		fixes = append(fixes, Fix{Key: m.name + ".leading_dense_block_count", Uint: uint32(left)})
	}
	if m.sliding() {
		fixes = append(fixes, m.slidingFixes(r)...)
	}
	return fixes
}

const (
	slidingPattern = ".attention.sliding_window_pattern"
	slidingWidth   = ".attention.sliding_window"
)

// allPositions is a sliding window as wide as any context, small enough not to overflow when llama.cpp multiplies it.
const allPositions = 1 << 24

// slidingFixes name the sliding layers of r. llama.cpp wants at least one; a window without any is loaded as a model
// that does not slide or, where the architecture always does, as one whose sliding layers see all positions.
func (m Model) slidingFixes(r core.LayerRange) []Fix {
	layers := m.slidingLayers(r)
	switch {
	case slices.Contains(layers, true):
		return []Fix{{Key: m.name + slidingPattern, Bools: layers}}
	case !m.row.slidingAlways:
		return []Fix{{Key: m.name + slidingWidth, Uint: 0}}
	}
	for i := range layers {
		layers[i] = true
	}
	return []Fix{{Key: m.name + slidingPattern, Bools: layers}, {Key: m.name + slidingWidth, Uint: allPositions}}
}

// sliding tells whether some layers see a sliding window of positions only.
func (m Model) sliding() bool {
	if m.row.slidingPeriod == 0 {
		return false
	}
	width, given := m.meta.Uint(m.name + slidingWidth)
	return width > 0 || !given && m.row.slidingAlways
}

// slidingLayers tells for each layer of r whether it is a sliding one: as the header lists them, or all but the
// last of each period.
func (m Model) slidingLayers(r core.LayerRange) []bool {
	listed, _ := m.meta.Uints(m.name + slidingPattern)
	period := m.row.slidingPeriod
	if p, ok := m.meta.Uint(m.name + slidingPattern); ok && p > 0 {
		period = int(p)
	}
	layers := make([]bool, 0, r.Len())
	for l := r.First; l < r.End; l++ {
		if l < len(listed) {
			layers = append(layers, listed[l] != 0)
			continue
		}
		layers = append(layers, l%period < period-1)
	}
	return layers
}

func (m Model) has(key string) bool {
	if v, ok := m.meta.Uint(key); ok {
		return v != 0
	}
	_, ok := m.meta.Uints(key)
	return ok
}

func (m Model) refuse(reason string) error {
	return core.Errorf(core.CodeUnsupported, "%s cannot be split: %s", m.name, reason).
		WithHint("Run the whole model on one PC.")
}
