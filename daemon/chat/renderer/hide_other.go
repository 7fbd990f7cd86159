//go:build !windows

package renderer

import "os/exec"

// hide does nothing: only Windows opens a window for a program without one.
func hide(*exec.Cmd) {}
