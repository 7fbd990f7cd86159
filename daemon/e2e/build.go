package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Build builds shoald and shoal-worker into a folder, from a package two folders below the root or deeper: root is the
// way up.
func Build(root, dir string) error {
	for name, source := range map[string]string{"shoald": "app/shoald", "shoal-worker": "app/worker"} {
		if runtime.GOOS == "windows" {
			name += ".exe"
		}
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), "./"+source)
		cmd.Dir = root
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", source, err, text)
		}
	}
	return nil
}

// Libraries is the folder where packaging/runtime/install.sh puts llama.cpp. The error says that nothing is there.
func Libraries() (string, error) {
	dir := os.Getenv("SHOAL_RUNTIME")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(cache, "shoal", "runtime", "llama.cpp-v0.5.0-linux-x64-cpu")
	}
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("no llama.cpp libraries in %s; packaging/runtime/install.sh puts them there", dir)
	}
	return dir, nil
}
