package llama

import (
	"os"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
)

// rowReader looks up the embedding rows of tokens in the model's file, as llama.cpp's first graph node would.
type rowReader struct {
	file    *os.File
	table   rowTable
	toFloat uintptr // ggml's function that unpacks a row; 0 if rows are floats already
	scale   float32
	packed  []byte // one row as it is in the file
}

func newRowReader(lib *library, t rowTable, scale float32) (*rowReader, error) {
	if t.width < 1 || t.rows < 1 || !t.typ.Known() || int64(t.width)%t.typ.BlockElements() != 0 {
		return nil, core.Errorf(core.CodeCorrupt, "token embedding of %d rows of %d in %s", t.rows, t.width, t.typ)
	}
	file, err := os.Open(t.path)
	if err != nil {
		return nil, core.Errorf(core.CodeNotFound, "token embedding: %w", err)
	}
	r := &rowReader{file: file, table: t, scale: scale, packed: make([]byte, t.typ.RowBytes(int64(t.width)))}
	if t.typ != gguf.F32 {
		if r.toFloat = lib.toFloat(t.typ); r.toFloat == 0 {
			_ = file.Close()
			return nil, core.Errorf(core.CodeUnsupported, "llama.cpp cannot unpack %s", t.typ)
		}
	}
	return r, nil
}

// toFloat is ggml's function (packed, floats, count) for a type; 0 if it has none.
func (lib *library) toFloat(t gguf.Type) uintptr {
	var traits uintptr
	typ := int32(t)
	lib.traits.Call(unsafe.Pointer(&traits), unsafe.Pointer(&typ))
	if traits == 0 {
		return 0
	}
	return *(*uintptr)(address(traits + traitsToFloat))
}

// read writes the row of token to out, which has the table's width.
func (r *rowReader) read(token int32, out []float32) error {
	at := r.table.offset + int64(token)*int64(len(r.packed))
	packed := r.packed
	if r.toFloat == 0 {
		packed = unsafe.Slice((*byte)(unsafe.Pointer(&out[0])), len(packed))
	}
	if _, err := r.file.ReadAt(packed, at); err != nil {
		return core.Errorf(core.CodeCorrupt, "token embedding: %w", err)
	}
	if r.toFloat != 0 {
		purego.SyscallN(r.toFloat, uintptr(unsafe.Pointer(&packed[0])), uintptr(unsafe.Pointer(&out[0])), uintptr(len(out)))
	}
	if r.scale != 1 {
		for i := range out {
			out[i] *= r.scale
		}
	}
	return nil
}
