//go:build linux

package renderer_test

import "syscall"

// childrenPeak is the most memory that any process started here and ended had, in bytes.
func childrenPeak() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u) != nil {
		return 0
	}
	return int64(u.Maxrss) << 10 //nolint:unconvert // 32 bits on some systems
}
