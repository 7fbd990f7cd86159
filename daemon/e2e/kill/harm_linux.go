package kill

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/shoal-p2p/shoal/daemon/e2e"
)

// Kinds of harm.
const (
	KillNode   = "kill -9 node"
	KillWorker = "kill -9 worker"
	StopNode   = "stop node"
	StopWorker = "stop worker"
)

// hurt does harm of a kind to a node.
func hurt(n *e2e.Node, kind string) error {
	switch kind {
	case KillNode:
		n.Kill()
		return nil
	case StopNode:
		return syscall.Kill(n.PID(), syscall.SIGSTOP)
	case KillWorker:
		return signalWorkers(n, syscall.SIGKILL)
	case StopWorker:
		return signalWorkers(n, syscall.SIGSTOP)
	}
	return fmt.Errorf("no harm of kind %q", kind)
}

// heal takes harm back, as far as the node cannot do so itself.
func heal(n *e2e.Node, kind string) error {
	switch kind {
	case StopNode:
		return syscall.Kill(n.PID(), syscall.SIGCONT)
	case StopWorker:
		// The node may have ended the worker meanwhile.
		if err := signalWorkers(n, syscall.SIGCONT); err != nil && !errors.Is(err, errNoWorker) {
			return err
		}
	}
	return nil
}

var errNoWorker = errors.New("the node has no worker")

// signalWorkers sends a signal to the engine processes of a node.
func signalWorkers(n *e2e.Node, s syscall.Signal) error {
	list, err := children(n.PID())
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("%s: %w", n.Name, errNoWorker)
	}
	for _, pid := range list {
		if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// children are the processes that a process started.
func children(pid int) (list []int, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) { // a thread that has ended
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, word := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				return nil, err
			}
			list = append(list, child)
		}
	}
	return list, nil
}
