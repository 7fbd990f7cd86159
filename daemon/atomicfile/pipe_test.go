//go:build !windows

package atomicfile

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// TestPipesAndDevicesAreNotRead: to open the one would wait for ever, and the other never ends.
func TestPipesAndDevicesAreNotRead(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{pipe: "a pipe", "/dev/zero": "a device"} {
		got := make(chan error, 1)
		go func() {
			_, err := Read(path, 10)
			got <- err
		}()
		select {
		case err := <-got:
			if core.CodeOf(err) != core.CodeCorrupt || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", path, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: it is being read", path)
		}
	}
}
