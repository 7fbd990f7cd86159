package hardware

import (
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/engine"
)

func TestSnapshotOfThisPC(t *testing.T) {
	region := "DE"
	m := New(Config{DataDir: t.TempDir(), Region: func() string { return region }})
	h := m.Snapshot(t.Context())
	if h.TotalRAMMB < 256 || h.UsedRAMMB < 1 || h.UsedRAMMB > h.TotalRAMMB {
		t.Errorf("RAM %d of %d MiB", h.UsedRAMMB, h.TotalRAMMB)
	}
	if h.TotalDiskMB < 1 || h.AvailableDiskMB > h.TotalDiskMB || h.ProcessRSSMB < 1 {
		t.Errorf("disk %d MiB, %d free; process %d MiB", h.TotalDiskMB, h.AvailableDiskMB, h.ProcessRSSMB)
	}
	if h.CPUName == "" || h.CPUCores < 1 || h.CPUCores != m.Cores() || h.OS == "" || h.Region != "DE" {
		t.Errorf("%+v", h)
	}
	if h.InferenceBackend != "none" {
		t.Errorf("backend %q without a runtime", h.InferenceBackend)
	}
}

func TestRuntimeDevicesAreTrusted(t *testing.T) {
	m := New(Config{DataDir: t.TempDir()})
	m.Snapshot(t.Context())
	m.SetRuntime(engine.RuntimeInfo{Flavour: "vulkan", Devices: []engine.Device{
		{Name: "CPU", TotalBytes: 64 << 30},
		{Name: "Vulkan0", Description: "small", GPU: true, TotalBytes: 2 << 30, FreeBytes: 1 << 30},
		{Name: "Vulkan1", Description: "large", GPU: true, TotalBytes: 8 << 30, FreeBytes: 5 << 30},
	}})
	h := m.Snapshot(t.Context())
	if !h.GPUInference || h.InferenceBackend != "vulkan" || h.GPUName != "large" || h.GPUVRAMMB != 8192 {
		t.Errorf("got %+v", h)
	}
	if h.GPUVRAMUsedMB != 3072 && len(detectGPUs(t.Context())) == 0 {
		t.Errorf("%d MiB in use, want 3072", h.GPUVRAMUsedMB)
	}
}

func TestCountryOfZone(t *testing.T) {
	const table = "# comment\nCH\t+4723+00832\tEurope/Zurich\tBusingen\nDE,DK,NO\t+5230+01322\tEurope/Berlin\n"
	for zone, want := range map[string]string{"Europe/Berlin": "DE", "Europe/Zurich": "CH", "Mars/Base": "", "": ""} {
		if got := countryOf(strings.NewReader(table), zone); got != want {
			t.Errorf("%q: %q, want %q", zone, got, want)
		}
	}
	for locale, want := range map[string]string{"de_AT.UTF-8": "AT", "pt-BR": "BR", "C.UTF-8": "", "": "", "en": ""} {
		if got := regionByLocale(locale); got != want {
			t.Errorf("%q: %q, want %q", locale, got, want)
		}
	}
}

// TestFreeMemory checks that what is free is what is there less what is used, and never less than nothing.
func TestFreeMemory(t *testing.T) {
	m := New(Config{DataDir: t.TempDir()})
	m.SetRuntime(engine.RuntimeInfo{Flavour: "cuda", Devices: []engine.Device{
		{Name: "CUDA0", GPU: true, TotalBytes: 8 << 30, FreeBytes: 9 << 30},
	}})
	h := m.Snapshot(t.Context())
	ram, vram := m.Free(t.Context())
	if ram != (h.TotalRAMMB-h.UsedRAMMB)*MiB || ram < 0 || vram < 0 {
		t.Errorf("%d bytes of RAM and %d of VRAM are free of %+v", ram, vram, h)
	}
	if h.GPUName != "CUDA0" {
		t.Errorf("a card without a description is called %q", h.GPUName)
	}
}

func TestLargestCardIsReported(t *testing.T) {
	cards := []GPU{{"none of its own", 0, 0}, {"small", 2 << 30, 0}, {"large", 8 << 30, 0}, {"as large", 8 << 30, 0}}
	if got := largest(cards); got.Name != "large" {
		t.Errorf("got %q", got.Name)
	}
	if got := largest(nil); got != (GPU{}) {
		t.Errorf("of none: %+v", got)
	}
}
