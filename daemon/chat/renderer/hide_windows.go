package renderer

import (
	"os/exec"
	"syscall"
)

// hide keeps a console window from opening beside the program's own.
func hide(c *exec.Cmd) {
	const noWindow = 0x08000000 // CREATE_NO_WINDOW
	c.SysProcAttr = &syscall.SysProcAttr{CreationFlags: noWindow}
}
