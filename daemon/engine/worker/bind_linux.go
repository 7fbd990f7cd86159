package worker

import (
	"os/exec"
	"syscall"
)

// bind starts command so that the system ends it when the starting thread, and so this process, is gone.
func bind(command *exec.Cmd) (release func(), err error) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return func() {}, command.Start()
}
