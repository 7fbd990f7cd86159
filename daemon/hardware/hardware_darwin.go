package hardware

import (
	"context"
	"runtime"

	"golang.org/x/sys/unix"
)

// detectGPUs reports the GPU of Apple silicon, which shares the PC's memory: Metal lets a program have about three
// quarters of it. Macs with an Intel processor have no GPU that Shoal uses.
func detectGPUs(context.Context) []GPU {
	if runtime.GOARCH != "arm64" {
		return nil
	}
	name, err := unix.Sysctl("machdep.cpu.brand_string")
	if err != nil {
		name = "Apple GPU"
	}
	total, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return nil
	}
	return []GPU{{Name: name, TotalBytes: int64(total / 4 * 3)}}
}

func limitMemory(total, free int64) (int64, int64) { return total, free }
