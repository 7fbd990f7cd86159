package renderer

import (
	"os"

	"golang.org/x/sys/unix"
)

// capMemory has the system end a process that maps more than limit bytes to write to, for when the PC is so busy that
// the process does not come to look at itself.
func capMemory(p *os.Process, limit uint64) {
	_ = unix.Prlimit(p.Pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: limit, Max: limit}, nil) // it still looks at itself
}
