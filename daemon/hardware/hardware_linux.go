package hardware

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
)

func detectGPUs(ctx context.Context) []GPU {
	return append(nvidia(ctx), drm(os.DirFS("/sys/class/drm"))...)
}

// drm reads the cards the kernel knows. NVIDIA's are left to its own tool, which is asked only if it is there: a
// card without its driver cannot be used.
func drm(sys fs.FS) []GPU {
	cards, err := fs.Glob(sys, "card[0-9]*")
	if err != nil {
		return nil
	}
	var out []GPU
	for _, card := range cards {
		if strings.Contains(card, "-") { // card0-HDMI-A-1 is a socket of card0
			continue
		}
		vendor := text(sys, path.Join(card, "device/vendor"))
		name, ok := vendorName(vendor)
		if !ok {
			continue
		}
		if product := text(sys, path.Join(card, "device/product_name")); product != "" {
			name += " " + product
		}
		out = append(out, GPU{
			Name:       name,
			TotalBytes: number(sys, path.Join(card, "device/mem_info_vram_total")),
			UsedBytes:  number(sys, path.Join(card, "device/mem_info_vram_used")),
		})
	}
	return out
}

func vendorName(id string) (string, bool) {
	switch id {
	case "0x1002":
		return "AMD Radeon", true
	case "0x8086":
		return "Intel Graphics", true
	default: // NVIDIA too; the others are the screens of virtual machines
		return "", false
	}
}

func text(sys fs.FS, name string) string {
	b, err := fs.ReadFile(sys, name)
	if err != nil || len(b) > 4096 {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func number(sys fs.FS, name string) int64 {
	n, err := strconv.ParseInt(text(sys, name), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func limitMemory(total, free int64) (int64, int64) {
	return limitByGroup(os.DirFS("/sys/fs/cgroup"), total, free)
}

// limitByGroup lowers total and free memory to what the control group of a container allows.
func limitByGroup(group fs.FS, total, free int64) (int64, int64) {
	limit := number(group, "memory.max")
	if limit == 0 || limit >= total {
		return total, free
	}
	// Pages of files can be dropped, so they count as free.
	used := number(group, "memory.current")
	for line := range strings.Lines(text(group, "memory.stat")) {
		if rest, ok := strings.CutPrefix(line, "inactive_file "); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64); err == nil {
				used -= n
			}
		}
	}
	return limit, min(free, max(0, limit-max(0, used)))
}

// hideWindow does nothing: programs open no windows by themselves here.
func hideWindow(*exec.Cmd) {}
