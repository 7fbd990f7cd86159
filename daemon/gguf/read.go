package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// magic starts every GGUF file.
const magic = "GGUF"

// Value types, as they are numbered in the file.
const (
	kindUint8 = iota
	kindInt8
	kindUint16
	kindInt16
	kindUint32
	kindInt32
	kindFloat32
	kindBool
	kindString
	kindArray
	kindUint64
	kindInt64
	kindFloat64
)

// kindBytes is the smallest size of a value of each kind; 0 marks kinds an array cannot hold.
var kindBytes = [...]int64{1, 1, 2, 2, 4, 4, 4, 1, 8, 0, 8, 8, 8}

// Read reads the header of a GGUF file of size bytes; r stands at its start and is read a little past the header.
// Errors have code core.CodeCorrupt, core.CodeUnsupported for versions and types that llama.cpp v0.5.0 does not
// read, or wrap what r returned.
func Read(r io.Reader, size int64) (*File, error) {
	d := &decoder{r: bufio.NewReaderSize(r, 1<<16), left: min(size, MaxHeader), total: min(size, MaxHeader)}
	f := d.file()
	if d.err != nil {
		return nil, d.err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	f.HeaderSize = d.total - d.left
	f.DataOffset = Pad(f.HeaderSize, f.Alignment())
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if n := t.Size(); n > size-f.DataOffset || t.Offset > size-f.DataOffset-n {
			return nil, corrupt("tensor %q ends past the end of the file", t.Name)
		}
	}
	return f, nil
}

// decoder reads values until the first error, after which every value is zero.
type decoder struct {
	r     *bufio.Reader
	total int64
	left  int64 // bytes the header may still have
	err   error
	buf   [8]byte
	raw   []byte // of a piece of an array
}

func (d *decoder) file() *File {
	if string(d.bytes(4)) != magic {
		d.fail(corrupt("not a GGUF file"))
	}
	f := &File{Version: d.uint32()}
	if v := f.Version; d.err == nil && v != 2 && v != 3 {
		d.fail(core.Errorf(core.CodeUnsupported, "GGUF version %d is not supported; only little-endian 2 and 3 are", v))
	}
	tensors := d.count("tensors", MaxTensors, 24)
	kvs := d.count("metadata entries", MaxKVs, 13)
	for i := 0; i < kvs && d.err == nil; i++ {
		f.KVs = append(f.KVs, d.kv())
	}
	for i := 0; i < tensors && d.err == nil; i++ {
		f.Tensors = append(f.Tensors, d.tensor())
	}
	return f
}

func (d *decoder) kv() KV {
	kv := KV{Key: d.string("key", MaxKey)}
	if kv.Key == "" {
		d.fail(corrupt("a metadata key is empty"))
	}
	if kind := d.uint32(); kind == kindArray {
		kv.Value = d.array(d.uint32())
	} else {
		kv.Value = d.scalar(kind)
	}
	return kv
}

func (d *decoder) tensor() Tensor {
	t := Tensor{Name: d.string("tensor name", MaxName)}
	dims := d.uint32()
	if dims > MaxDims {
		d.fail(corrupt("tensor %q has %d dimensions, most are %d", t.Name, dims, MaxDims))
		return t
	}
	t.Dims = make([]int64, dims)
	for i := range t.Dims {
		t.Dims[i] = int64(d.uint64())
	}
	t.Type = Type(d.uint32())
	t.Offset = int64(d.uint64())
	return t
}

func (d *decoder) scalar(kind uint32) any {
	switch kind {
	case kindUint8:
		return d.uint8()
	case kindInt8:
		return int8(d.uint8())
	case kindUint16:
		return d.uint16()
	case kindInt16:
		return int16(d.uint16())
	case kindUint32:
		return d.uint32()
	case kindInt32:
		return int32(d.uint32())
	case kindFloat32:
		return math.Float32frombits(d.uint32())
	case kindBool:
		return d.isTrue(d.uint8())
	case kindString:
		return d.string("string", MaxString)
	case kindUint64:
		return d.uint64()
	case kindInt64:
		return int64(d.uint64())
	case kindFloat64:
		return math.Float64frombits(d.uint64())
	}
	d.fail(corrupt("value type %d does not exist", kind))
	return nil
}

func (d *decoder) array(kind uint32) any {
	if kind >= uint32(len(kindBytes)) || kindBytes[kind] == 0 {
		d.fail(corrupt("an array holds values of type %d", kind))
		return nil
	}
	if kind == kindString {
		return d.strings(d.count("strings", MaxStrings, kindBytes[kind]))
	}
	n := d.count("array entries", MaxArray, kindBytes[kind])
	switch kind {
	case kindUint8:
		return numbers[uint8](d, n)
	case kindInt8:
		return numbers[int8](d, n)
	case kindUint16:
		return numbers[uint16](d, n)
	case kindInt16:
		return numbers[int16](d, n)
	case kindUint32:
		return numbers[uint32](d, n)
	case kindInt32:
		return numbers[int32](d, n)
	case kindFloat32:
		return numbers[float32](d, n)
	case kindBool:
		return d.bools(n)
	case kindUint64:
		return numbers[uint64](d, n)
	case kindInt64:
		return numbers[int64](d, n)
	default:
		return numbers[float64](d, n)
	}
}

// pieceEntries is how many entries of an array are read at once.
const pieceEntries = 1 << 12

// numbers reads n values; the slice grows with what was read, not with what was promised.
func numbers[T any](d *decoder, n int) []T {
	list := make([]T, 0, min(n, pieceEntries))
	var piece [pieceEntries]T
	for n > 0 && d.err == nil {
		part := piece[:min(n, pieceEntries)]
		d.raw = d.append(d.raw[:0], binary.Size(part))
		if d.err == nil {
			_, _ = binary.Decode(d.raw, binary.LittleEndian, part) // d.raw has the right length
			list = append(list, part...)
		}
		n -= len(part)
	}
	return list
}

func (d *decoder) bools(n int) []bool {
	bytes := numbers[uint8](d, n)
	list := make([]bool, len(bytes))
	for i, b := range bytes {
		list[i] = d.isTrue(b)
	}
	return list
}

// strings reads n strings into one piece of memory: a vocabulary has hundreds of thousands.
func (d *decoder) strings(n int) []string {
	var text []byte
	ends := make([]int, 0, min(n, pieceEntries))
	for i := 0; i < n && d.err == nil; i++ {
		text = d.append(text, d.count("bytes of a string", MaxArrayString, 1))
		ends = append(ends, len(text))
	}
	all, list, start := string(text), make([]string, len(ends)), 0
	for i, end := range ends {
		list[i], start = all[start:end], end
	}
	return list
}

func (d *decoder) string(what string, most uint64) string {
	return string(d.append(nil, d.count("bytes of a "+what, most, 1)))
}

// count reads a number of things of at least each bytes; more than most, or than the file can hold, is an error.
func (d *decoder) count(what string, most uint64, each int64) int {
	n := d.uint64()
	if d.err == nil && (n > most || int64(n) > d.left/each) {
		d.fail(corrupt("the header claims %d %s", n, what))
	}
	if d.err != nil {
		return 0
	}
	return int(n)
}

// append reads n bytes to the end of b, in pieces, so that a promise alone does not take memory.
func (d *decoder) append(b []byte, n int) []byte {
	for n > 0 && d.take(int64(min(n, 1<<16))) {
		piece := min(n, 1<<16)
		at := len(b)
		b = append(b, make([]byte, piece)...)
		d.read(b[at:])
		n -= piece
	}
	return b
}

func (d *decoder) uint8() uint8   { return d.bytes(1)[0] }
func (d *decoder) uint16() uint16 { return binary.LittleEndian.Uint16(d.bytes(2)) }
func (d *decoder) uint32() uint32 { return binary.LittleEndian.Uint32(d.bytes(4)) }
func (d *decoder) uint64() uint64 { return binary.LittleEndian.Uint64(d.bytes(8)) }

func (d *decoder) isTrue(b uint8) bool {
	if b > 1 {
		d.fail(corrupt("a boolean is %d", b))
	}
	return b == 1
}

// bytes reads n ≤ 8 bytes, valid until the next call; they are zero after an error.
func (d *decoder) bytes(n int64) []byte {
	b := d.buf[:n]
	if d.take(n) {
		d.read(b)
	}
	if d.err != nil {
		clear(b)
	}
	return b
}

// take counts n bytes against the header's limit.
func (d *decoder) take(n int64) bool {
	if d.err == nil && n > d.left {
		d.fail(corrupt("the header ends early or is larger than %d bytes", MaxHeader))
	}
	if d.err != nil {
		return false
	}
	d.left -= n
	return true
}

func (d *decoder) read(b []byte) {
	switch _, err := io.ReadFull(d.r, b); {
	case err == nil:
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		d.fail(corrupt("the header ends early"))
	default:
		d.fail(err)
	}
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}
