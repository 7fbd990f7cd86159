package gguf

import (
	"math"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Limits of a header. Real models stay far below each of them.
const (
	MaxHeader      = 64 << 20 // bytes of the whole header
	MaxKVs         = 1 << 16
	MaxTensors     = 1 << 16
	MaxArray       = 16 << 20 // entries of an array of numbers
	MaxStrings     = 2 << 20  // entries of an array of strings
	MaxString      = 16 << 20 // bytes of a string; chat templates are the longest
	MaxArrayString = 1 << 20  // bytes of a string in an array
	MaxKey         = 1<<16 - 1
	MaxName        = 63 // bytes of a tensor's name, as in ggml
	MaxDims        = 4
	MaxAlignment   = 1 << 16
)

// DefaultAlignment is the alignment of tensors, in bytes, where general.alignment does not say.
const DefaultAlignment = 32

// File is the header of a GGUF file.
type File struct {
	Version uint32 // 2 or 3
	KVs     []KV
	Tensors []Tensor

	// HeaderSize is where the header's last entry ends and DataOffset where tensor data starts, in bytes. Read sets
	// both; Pack does not need them.
	HeaderSize int64
	DataOffset int64
}

// KV is one metadata entry. Value is a bool, string, float32, float64 or sized integer, or a slice of one of these.
type KV struct {
	Key   string
	Value any
}

// Tensor says what a tensor is and where it lies.
type Tensor struct {
	Name   string
	Dims   []int64 // the row length comes first
	Type   Type
	Offset int64 // bytes from DataOffset
}

// Elements is how many numbers the tensor holds.
func (t *Tensor) Elements() int64 {
	n := int64(1)
	for _, d := range t.Dims {
		n *= d
	}
	return n
}

// Size is the tensor's size in bytes, without padding.
func (t *Tensor) Size() int64 { return t.Type.RowBytes(t.Elements()) }

// check refuses shapes whose size is not a whole number of blocks or does not fit an int64.
func (t *Tensor) check() error {
	if t.Name == "" || len(t.Name) > MaxName {
		return corrupt("tensor name has %d bytes, want 1 to %d", len(t.Name), MaxName)
	}
	if !t.Type.Known() {
		return core.Errorf(core.CodeUnsupported, "tensor %q has %s, which this llama.cpp does not know", t.Name, t.Type)
	}
	if len(t.Dims) > MaxDims {
		return corrupt("tensor %q has %d dimensions, most are %d", t.Name, len(t.Dims), MaxDims)
	}
	row, elements := int64(1), int64(1)
	for i, d := range t.Dims {
		if d < 0 || d > 0 && elements > math.MaxInt64/16/d {
			return corrupt("tensor %q is too large", t.Name)
		}
		if elements *= d; i == 0 {
			row = d
		}
	}
	if row%t.Type.BlockElements() != 0 {
		return corrupt("tensor %q has rows of %d, not whole blocks of %s", t.Name, row, t.Type)
	}
	if t.Offset < 0 {
		return corrupt("tensor %q starts out of range", t.Name)
	}
	return nil
}

// Alignment is the alignment of tensors in bytes, a power of two.
func (f *File) Alignment() int64 {
	if n, ok := f.Uint("general.alignment"); ok {
		return int64(n)
	}
	return DefaultAlignment
}

// Pack assigns the tensors' offsets in order, one after the other, each padded to the alignment, and returns the
// padded size of the data in bytes.
func (f *File) Pack() int64 {
	end, align := int64(0), f.Alignment()
	for i := range f.Tensors {
		f.Tensors[i].Offset = end
		end = Pad(end+f.Tensors[i].Size(), align)
	}
	return end
}

// Pad rounds n up to a multiple of align, a power of two.
func Pad(n, align int64) int64 { return (n + align - 1) &^ (align - 1) }

// Tensor finds a tensor by name; it is nil when there is none.
func (f *File) Tensor(name string) *Tensor {
	for i := range f.Tensors {
		if f.Tensors[i].Name == name {
			return &f.Tensors[i]
		}
	}
	return nil
}

// check holds for every header that Read returns or Marshal writes. The keys and names of f are unique, its
// alignment is a power of two and its tensors are sound, aligned and do not overlap.
func (f *File) check() error {
	if f.Version != 2 && f.Version != 3 {
		return core.Errorf(core.CodeUnsupported, "GGUF version %d is not supported", f.Version)
	}
	if len(f.KVs) > MaxKVs || len(f.Tensors) > MaxTensors {
		return corrupt("header has too many entries")
	}
	keys := make(map[string]struct{}, len(f.KVs))
	for i := range f.KVs {
		keys[f.KVs[i].Key] = struct{}{}
	}
	if len(keys) != len(f.KVs) {
		return corrupt("a metadata key occurs twice")
	}
	if err := f.checkAlignment(); err != nil {
		return err
	}
	return f.checkTensors()
}

func (f *File) checkAlignment() error {
	v, ok := f.Value("general.alignment")
	if !ok {
		return nil
	}
	if n, ok := v.(uint32); !ok || n == 0 || n&(n-1) != 0 || n > MaxAlignment {
		return corrupt("general.alignment is not a power of two up to %d", MaxAlignment)
	}
	return nil
}

func (f *File) checkTensors() error {
	names := make(map[string]struct{}, len(f.Tensors))
	align := f.Alignment()
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if err := t.check(); err != nil {
			return err
		}
		if t.Offset%align != 0 || t.Offset > math.MaxInt64-t.Size() {
			return corrupt("tensor %q starts at %d, not a multiple of %d", t.Name, t.Offset, align)
		}
		names[t.Name] = struct{}{}
	}
	if len(names) != len(f.Tensors) {
		return corrupt("a tensor name occurs twice")
	}
	end := int64(0)
	for _, t := range f.ByOffset() {
		if t.Offset < end {
			return corrupt("tensor %q overlaps another", t.Name)
		}
		end = t.Offset + t.Size()
	}
	return nil
}

// ByOffset returns the tensors in the order in which they lie in the file.
func (f *File) ByOffset() []*Tensor {
	order := make([]*Tensor, len(f.Tensors))
	for i := range f.Tensors {
		order[i] = &f.Tensors[i]
	}
	slices.SortStableFunc(order, func(a, b *Tensor) int {
		switch {
		case a.Offset < b.Offset:
			return -1
		case a.Offset > b.Offset:
			return 1
		}
		return 0
	})
	return order
}

func corrupt(format string, args ...any) error { return core.Errorf(core.CodeCorrupt, format, args...) }
