package gguf_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
)

// sample has a value of every type.
func sample() *gguf.File {
	f := &gguf.File{Version: 3, KVs: []gguf.KV{
		{"general.architecture", "llama"},
		{"general.file_type", uint32(15)},
		{"general.alignment", uint32(64)},
		{"llama.block_count", uint32(2)},
		{"a.u8", uint8(255)},
		{"a.i8", int8(-1)},
		{"a.u16", uint16(65535)},
		{"a.i16", int16(-2)},
		{"a.i32", int32(-3)},
		{"a.u64", uint64(math.MaxUint64)},
		{"a.i64", int64(-4)},
		{"a.f32", float32(0.5)},
		{"a.f64", math.Inf(-1)},
		{"a.yes", true},
		{"a.no", false},
		{"a.text", "grüße\x00\xff"},
		{"l.u8", []uint8{1, 2}},
		{"l.i8", []int8{-1}},
		{"l.u16", []uint16{3}},
		{"l.i16", []int16{-3}},
		{"l.u32", []uint32{4}},
		{"l.i32", []int32{-4, 5}},
		{"l.u64", []uint64{6}},
		{"l.i64", []int64{-6}},
		{"l.f32", []float32{1, 2, 3}},
		{"l.f64", []float64{}},
		{"l.bool", []bool{true, false}},
		{"tokenizer.ggml.tokens", []string{"", "a", "▁the", ""}},
	}, Tensors: []gguf.Tensor{
		{Name: "token_embd.weight", Dims: []int64{256, 4}, Type: gguf.Q4K},
		{Name: "blk.0.norm", Dims: []int64{7}, Type: gguf.F32},
		{Name: "scalar", Dims: []int64{}, Type: gguf.F16},
	}}
	f.Pack()
	return f
}

func marshal(t *testing.T, f *gguf.File) []byte {
	t.Helper()
	header, err := gguf.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return header
}

func TestRoundTrip(t *testing.T) {
	for _, version := range []uint32{2, 3} {
		f := sample()
		f.Version = version
		header := marshal(t, f)
		file := append(header, make([]byte, f.Pack())...)
		got, err := gguf.Read(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.KVs, f.KVs) || !reflect.DeepEqual(got.Tensors, f.Tensors) {
			t.Errorf("version %d: read %+v, wrote %+v", version, got, f)
		}
		if got.DataOffset != int64(len(header)) || got.HeaderSize > got.DataOffset || got.Alignment() != 64 {
			t.Errorf("data at %d of %d, alignment %d", got.DataOffset, len(header), got.Alignment())
		}
		if !bytes.Equal(marshal(t, got), header) {
			t.Error("writing what was read gives other bytes")
		}
	}
}

func TestGetters(t *testing.T) {
	f := sample()
	if n, ok := f.ArchUint("block_count"); !ok || n != 2 {
		t.Error("block_count", n, ok)
	}
	if _, ok := f.Uint("a.i8"); ok {
		t.Error("a negative number is not a Uint")
	}
	if n, ok := f.Int("a.i8"); !ok || n != -1 {
		t.Error("a.i8", n, ok)
	}
	if _, ok := f.Int("a.u64"); ok {
		t.Error("2^64-1 is not an Int")
	}
	if _, ok := f.Uints("l.i32"); ok {
		t.Error("negative entries are not Uints")
	}
	if list, ok := f.Uints("l.bool"); !ok || !reflect.DeepEqual(list, []uint64{1, 0}) {
		t.Error("l.bool", list, ok)
	}
	if x, ok := f.Float("a.f32"); !ok || x != 0.5 {
		t.Error("a.f32", x, ok)
	}
	if b, ok := f.Bool("a.yes"); !ok || !b {
		t.Error("a.yes", b, ok)
	}
	if _, ok := f.String("a.yes"); ok {
		t.Error("a.yes is no string")
	}
	if list, ok := f.Strings("tokenizer.ggml.tokens"); !ok || list[2] != "▁the" {
		t.Error("tokens", list, ok)
	}
	if q := f.Quantization(); q != "Q4_K_M" {
		t.Error("quantization", q)
	}
	f.Set("general.file_type", uint32(1024))
	if q := f.Quantization(); q != "Q4_K" {
		t.Error("guessed quantization", q)
	}
}

func TestTypeSizes(t *testing.T) {
	for _, c := range []struct {
		typ   gguf.Type
		bytes int64 // of 1,024 numbers
	}{{gguf.F32, 4096}, {gguf.BF16, 2048}, {gguf.Q8_0, 1088}, {gguf.Q4K, 576}, {gguf.Q6K, 840}, {gguf.MXFP4, 544}, {gguf.IQ4XS, 544}, {gguf.TQ1_0, 216}} {
		if got := c.typ.RowBytes(1024); got != c.bytes {
			t.Errorf("%s: 1024 numbers are %d bytes, want %d", c.typ, got, c.bytes)
		}
	}
	if gguf.Type(4).Known() || gguf.Type(43).Known() || gguf.Type(math.MaxUint32).Known() {
		t.Error("removed types are known")
	}
}

// raw builds headers that Marshal would refuse.
type raw struct{ bytes.Buffer }

func (r *raw) num(list ...any) *raw {
	for _, x := range list {
		if s, ok := x.(string); ok {
			_ = binary.Write(r, binary.LittleEndian, uint64(len(s)))
			r.WriteString(s)
			continue
		}
		_ = binary.Write(r, binary.LittleEndian, x)
	}
	return r
}

func start(tensors, kvs uint64) *raw {
	r := &raw{}
	r.WriteString("GGUF")
	return r.num(uint32(3), tensors, kvs)
}

func tensor(r *raw, name string, typ uint32, offset uint64, dims ...uint64) *raw {
	return r.num(name, uint32(len(dims)), dims, typ, offset)
}

func TestHostileHeaders(t *testing.T) {
	pad := make([]byte, 4096)
	cases := map[string]*raw{
		"empty":             {},
		"magic only":        {*bytes.NewBufferString("GGUF")},
		"other file":        {*bytes.NewBufferString("PK\x03\x04 not a model at all")},
		"version 1":         {*bytes.NewBufferString("GGUF\x01\x00\x00\x00" + string(pad))},
		"big endian":        {*bytes.NewBufferString("GGUF\x00\x00\x00\x03" + string(pad))},
		"many tensors":      start(1<<40, 0),
		"many kvs":          start(0, math.MaxUint64),
		"empty key":         start(0, 1).num("", uint32(0), uint8(1)),
		"huge key":          start(0, 1).num(uint64(1<<62), pad),
		"huge string":       start(0, 1).num("k", uint32(8), uint64(math.MaxUint64), pad),
		"huge array":        start(0, 1).num("k", uint32(9), uint32(0), uint64(1<<60), pad),
		"huge string array": start(0, 1).num("k", uint32(9), uint32(8), uint64(1<<61), pad),
		"nested array":      start(0, 1).num("k", uint32(9), uint32(9), uint64(1), uint32(0), uint64(1), pad),
		"value type 13":     start(0, 1).num("k", uint32(13), pad),
		"bool of 2":         start(0, 1).num("k", uint32(7), uint8(2), pad),
		"duplicate key":     start(0, 2).num("k", uint32(0), uint8(1), "k", uint32(0), uint8(1), pad),
		"alignment 0":       start(0, 1).num("general.alignment", uint32(4), uint32(0), pad),
		"alignment 48":      start(0, 1).num("general.alignment", uint32(4), uint32(48), pad),
		"alignment 2^31":    start(0, 1).num("general.alignment", uint32(4), uint32(1<<31), pad),
		"alignment u64":     start(0, 1).num("general.alignment", uint32(10), uint64(32), pad),
		"duplicate tensor":  tensor(tensor(start(2, 0), "a", 0, 0, 8), "a", 0, 32, 8).num(pad),
		"overlap":           tensor(tensor(start(2, 0), "a", 0, 0, 16), "b", 0, 32, 8).num(pad),
		"unaligned":         tensor(start(1, 0), "a", 0, 4, 8).num(pad),
		"past the end":      tensor(start(1, 0), "a", 0, 4096, 8).num(pad),
		"offset overflow":   tensor(start(1, 0), "a", 0, 1<<63-32, 8).num(pad),
		"negative offset":   tensor(start(1, 0), "a", 0, math.MaxUint64-31, 8).num(pad),
		"size overflow":     tensor(start(1, 0), "a", 0, 0, 1<<32, 1<<32).num(pad),
		"size wraps to 0":   tensor(start(1, 0), "a", 0, 0, 1<<32, 1<<32, 1<<32, 1<<32).num(pad),
		"negative dim":      tensor(start(1, 0), "a", 0, 0, math.MaxUint64).num(pad),
		"five dims":         tensor(start(1, 0), "a", 0, 0, 1, 1, 1, 1, 1).num(pad),
		"2^32-1 dims":       start(1, 0).num("a", uint32(math.MaxUint32), pad),
		"removed type":      tensor(start(1, 0), "a", 4, 0, 32).num(pad),
		"unknown type":      tensor(start(1, 0), "a", math.MaxUint32, 0, 32).num(pad),
		"half a block":      tensor(start(1, 0), "a", 12, 0, 128).num(pad),
		"long tensor name":  tensor(start(1, 0), strings.Repeat("x", 64), 0, 0, 8).num(pad),
	}
	for name, r := range cases {
		t.Run(name, func(t *testing.T) {
			checkBounded(t, r.Bytes())
			_, err := gguf.Read(bytes.NewReader(r.Bytes()), int64(r.Len()))
			if code := core.CodeOf(err); code != core.CodeCorrupt && code != core.CodeUnsupported {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTruncated(t *testing.T) {
	f := sample()
	file := append(marshal(t, f), make([]byte, f.Pack())...)
	last := f.Tensors[len(f.Tensors)-1]
	need := len(file) - int(f.Pack()) + int(last.Offset+last.Size())
	for n := range need {
		if _, err := gguf.Read(bytes.NewReader(file[:n]), int64(n)); err == nil {
			t.Fatalf("the first %d of %d bytes were accepted", n, need)
		}
		// The size may be a promise that the stream does not keep.
		if n < 1000 {
			if _, err := gguf.Read(bytes.NewReader(file[:n]), 1<<40); core.CodeOf(err) != core.CodeCorrupt {
				t.Fatalf("a stream of %d bytes gave %v", n, err)
			}
		}
	}
}

func TestReadErrorIsKept(t *testing.T) {
	broken := errors.New("disk on fire")
	r := io.MultiReader(bytes.NewReader(marshal(t, sample())[:50]), iotest(broken))
	if _, err := gguf.Read(r, 1<<20); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type iotestReader struct{ err error }

func (r iotestReader) Read([]byte) (int, error) { return 0, r.err }

func iotest(err error) io.Reader { return iotestReader{err} }

// TestPromiseTakesNoMemory gives a small stream that claims large arrays in a huge file.
func TestPromiseTakesNoMemory(t *testing.T) {
	r := start(0, 1).num("k", uint32(9), uint32(8), uint64(gguf.MaxStrings))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := gguf.Read(bytes.NewReader(r.Bytes()), 1<<40); err == nil {
		t.Fatal("accepted")
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("took %d bytes", got)
	}
}

func TestMarshalRefuses(t *testing.T) {
	for name, change := range map[string]func(*gguf.File){
		"type":      func(f *gguf.File) { f.Set("k", 1) },
		"empty key": func(f *gguf.File) { f.Set("", "x") },
		"twice":     func(f *gguf.File) { f.KVs = append(f.KVs, f.KVs[0]) },
		"overlap":   func(f *gguf.File) { f.Tensors[1].Offset = 0 },
		"version":   func(f *gguf.File) { f.Version = 4 },
	} {
		f := sample()
		if change(f); f != nil {
			if _, err := gguf.Marshal(f); err == nil {
				t.Errorf("%s: written", name)
			}
		}
	}
}

// checkBounded holds for every input: ≤ 64 MiB and ≤ 100 ms.
func checkBounded(t *testing.T, data []byte) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := gguf.Read(bytes.NewReader(data), int64(len(data)))
	runtime.ReadMemStats(&after)
	checkQuick(t, data)
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
		t.Errorf("%d bytes took %d bytes of memory", len(data), got)
	}
	if err != nil {
		return
	}
	header, err := gguf.Marshal(f)
	if err != nil {
		t.Fatalf("what was read cannot be written: %v", err)
	}
	if !bytes.Equal(header[:f.HeaderSize], data[:f.HeaderSize]) || int64(len(header)) != f.DataOffset {
		t.Error("writing what was read gives other bytes")
	}
}

// checkQuick reads small inputs several times: one slow run is the machine's fault, all of them are ours.
func checkQuick(t *testing.T, data []byte) {
	t.Helper()
	if len(data) > 1<<16 {
		return
	}
	best := time.Hour
	for try := 0; try < 5 && best > 100*time.Millisecond; try++ {
		began := time.Now()
		_, _ = gguf.Read(bytes.NewReader(data), int64(len(data)))
		best = min(best, time.Since(began))
	}
	if best > 100*time.Millisecond {
		t.Errorf("%d bytes took %v", len(data), best)
	}
}

func FuzzRead(f *testing.F) {
	header, err := gguf.Marshal(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(header)
	f.Add(append(header, make([]byte, 4096)...))
	for _, r := range []*raw{
		start(1<<40, 0), start(0, 1).num("k", uint32(9), uint32(9), uint64(1)),
		tensor(start(1, 0), "a", 12, 0, 256).num(make([]byte, 256)),
	} {
		f.Add(r.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) <= 1<<20 {
			checkBounded(t, data)
		}
	})
}

// shared finds real files outside the repository; none means that the test is skipped.
func shared(t *testing.T, pattern string) []string {
	dir := os.Getenv("SHOAL_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	list, _ := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
	if len(list) == 0 {
		t.Skip("no model files; set SHOAL_SHARED")
	}
	return list
}

func TestRealModels(t *testing.T) {
	for _, path := range shared(t, "models/*.gguf") {
		f := checkReal(t, path)
		if n, _ := f.ArchUint("block_count"); n == 0 || len(f.Tensors) == 0 {
			t.Errorf("%s: %q, %d layers, %d tensors", path, f.Architecture(), n, len(f.Tensors))
		}
	}
}

func TestRealVocabularies(t *testing.T) {
	for _, path := range shared(t, "vocabs/*.gguf") {
		f := checkReal(t, path)
		tokens, _ := f.Strings("tokenizer.ggml.tokens")
		if model, _ := f.String("tokenizer.ggml.model"); len(tokens) < 30_000 || model == "" || len(f.Tensors) > 0 {
			t.Errorf("%s: model %q, %d tokens, %d tensors", path, model, len(tokens), len(f.Tensors))
		}
	}
}

// checkReal reads a file, and then its header with bits flipped and cut short.
func checkReal(t *testing.T, path string) *gguf.File {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	checkBounded(t, data)
	f, err := gguf.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if f.Architecture() == "" {
		t.Errorf("%s has no architecture", path)
	}
	mutate(t, data[:min(int(f.DataOffset), len(data))])
	return f
}

// mutate flips bits all over a real header and ends it early.
func mutate(t *testing.T, header []byte) {
	times := max(5, min(400, 4_000_000/len(header)))
	for k := range times {
		at := k * len(header) / times
		bad := bytes.Clone(header)
		bad[at] ^= 1 << (k % 8)
		checkBounded(t, bad)
		checkBounded(t, header[:at])
	}
}

// BenchmarkRead reads a header with a vocabulary of 150,000 tokens.
func BenchmarkRead(b *testing.B) {
	f := sample()
	tokens := make([]string, 150_000)
	for i := range tokens {
		tokens[i] = strings.Repeat("t", 1+i%12)
	}
	f.Set("tokenizer.ggml.tokens", tokens)
	f.Set("tokenizer.ggml.merges", tokens)
	f.Set("tokenizer.ggml.scores", make([]float32, len(tokens)))
	f.Set("tokenizer.ggml.token_type", make([]int32, len(tokens)))
	header, err := gguf.Marshal(f)
	if err != nil {
		b.Fatal(err)
	}
	file := append(header, make([]byte, f.Pack())...)
	b.SetBytes(int64(len(header)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gguf.Read(bytes.NewReader(file), int64(len(file))); err != nil {
			b.Fatal(err)
		}
	}
}
