// Package runtime finds llama.cpp's libraries, starts workers on them and watches whether they are there.
package runtime

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Find returns the folder of the llama.cpp libraries: the one that is set, else the first of these that has
// them: beside the program, in the data folder, in the cache where packaging/runtime/install.sh puts them.
func Find(set, dataDir string) (string, error) {
	if set != "" {
		return set, nil // the worker says what is wrong with it, if anything is
	}
	var places []string
	if self, err := os.Executable(); err == nil {
		beside := filepath.Dir(self)
		places = append(places, beside, filepath.Join(beside, "runtime"), filepath.Join(beside, "..", "lib", "shoal"))
	}
	places = append(places, filepath.Join(dataDir, "runtime"))
	if cache, err := os.UserCacheDir(); err == nil {
		places = append(places, filepath.Join(cache, "shoal", "runtime"))
	}
	for _, place := range places {
		for _, dir := range append([]string{place}, subfolders(place)...) {
			if hasLibraries(dir) {
				return dir, nil
			}
		}
	}
	return "", core.Errorf(core.CodeNoRuntime, "no llama.cpp libraries in %s", strings.Join(places, ", ")).
		WithHint("Install them (make run does), or name their folder with --runtime.")
}

// subfolders are the folders in dir that may hold libraries: GPU flavours first, then the newest version.
func subfolders(dir string) []string {
	found, err := filepath.Glob(filepath.Join(dir, "llama.cpp-*"))
	if err != nil {
		return nil
	}
	slices.Sort(found)
	slices.Reverse(found)
	slices.SortStableFunc(found, func(a, b string) int { return flavourRank(a) - flavourRank(b) })
	return found
}

func flavourRank(dir string) int {
	for i, flavour := range []string{"cuda", "metal", "vulkan"} {
		if strings.Contains(filepath.Base(dir), flavour) {
			return i
		}
	}
	return 3
}

// hasLibraries tells whether llama.cpp's main library is in dir.
func hasLibraries(dir string) bool {
	pattern := "libllama.*"
	if runtime.GOOS == "windows" {
		pattern = "*llama*.dll"
	}
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	return err == nil && len(found) > 0
}
