package llama

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func folder(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		file, target, isLink := strings.Cut(name, " -> ")
		var err error
		if isLink {
			err = os.Symlink(target, filepath.Join(dir, file))
		} else {
			err = os.WriteFile(filepath.Join(dir, file), []byte(file), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindLibraries(t *testing.T) {
	for _, c := range []struct {
		names   string
		flavour string
		problem string
	}{
		{"libllama.so -> libllama.v0.5.0.so,libllama.v0.5.0.so,libggml.so -> libggml.v0.5.0.so,libggml.v0.5.0.so,libggml-base.so,libggml-cpu-x64.so", "cpu", ""},
		{"libllama.v0.5.0.so,libggml.v0.5.0.so,libggml-base.so,libggml-cpu-x64.so", "cpu", ""},
		{"libllama.vulkan.v0.5.0.so,libggml.vulkan.v0.5.0.so,libggml-base.so,libggml-vulkan.so", "vulkan", ""},
		{"llama.cuda.v0.5.0.dll,ggml.cuda.v0.5.0.dll,ggml-base.dll,ggml-cuda.dll,ggml-cpu-x64.dll", "cuda", ""},
		{"libllama.v0.5.0.dylib,libggml.v0.5.0.dylib,libggml-base.dylib,libggml-metal.so", "metal", ""},
		{"libllama.v0.9.1.so,libggml.v0.9.1.so,libggml-base.so", "", "v0.9.1"},
		{"libllama.so,libggml.so,libggml-base.so", "", "version"},
		{"libllama.v0.5.0.so,libggml.v0.5.0.so", "", "ggml-base"},
		{"libggml.v0.5.0.so,libggml-base.so", "", "llama"},
		{"readme.txt", "", "llama"},
	} {
		l, err := findLibraries(folder(t, strings.Split(c.names, ",")...))
		if c.problem == "" {
			if err != nil || l.flavour != c.flavour || l.version != "v0.5.0" {
				t.Errorf("%s: %+v, %v", c.names, l, err)
			}
			continue
		}
		if core.CodeOf(err) != core.CodeNoRuntime || !strings.Contains(err.Error(), c.problem) || err.(*core.Error).Hint == "" {
			t.Errorf("%s: got %v, want a word about %s", c.names, err, c.problem)
		}
	}
	if _, err := findLibraries(filepath.Join(t.TempDir(), "nowhere")); core.CodeOf(err) != core.CodeNoRuntime {
		t.Errorf("no folder: %v", err)
	}
}

func TestVersionedNamesGetPlainOnes(t *testing.T) {
	l, err := findLibraries(folder(t, "libllama.v0.5.0.so", "libggml.v0.5.0.so", "libggml-base.so", "libggml-cpu-x64.so"))
	if err != nil {
		t.Fatal(err)
	}
	dir, drop, err := l.plain()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{plainName("llama"), plainName("ggml"), plainName("ggml-base"), "libggml-cpu-x64.so", "libllama.v0.5.0.so"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	drop()
	if _, err := os.Stat(dir); err == nil {
		t.Error("the links are still there")
	}
	if _, err := os.Stat(filepath.Join(l.dir, "libllama.v0.5.0.so")); err != nil {
		t.Error("the libraries are gone")
	}
}

func TestLibrariesThatAreNone(t *testing.T) {
	e := New(Config{Dir: folder(t, "libllama.v0.5.0.so", "libggml.v0.5.0.so", "libggml-base.so")})
	if _, err := e.Info(t.Context()); core.CodeOf(err) != core.CodeNoRuntime {
		t.Errorf("text files as libraries: %v", err)
	}
}
