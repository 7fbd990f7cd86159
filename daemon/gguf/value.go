package gguf

import "math"

// Value returns the value of a key.
func (f *File) Value(key string) (any, bool) {
	for i := range f.KVs {
		if f.KVs[i].Key == key {
			return f.KVs[i].Value, true
		}
	}
	return nil, false
}

// Set replaces the value of a key where it stands, or adds the key at the end.
func (f *File) Set(key string, value any) {
	for i := range f.KVs {
		if f.KVs[i].Key == key {
			f.KVs[i].Value = value
			return
		}
	}
	f.KVs = append(f.KVs, KV{key, value})
}

// String returns a string value; ok is false for a missing key or another type.
func (f *File) String(key string) (s string, ok bool) {
	v, _ := f.Value(key)
	s, ok = v.(string)
	return s, ok
}

// Bool returns a boolean value.
func (f *File) Bool(key string) (b, ok bool) {
	v, _ := f.Value(key)
	b, ok = v.(bool)
	return b, ok
}

// Uint returns a value of any integer type that is not negative and below 2^63.
func (f *File) Uint(key string) (uint64, bool) {
	n, ok := f.Int(key)
	return uint64(n), ok && n >= 0
}

// Float returns a value of either float type.
func (f *File) Float(key string) (float64, bool) {
	v, _ := f.Value(key)
	switch x := v.(type) {
	case float32:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

// Strings returns an array of strings, which the caller must not change.
func (f *File) Strings(key string) (list []string, ok bool) {
	v, _ := f.Value(key)
	list, ok = v.([]string)
	return list, ok
}

// Int returns a value of any integer type, or a boolean as 0 or 1; numbers over 2^63-1 are not ok.
func (f *File) Int(key string) (int64, bool) {
	v, _ := f.Value(key)
	return asInt(v)
}

// Uints returns an array of any integer type whose entries are not negative, or of booleans as 0 and 1.
func (f *File) Uints(key string) ([]uint64, bool) {
	v, _ := f.Value(key)
	switch list := v.(type) {
	case []uint8:
		return asUints(list)
	case []int8:
		return asUints(list)
	case []uint16:
		return asUints(list)
	case []int16:
		return asUints(list)
	case []uint32:
		return asUints(list)
	case []int32:
		return asUints(list)
	case []uint64:
		return asUints(list)
	case []int64:
		return asUints(list)
	case []bool:
		return asUints(list)
	}
	return nil, false
}

func asUints[T any](list []T) ([]uint64, bool) {
	out := make([]uint64, len(list))
	for i, x := range list {
		n, ok := asInt(x)
		if !ok || n < 0 {
			return nil, false
		}
		out[i] = uint64(n)
	}
	return out, true
}

func asInt(v any) (int64, bool) {
	switch x := v.(type) {
	case uint8:
		return int64(x), true
	case int8:
		return int64(x), true
	case uint16:
		return int64(x), true
	case int16:
		return int64(x), true
	case uint32:
		return int64(x), true
	case int32:
		return int64(x), true
	case uint64:
		return int64(x), x <= math.MaxInt64
	case int64:
		return x, true
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// Architecture is the model's architecture, such as llama; it is empty when the header does not say.
func (f *File) Architecture() string {
	s, _ := f.String("general.architecture")
	return s
}

// ArchUint returns the integer under the architecture's own prefix: "block_count" reads llama.block_count.
func (f *File) ArchUint(key string) (uint64, bool) { return f.Uint(f.Architecture() + "." + key) }

// Quantization names how the weights are stored: by general.file_type, else by the type with the most bytes.
func (f *File) Quantization() string {
	if n, ok := f.Uint("general.file_type"); ok && FileTypeName(n) != "" {
		return FileTypeName(n)
	}
	var bytes [len(layouts)]int64
	best := F32
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if bytes[t.Type] += t.Size(); bytes[t.Type] > bytes[best] {
			best = t.Type
		}
	}
	return best.String()
}
