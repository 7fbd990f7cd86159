// Package hardware tells what this PC has (GPU, memory, disk, processor, country), how much of it is free, and how
// much memory a model needs.
package hardware

import (
	"context"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/process"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/engine"
)

// MiB is 2^20 bytes, the unit of admin.Hardware.
const MiB = 1 << 20

// fresh is how long a measurement is good for.
const fresh = time.Second

// GPU is a graphics card. Sizes are in bytes; 0 is unknown.
type GPU struct {
	Name       string
	TotalBytes int64
	UsedBytes  int64
}

// Config says what to watch.
type Config struct {
	DataDir string        // whose disk is reported
	Region  func() string // the country set by the user, or ""; nil is none set
}

// Monitor measures the PC and remembers the answer for a second. It is safe for concurrent use.
type Monitor struct {
	cfg Config

	once  sync.Once // guards name, cores, zone
	name  string
	cores int
	zone  string

	mu      sync.Mutex // guards all below; held while measuring
	runtime engine.RuntimeInfo
	last    admin.Hardware
	taken   time.Time
	gpus    []GPU
	gpusAt  time.Time
}

// New makes a Monitor. Nothing is measured before the first question.
func New(cfg Config) *Monitor { return &Monitor{cfg: cfg} }

// SetRuntime tells which devices the inference runtime sees; they are trusted above what the system says.
func (m *Monitor) SetRuntime(info engine.RuntimeInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runtime = info
	m.taken = time.Time{}
}

// Snapshot returns what the PC has and how much is in use, at most a second old.
func (m *Monitor) Snapshot(ctx context.Context) admin.Hardware {
	m.once.Do(m.measureOnce)
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.taken) < fresh {
		return m.last
	}
	h := admin.Hardware{CPUName: m.name, CPUCores: m.cores, OS: runtime.GOOS, Region: m.region()}
	m.memory(ctx, &h)
	m.disk(ctx, &h)
	m.graphics(ctx, &h)
	m.last, m.taken = h, time.Now()
	return h
}

// Cores is the number of physical cores, at least 1.
func (m *Monitor) Cores() int {
	m.once.Do(m.measureOnce)
	return m.cores
}

// Free returns how much RAM and VRAM is free, in bytes.
func (m *Monitor) Free(ctx context.Context) (ram, vram int64) {
	h := m.Snapshot(ctx)
	return (h.TotalRAMMB - h.UsedRAMMB) * MiB, max(0, h.GPUVRAMMB-h.GPUVRAMUsedMB) * MiB
}

func (m *Monitor) measureOnce() {
	if infos, err := cpu.Info(); err == nil && len(infos) > 0 {
		m.name = strings.Join(strings.Fields(infos[0].ModelName), " ")
	}
	if m.name == "" {
		m.name = runtime.GOARCH
	}
	physical, err := cpu.Counts(false)
	if err != nil || physical < 1 {
		physical = runtime.NumCPU()
	}
	// A container may be given fewer processors than the machine has cores.
	m.cores = max(1, min(physical, runtime.NumCPU()))
	m.zone = detectRegion()
}

func (m *Monitor) region() string {
	if m.cfg.Region != nil {
		if r := m.cfg.Region(); r != "" {
			return r
		}
	}
	return m.zone
}

func (m *Monitor) memory(ctx context.Context, h *admin.Hardware) {
	if v, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		total, free := limitMemory(int64(v.Total), int64(v.Available))
		h.TotalRAMMB = total / MiB
		h.UsedRAMMB = (total - free) / MiB
	}
	if p, err := process.NewProcessWithContext(ctx, int32(os.Getpid())); err == nil {
		if info, err := p.MemoryInfoWithContext(ctx); err == nil {
			h.ProcessRSSMB = int64(info.RSS) / MiB
		}
	}
}

func (m *Monitor) disk(ctx context.Context, h *admin.Hardware) {
	if u, err := disk.UsageWithContext(ctx, m.cfg.DataDir); err == nil {
		h.TotalDiskMB = int64(u.Total) / MiB
		h.AvailableDiskMB = int64(u.Free) / MiB
		h.UsedDiskMB = int64(u.Used) / MiB
	}
}

// gpuFresh is how long the list of cards is good for; asking a driver's tool takes a process.
const gpuFresh = 10 * time.Second

// graphics reports the card with the most memory, by the runtime's word if it uses one. The mutex is held.
func (m *Monitor) graphics(ctx context.Context, h *admin.Hardware) {
	if time.Since(m.gpusAt) > gpuFresh {
		m.gpus, m.gpusAt = detectGPUs(ctx), time.Now()
	}
	best := largest(m.gpus)
	h.InferenceBackend = m.runtime.Flavour
	if m.runtime.Flavour == "" {
		h.InferenceBackend = "none"
	}
	var seen []GPU
	for _, d := range m.runtime.Devices {
		if d.GPU {
			seen = append(seen, GPU{deviceName(d), d.TotalBytes, d.TotalBytes - d.FreeBytes})
		}
	}
	if len(seen) > 0 {
		h.GPUInference = true
		byRuntime := largest(seen)
		// The runtime told its free memory when it started; the system's figure is of now.
		if best.TotalBytes > 0 {
			byRuntime.UsedBytes = best.UsedBytes
		}
		best = byRuntime
	}
	h.GPUName, h.GPUVRAMMB, h.GPUVRAMUsedMB = best.Name, best.TotalBytes/MiB, best.UsedBytes/MiB
}

func deviceName(d engine.Device) string {
	if d.Description != "" {
		return d.Description
	}
	return d.Name
}

func largest(gpus []GPU) GPU {
	var best GPU
	for _, g := range gpus {
		if best.Name == "" || g.TotalBytes > best.TotalBytes {
			best = g
		}
	}
	return best
}
