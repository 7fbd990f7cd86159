package hardware

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// detectRegion asks Windows for the country the user chose.
func detectRegion() string {
	call := windows.NewLazySystemDLL("kernel32.dll").NewProc("GetUserDefaultGeoName")
	if call.Find() != nil {
		return unknownRegion
	}
	var name [8]uint16
	n, _, _ := call.Call(uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)))
	if region := windows.UTF16ToString(name[:]); n > 0 && len(region) == 2 {
		return region
	}
	return unknownRegion
}
