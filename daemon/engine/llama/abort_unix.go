//go:build !windows

package llama

import "github.com/ebitengine/purego"

// strlenAddress is the C library's strlen, see abortFlag.
func strlenAddress() (uintptr, error) { return purego.Dlsym(purego.RTLD_DEFAULT, "strlen") }
