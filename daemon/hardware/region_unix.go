//go:build !windows

package hardware

import "os"

func detectRegion() string {
	if r := regionByZone(); r != "" {
		return r
	}
	for _, name := range []string{"LC_ALL", "LC_TIME", "LANG"} {
		if r := regionByLocale(os.Getenv(name)); r != "" {
			return r
		}
	}
	return unknownRegion
}
