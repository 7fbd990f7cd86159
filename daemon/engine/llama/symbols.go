package llama

import (
	"log/slog"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
	"github.com/hybridgroup/yzma/pkg/loader"
	"github.com/jupiterrider/ffi"
)

// Offsets in ggml's structs, fixed for the versions in files.go.
const (
	tensorShape    = 16  // int64 ne[4] of ggml_tensor
	tensorName     = 256 // char name[64]
	traitsToFloat  = 40  // function pointer of ggml_type_traits
	poolParamsSize = 544 // no less than sizeof(ggml_threadpool_params)
	poolParamsPoll = 520 // uint32 poll
)

// library is the loaded runtime: the functions the binding lacks.
type library struct {
	files *libraries
	lines *logLines

	tensorGet  ffi.Fun // void ggml_backend_tensor_get(tensor, data, offset, size)
	tensorSet  ffi.Fun // void ggml_backend_tensor_set(tensor, data, offset, size)
	tokenizeFn ffi.Fun // int32 llama_tokenize(vocab, text, text_len, tokens, n_max, add_special, parse_special)
	poolInit   ffi.Fun // void ggml_threadpool_params_init(params, n_threads)
	traits     ffi.Fun // const ggml_type_traits * ggml_get_type_traits(type)
	procOf     ffi.Fun // void * ggml_backend_reg_get_proc_address(reg, name)
	logSets    []ffi.Fun

	exports      exports
	evalOnce     sync.Once
	evalCallback uintptr
}

func loadSymbols(dir string) (*library, error) {
	lib := &library{}
	ptr, i32, u64, u8, void := &ffi.TypePointer, &ffi.TypeSint32, &ffi.TypeUint64, &ffi.TypeUint8, &ffi.TypeVoid
	var llamaLog, ggmlLog ffi.Fun
	for _, s := range []struct {
		fn   *ffi.Fun
		file string
		name string
		ret  *ffi.Type
		args []*ffi.Type
	}{
		{&lib.tensorGet, "ggml-base", "ggml_backend_tensor_get", void, []*ffi.Type{ptr, ptr, u64, u64}},
		{&lib.tensorSet, "ggml-base", "ggml_backend_tensor_set", void, []*ffi.Type{ptr, ptr, u64, u64}},
		{&lib.poolInit, "ggml-base", "ggml_threadpool_params_init", void, []*ffi.Type{ptr, i32}},
		{&lib.traits, "ggml-base", "ggml_get_type_traits", ptr, []*ffi.Type{i32}},
		{&lib.procOf, "ggml-base", "ggml_backend_reg_get_proc_address", ptr, []*ffi.Type{ptr, ptr}},
		{&ggmlLog, "ggml-base", "ggml_log_set", void, []*ffi.Type{ptr, ptr}},
		{&llamaLog, "llama", "llama_log_set", void, []*ffi.Type{ptr, ptr}},
		{&lib.tokenizeFn, "llama", "llama_tokenize", i32, []*ffi.Type{ptr, ptr, i32, ptr, i32, u8, u8}},
	} {
		file, err := loader.LoadLibrary(dir, s.file)
		if err == nil {
			*s.fn, err = file.Prep(s.name, s.ret, s.args...)
		}
		if err != nil {
			return nil, noRuntime("%s in %s: %w", s.name, plainName(s.file), err)
		}
	}
	lib.logSets = []ffi.Fun{llamaLog, ggmlLog}
	return lib, nil
}

// setLog takes over what the libraries print.
func (lib *library) setLog(log *slog.Logger) {
	lib.lines = &logLines{log: log}
	callback, none := purego.NewCallback(lib.lines.callback), uintptr(0)
	for _, set := range lib.logSets {
		set.Call(nil, unsafe.Pointer(&callback), unsafe.Pointer(&none))
	}
}

// proc is the address of a function that only the CPU backend has; 0 if it has none.
func (lib *library) proc(reg uintptr, name string) uintptr {
	text := append([]byte(name), 0)
	p := &text[0]
	var fn uintptr
	lib.procOf.Call(unsafe.Pointer(&fn), unsafe.Pointer(&reg), unsafe.Pointer(&p))
	return fn
}

// readTensor copies n floats of a tensor, wherever it is, to out.
func (lib *library) readTensor(tensor uintptr, out []float32) {
	p, offset, size := unsafe.Pointer(&out[0]), uint64(0), uint64(len(out))*4
	lib.tensorGet.Call(nil, unsafe.Pointer(&tensor), unsafe.Pointer(&p), unsafe.Pointer(&offset), unsafe.Pointer(&size))
}

// writeTensor overwrites a tensor's first floats.
func (lib *library) writeTensor(tensor uintptr, in []float32) {
	p, offset, size := unsafe.Pointer(&in[0]), uint64(0), uint64(len(in))*4
	lib.tensorSet.Call(nil, unsafe.Pointer(&tensor), unsafe.Pointer(&p), unsafe.Pointer(&offset), unsafe.Pointer(&size))
}
