package llama

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
	binding "github.com/hybridgroup/yzma/pkg/llama"
)

// threadPool is a ggml thread pool. Without one the library starts and ends its threads at every step.
type threadPool struct {
	handle uintptr
	drop   uintptr // ggml_threadpool_free
}

// newThreadPool makes a pool of so many threads. With parked, threads that wait for work sleep at once instead of
// spinning for a while on cores that somebody else needs. It is nil if the backend has no pools.
func (lib *library) newThreadPool(threads int, parked bool) *threadPool {
	reg := uintptr(binding.GGMLBackendDeviceBackendReg(binding.GGMLBackendDeviceByType(binding.GGMLBackendDeviceTypeCPU)))
	create, drop := lib.proc(reg, "ggml_threadpool_new"), lib.proc(reg, "ggml_threadpool_free")
	if create == 0 || drop == 0 {
		return nil
	}
	params := make([]byte, poolParamsSize)
	p, n := unsafe.Pointer(&params[0]), int32(threads)
	lib.poolInit.Call(nil, unsafe.Pointer(&p), unsafe.Pointer(&n))
	if parked {
		binary.NativeEndian.PutUint32(params[poolParamsPoll:], 0)
	}
	handle, _, _ := purego.SyscallN(create, uintptr(p))
	runtime.KeepAlive(params)
	if handle == 0 {
		return nil
	}
	return &threadPool{handle: handle, drop: drop}
}

func (p *threadPool) free() { purego.SyscallN(p.drop, p.handle) }

// physicalCores is how many cores this process may use, hyperthreads not counted.
func physicalCores() int {
	lists, _ := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/topology/thread_siblings_list")
	cores := map[string]bool{}
	for _, path := range lists {
		if siblings, err := os.ReadFile(path); err == nil {
			cores[string(siblings)] = true
		}
	}
	if len(cores) == 0 {
		return runtime.NumCPU()
	}
	return min(len(cores), runtime.NumCPU())
}
