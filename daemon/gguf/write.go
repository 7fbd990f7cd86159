package gguf

import (
	"encoding/binary"
	"math"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Marshal writes the header of f, padded with zeros to the alignment. Call Pack first if the tensors' offsets are
// not set. A header that Read would refuse, or a value of another type than KV allows, is an error of code
// core.CodeInternal or core.CodeCorrupt.
func Marshal(f *File) ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	b := append([]byte(nil), magic...)
	b = binary.LittleEndian.AppendUint32(b, f.Version)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(f.Tensors)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(f.KVs)))
	for _, kv := range f.KVs {
		if kv.Key == "" || len(kv.Key) > MaxKey {
			return nil, corrupt("metadata key has %d bytes", len(kv.Key))
		}
		b = appendString(b, kv.Key)
		var ok bool
		if b, ok = appendValue(b, kv.Value); !ok {
			return nil, core.Errorf(core.CodeInternal, "metadata %s has a value of type %T", kv.Key, kv.Value)
		}
	}
	for i := range f.Tensors {
		b = appendTensor(b, &f.Tensors[i])
	}
	if int64(len(b)) > MaxHeader {
		return nil, corrupt("header has %d bytes, most are %d", len(b), MaxHeader)
	}
	return append(b, make([]byte, Pad(int64(len(b)), f.Alignment())-int64(len(b)))...), nil
}

func appendTensor(b []byte, t *Tensor) []byte {
	b = appendString(b, t.Name)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(t.Dims)))
	for _, d := range t.Dims {
		b = binary.LittleEndian.AppendUint64(b, uint64(d))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(t.Type))
	return binary.LittleEndian.AppendUint64(b, uint64(t.Offset))
}

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// appendValue writes a value's type and then the value.
func appendValue(b []byte, v any) ([]byte, bool) {
	if kind, ok := kindOf(v); ok {
		return appendScalar(binary.LittleEndian.AppendUint32(b, kind), v), true
	}
	switch list := v.(type) {
	case []uint8:
		return appendArray(b, list), true
	case []int8:
		return appendArray(b, list), true
	case []uint16:
		return appendArray(b, list), true
	case []int16:
		return appendArray(b, list), true
	case []uint32:
		return appendArray(b, list), true
	case []int32:
		return appendArray(b, list), true
	case []float32:
		return appendArray(b, list), true
	case []bool:
		return appendArray(b, list), true
	case []string:
		return appendArray(b, list), true
	case []uint64:
		return appendArray(b, list), true
	case []int64:
		return appendArray(b, list), true
	case []float64:
		return appendArray(b, list), true
	}
	return b, false
}

func appendArray[T any](b []byte, list []T) []byte {
	var zero T
	kind, _ := kindOf(zero)
	b = binary.LittleEndian.AppendUint32(b, kindArray)
	b = binary.LittleEndian.AppendUint32(b, kind)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(list)))
	for _, x := range list {
		b = appendScalar(b, x)
	}
	return b
}

func kindOf(v any) (uint32, bool) {
	switch v.(type) {
	case uint8:
		return kindUint8, true
	case int8:
		return kindInt8, true
	case uint16:
		return kindUint16, true
	case int16:
		return kindInt16, true
	case uint32:
		return kindUint32, true
	case int32:
		return kindInt32, true
	case float32:
		return kindFloat32, true
	case bool:
		return kindBool, true
	case string:
		return kindString, true
	case uint64:
		return kindUint64, true
	case int64:
		return kindInt64, true
	case float64:
		return kindFloat64, true
	}
	return 0, false
}

func appendScalar(b []byte, v any) []byte {
	le := binary.LittleEndian
	switch x := v.(type) {
	case uint8:
		return append(b, x)
	case int8:
		return append(b, byte(x))
	case uint16:
		return le.AppendUint16(b, x)
	case int16:
		return le.AppendUint16(b, uint16(x))
	case uint32:
		return le.AppendUint32(b, x)
	case int32:
		return le.AppendUint32(b, uint32(x))
	case float32:
		return le.AppendUint32(b, math.Float32bits(x))
	case bool:
		if x {
			return append(b, 1)
		}
		return append(b, 0)
	case string:
		return appendString(b, x)
	case uint64:
		return le.AppendUint64(b, x)
	case int64:
		return le.AppendUint64(b, uint64(x))
	case float64:
		return le.AppendUint64(b, math.Float64bits(x))
	}
	return b
}
