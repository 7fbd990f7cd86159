package llama

import (
	"slices"
	"sync"

	"github.com/ebitengine/purego"
)

// export reaches into the running graph of a window: it takes the hidden states after the last layer and ends
// the graph there, and overwrites the tensor that an architecture makes of its input (see arch.Window).
type export struct {
	lib    *library
	take   string // tensor to copy to out; empty for none
	put    string // tensor to overwrite with in; empty for none
	width  int    // floats of a row
	out    []float32
	in     []float32
	handle uintptr
}

// newExport is nil for a window that needs no reaching in.
func newExport(lib *library, p *plan, width int) *export {
	e := &export{lib: lib, width: width}
	if !p.last {
		e.take = p.window.Export
	}
	if !p.first || p.window.StandIn {
		e.put = p.window.Input
	}
	if e.take == "" && e.put == "" {
		return nil
	}
	return e
}

// begin readies e for a batch of so many rows, whose input is in. What is taken goes to spare if it has room.
func (e *export) begin(rows int, in, spare []float32) {
	if e == nil {
		return
	}
	e.in, e.out = in, nil
	if e.take != "" {
		e.out = slices.Grow(spare[:0], rows*e.width)
	}
}

// onNode is asked before (ask) and told after a node of the graph. Before, it tells whether it wants the node's
// data; after, whether the graph should go on.
func (e *export) onNode(tensor uintptr, ask bool) bool {
	take, put := e.take != "" && hasName(tensor, e.take), e.put != "" && hasName(tensor, e.put)
	if ask {
		return take || put
	}
	shape := (*[2]int64)(address(tensor + tensorShape))
	n := int(shape[0] * shape[1])
	switch {
	case put && len(e.in) >= n:
		e.lib.writeTensor(tensor, e.in[:n])
		e.in = e.in[n:]
	case take && len(e.out)+n <= cap(e.out):
		e.out = e.out[:len(e.out)+n]
		e.lib.readTensor(tensor, e.out[len(e.out)-n:])
		return false
	}
	return true
}

// hasName tells whether a ggml_tensor is called name.
func hasName(tensor uintptr, name string) bool {
	p := (*[64]byte)(address(tensor + tensorName))
	return p[len(name)] == 0 && string(p[:len(name)]) == name
}

// exports finds an export by the handle that C code hands back. Callbacks cannot be freed, so all windows of a
// process share one.
type exports struct {
	mu   sync.RWMutex // guards the rest
	next uintptr
	open map[uintptr]*export
}

func (t *exports) add(e *export) uintptr {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[uintptr]*export{}
	}
	t.next++
	t.open[t.next] = e
	return t.next
}

func (t *exports) callback(tensor, ask, handle uintptr) uintptr {
	t.mu.RLock()
	e := t.open[handle]
	t.mu.RUnlock()
	if e != nil && e.onNode(tensor, ask&0xff != 0) {
		return 1
	}
	return 0
}

// evalFunction is the callback for contexts whose user data is an export's handle.
func (lib *library) evalFunction() uintptr {
	lib.evalOnce.Do(func() { lib.evalCallback = purego.NewCallback(lib.exports.callback) })
	return lib.evalCallback
}

func (e *export) register() uintptr {
	e.handle = e.lib.exports.add(e)
	return e.handle
}

func (e *export) unregister() {
	if e == nil {
		return
	}
	e.lib.exports.mu.Lock()
	defer e.lib.exports.mu.Unlock()
	delete(e.lib.exports.open, e.handle)
}
