package hardware

import (
	"slices"
	"testing"
	"testing/fstest"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func TestDRM(t *testing.T) {
	sys := fstest.MapFS{
		"card0/device/vendor":              file("0x1002\n"),
		"card0/device/product_name":        file("RX 7800 XT\n"),
		"card0/device/mem_info_vram_total": file("17163091968\n"),
		"card0/device/mem_info_vram_used":  file("1048576\n"),
		"card0-HDMI-A-1/device/vendor":     file("0x1002\n"),
		"card1/device/vendor":              file("0x8086\n"),
		"card2/device/vendor":              file("0x10de\n"),
		"card3/device/vendor":              file("0x1af4\n"),
		"card4/device/vendor":              file(""),
		"version":                          file("drm 1.1.0"),
	}
	want := []GPU{{"AMD Radeon RX 7800 XT", 17163091968, MiB}, {"Intel Graphics", 0, 0}}
	if got := drm(sys); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := drm(fstest.MapFS{}); len(got) != 0 {
		t.Errorf("without cards: %+v", got)
	}
}

func TestParseNvidia(t *testing.T) {
	got := parseNvidia("NVIDIA GeForce RTX 4090, 24564, 1532\nbroken\nNVIDIA X, [N/A], 3\nNVIDIA T4, 15360, 0\n")
	want := []GPU{{"NVIDIA GeForce RTX 4090", 24564 * MiB, 1532 * MiB}, {"NVIDIA T4", 15360 * MiB, 0}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestMemoryOfAContainer(t *testing.T) {
	group := fstest.MapFS{
		"memory.max":     file("1000\n"),
		"memory.current": file("600\n"),
		"memory.stat":    file("anon 300\ninactive_file 250\n"),
	}
	if total, free := limitByGroup(group, 9000, 8000); total != 1000 || free != 650 {
		t.Errorf("total %d, free %d; want 1000 and 650", total, free)
	}
	group["memory.max"] = file("max\n")
	if total, free := limitByGroup(group, 9000, 8000); total != 9000 || free != 8000 {
		t.Errorf("without a limit: total %d, free %d", total, free)
	}
}
