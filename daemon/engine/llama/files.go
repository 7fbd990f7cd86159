package llama

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// The llama.cpp releases whose structs the binding knows. Linux packages have the first, the other platforms'
// packages stop at the second.
const (
	wantedVersion = "v0.5.0"
	olderVersion  = "v0.4.0"
)

// noRuntimeHint is what the user can do about missing libraries.
const noRuntimeHint = "Install the llama.cpp libraries of release " + wantedVersion +
	" and name their folder with --runtime; `shoald doctor` shows where Shoal looks."

// libraries are the files of one llama.cpp package in a folder.
type libraries struct {
	dir     string
	version string
	flavour string            // "cpu", "vulkan", "cuda" or "metal"
	named   map[string]string // file for each of "llama", "ggml" and "ggml-base"
	all     []string          // every library in the folder
}

// libraryName splits libggml-cpu-haswell.so, libllama.vulkan.v0.5.0.so or llama.v0.4.0.dll.
var libraryName = regexp.MustCompile(`^(?:lib)?((?:ggml|llama)[a-z0-9_-]*)(?:\.(vulkan|cuda|metal))?(?:\.(v\d+\.\d+\.\d+))?\.(?:so|dll|dylib)$`)

// findLibraries looks at the names in dir. It loads nothing.
func findLibraries(dir string) (*libraries, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, noRuntime("llama.cpp libraries: %w", err)
	}
	l := &libraries{dir: dir, flavour: "cpu", named: map[string]string{}}
	for _, e := range entries {
		if m := libraryName.FindStringSubmatch(e.Name()); m != nil {
			l.add(e.Name(), m[1], m[2], m[3])
		}
	}
	return l, l.check()
}

func (l *libraries) add(file, name, flavour, version string) {
	l.all = append(l.all, file)
	if target, err := os.Readlink(filepath.Join(l.dir, file)); err == nil && version == "" {
		if m := libraryName.FindStringSubmatch(filepath.Base(target)); m != nil {
			flavour, version = m[2], m[3]
		}
	}
	if version != "" {
		l.version = version
	}
	backend, isBackend := strings.CutPrefix(name, "ggml-")
	switch {
	case isBackend && slices.Contains([]string{"vulkan", "cuda", "metal"}, backend):
		l.flavour = backend
	case flavour != "":
		l.flavour = flavour
	}
	switch name {
	case "llama", "ggml", "ggml-base":
		if old, ok := l.named[name]; !ok || len(file) < len(old) { // the plain name, where there are both
			l.named[name] = file
		}
	}
}

func (l *libraries) check() error {
	for _, name := range []string{"llama", "ggml", "ggml-base"} {
		if l.named[name] == "" {
			return noRuntime("no %s in %s", plainName(name), l.dir)
		}
	}
	allowed := []string{wantedVersion}
	if runtime.GOOS != "linux" {
		allowed = append(allowed, olderVersion)
	}
	if l.version == "" {
		return noRuntime("the names of the llama.cpp libraries in %s do not tell their version, want %s", l.dir, wantedVersion)
	}
	if !slices.Contains(allowed, l.version) {
		return noRuntime("the llama.cpp libraries in %s are %s, want %s", l.dir, l.version, wantedVersion)
	}
	return nil
}

// plain is a folder where the libraries have their plain names, which is how the binding asks for them: the
// folder itself, or a temporary one with a link to each. The caller calls drop once they are loaded.
func (l *libraries) plain() (dir string, drop func(), err error) {
	same := true
	for name, file := range l.named {
		same = same && file == plainName(name)
	}
	if same {
		return l.dir, func() {}, nil
	}
	dir, err = os.MkdirTemp("", "shoal-runtime-")
	if err != nil {
		return "", nil, noRuntime("folder for library links: %w", err)
	}
	drop = func() { _ = os.RemoveAll(dir) } // fails where loaded files cannot be removed; they are links
	for _, file := range l.all {
		err = link(filepath.Join(l.dir, file), filepath.Join(dir, file))
		if err != nil {
			break
		}
	}
	for name, file := range l.named {
		if err == nil && file != plainName(name) {
			err = link(filepath.Join(l.dir, file), filepath.Join(dir, plainName(name)))
		}
	}
	if err != nil {
		drop()
		return "", nil, noRuntime("link libraries: %w", err)
	}
	return dir, drop, nil
}

// link makes name another name of the file old, by whatever means the file system has.
func link(old, name string) error {
	if os.Link(old, name) == nil {
		return nil
	}
	if abs, err := filepath.Abs(old); err == nil && os.Symlink(abs, name) == nil {
		return nil
	}
	return copyFile(old, name)
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

// plainName is the file the binding asks for.
func plainName(name string) string {
	switch runtime.GOOS {
	case "windows":
		return name + ".dll"
	case "darwin":
		return "lib" + name + ".dylib"
	}
	return "lib" + name + ".so"
}

func noRuntime(format string, args ...any) error {
	return core.Errorf(core.CodeNoRuntime, format, args...).WithHint(noRuntimeHint)
}
