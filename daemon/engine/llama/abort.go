package llama

import (
	"sync/atomic"
	"unsafe"
)

// abortFlag tells a running llama_decode to stop. The library asks a C function, for every node of the graph,
// whether to go on; a Go callback there costs about one percent of a small model's speed, so the function is C's
// own strlen on a short string: it is 0, go on, until the first byte is set.
type abortFlag struct {
	text *[2]uint32
	fn   uintptr
}

func newAbortFlag() (*abortFlag, error) {
	fn, err := strlenAddress()
	if err != nil {
		return nil, noRuntime("strlen of the C library: %w", err)
	}
	return &abortFlag{text: new([2]uint32), fn: fn}, nil
}

// data is the argument of fn.
func (a *abortFlag) data() uintptr { return uintptr(unsafe.Pointer(a.text)) }

func (a *abortFlag) raise() { atomic.StoreUint32(&a.text[0], 1) }

func (a *abortFlag) lower() { atomic.StoreUint32(&a.text[0], 0) }
