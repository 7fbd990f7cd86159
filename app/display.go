package main

import (
	"runtime"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// checkDisplay tells in plain words that there is no screen to draw on, which Fyne would answer with a panic.
func checkDisplay(getenv func(string) string) error {
	switch runtime.GOOS {
	case "windows", "darwin":
		return nil
	}
	if getenv("DISPLAY") == "" {
		return core.Errorf(core.CodeNotReady, "there is no display to open a window on (DISPLAY is not set)").
			WithHint("On a machine without a screen run `shoald serve`; it is the same node without a window.")
	}
	return nil
}
