package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideVar tells a program that it runs in the laboratory already.
const insideVar = "SHOAL_NETNS"

// Inside tells whether this program runs in the laboratory.
func Inside() bool { return os.Getenv(insideVar) != "" }

// Run starts this program once more, with the same arguments and some more, in a laboratory of its own, and returns its
// exit code. The error says why this PC has no laboratory.
func Run(more ...string) (exitCode int, err error) {
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			return 0, fmt.Errorf("network namespaces need the command %s: %w", tool, err)
		}
	}
	runtime.LockOSThread() // the laboratory ends with the thread that made it
	defer runtime.UnlockOSThread()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	if text, err := again(self, "probe").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("network namespaces are not allowed here: %w: %s", err, text)
	}
	cmd := again(self, "inside", more...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.ExitCode(), nil
	}
	return 0, err
}

// again is this program with the namespaces of the laboratory.
func again(self, as string, more ...string) *exec.Cmd {
	cmd := exec.Command(self, slices.Concat(os.Args[1:], more)...)
	cmd.Env = append(os.Environ(), insideVar+"="+as)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// SetUp prepares the laboratory that this program runs in. A program that only probes whether there can be one ends
// here.
func SetUp() error {
	if err := setUp(); err != nil {
		return err
	}
	if os.Getenv(insideVar) == "probe" {
		os.Exit(0)
	}
	return nil
}

func setUp() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("none", "/run", "tmpfs", 0, "mode=755"); err != nil { // ip keeps its namespaces there
		return fmt.Errorf("mount /run: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil { // of the processes in the laboratory
		return fmt.Errorf("mount /proc: %w", err)
	}
	probe, err := New("probe")
	if err != nil {
		return err
	}
	other, err := New("other")
	if err != nil {
		return err
	}
	w, err := NewWire(probe, "eth0", other, "eth0")
	if err != nil {
		return err
	}
	return errors.Join(probe.NAT("eth0", false), w.Close(), probe.Close(), other.Close())
}
