package hardware

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows/registry"
)

// displayClass is the registry key of all display adapters.
const displayClass = `SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}`

// detectGPUs lists the cards in the registry; for NVIDIA's its own tool also knows how much memory is in use.
func detectGPUs(ctx context.Context) []GPU {
	if gpus := nvidia(ctx); len(gpus) > 0 {
		return gpus
	}
	var out []GPU
	for i := range 16 {
		key, err := registry.OpenKey(registry.LOCAL_MACHINE, fmt.Sprintf(`%s\%04d`, displayClass, i), registry.QUERY_VALUE)
		if err != nil {
			continue
		}
		name, _, err := key.GetStringValue("DriverDesc")
		if err == nil {
			size, _, _ := key.GetIntegerValue("HardwareInformation.qwMemorySize")
			out = append(out, GPU{Name: name, TotalBytes: int64(size)})
		}
		key.Close()
	}
	return out
}

func limitMemory(total, free int64) (int64, int64) { return total, free }

// hideWindow keeps a console program from flashing up a window.
func hideWindow(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true} }
