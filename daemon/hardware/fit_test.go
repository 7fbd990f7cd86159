package hardware

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

// header writes the header alone of a model of 1.1 billion weights, and returns its path and the model's size.
func header(t testing.TB) (path string, size int64) {
	t.Helper()
	m, err := gguftest.New(gguftest.Bench())
	if err != nil {
		t.Fatal(err)
	}
	data := m.File.Pack()
	head, err := gguf.Marshal(m.File)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "gguf_header.bin")
	if err := os.WriteFile(path, head, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, int64(len(head)) + data
}

func TestFitOfAOneBillionModel(t *testing.T) {
	path, size := header(t)
	f, err := ReadFit(path, size)
	if err != nil {
		t.Fatal(err)
	}
	if f.Layers() != 22 {
		t.Errorf("%d layers, want 22", f.Layers())
	}
	at := func(context, gpu int) Use {
		use, err := f.At(Load{Context: context, Sequences: 8, BatchRows: 512, GPULayers: gpu})
		if err != nil {
			t.Fatal(err)
		}
		return use
	}
	cpu := at(4096, 0)
	if cpu.VRAM != 0 || cpu.RAM < size || cpu.RAM > size*3/2 {
		t.Errorf("on the CPU %d MiB of RAM and %d of VRAM, want a little over %d and none", cpu.RAM/MiB, cpu.VRAM/MiB, size/MiB)
	}
	// 22 layers x 4 heads x 64 x 2 (key, value) x 2 bytes.
	if grown, want := at(8192, 0).RAM-cpu.RAM, int64(4096*22*4*64*2*2); grown < want || grown > 2*want {
		t.Errorf("4096 more tokens take %d bytes, want about %d", grown, want)
	}
	all, half := at(4096, 99), at(4096, 11)
	if all.VRAM < size*8/10 || all.RAM > size/2 || half.VRAM >= all.VRAM || half.VRAM < size/4 {
		t.Errorf("VRAM of all layers %d MiB, of half %d MiB; RAM beside %d MiB", all.VRAM/MiB, half.VRAM/MiB, all.RAM/MiB)
	}
}

func TestFitKeepsItsEstimates(t *testing.T) {
	path, size := header(t)
	f, err := ReadFit(path, size)
	if err != nil {
		t.Fatal(err)
	}
	for tokens := 1; tokens <= 2*maxKnown; tokens++ {
		l := Load{Context: 16 * tokens, Sequences: 2, BatchRows: 512}
		first, err := f.At(l)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := f.At(l); again != first || err != nil || f.known[l] != first || len(f.known) > maxKnown {
			t.Fatalf("%v, %v, then %v; %d are kept", first, err, again, len(f.known))
		}
	}
}

func BenchmarkEstimate(b *testing.B) {
	path, size := header(b)
	f, err := ReadFit(path, size)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := f.estimate(Load{Context: 4096, Sequences: 2, BatchRows: 512}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestFitLeavesNoFiles(t *testing.T) {
	path, size := header(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	if _, err := ReadFit(path, size); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("GGUF nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFit(path, size); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("nonsense: %v, want corrupt", err)
	}
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
