package llama

import "golang.org/x/sys/windows"

// strlenAddress is the C library's strlen, see abortFlag.
func strlenAddress() (uintptr, error) {
	proc := windows.NewLazySystemDLL("ucrtbase.dll").NewProc("strlen")
	if err := proc.Find(); err != nil {
		return 0, err
	}
	return proc.Addr(), nil
}
