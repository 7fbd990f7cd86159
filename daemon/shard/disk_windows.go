package shard

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// freeSpace is how many bytes this user may still write to the disk that holds dir.
func freeSpace(dir string) (int64, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	err = windows.GetDiskFreeSpaceEx(path, &free, nil, nil)
	return int64(min(free, 1<<62)), err
}

// syncDir makes names in dir durable; Windows has no such call and does not need it.
func syncDir(string) error { return nil }

// fsctlSetSparse is FSCTL_SET_SPARSE.
const fsctlSetSparse = 0x900C4

// makeSparse lets f have holes.
func makeSparse(f *os.File) error {
	var n uint32
	return windows.DeviceIoControl(windows.Handle(f.Fd()), fsctlSetSparse, nil, 0, nil, 0, &n, nil)
}

func isDiskFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}
