package main

import (
	"net"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// noScreenHint is what to do on a machine without a screen.
const noScreenHint = "On a machine without a screen run `shoald serve`; it is the same node without a window."

// checkDisplay tells in plain words that there is no screen to draw on, which Fyne would answer with a panic.
func checkDisplay(getenv func(string) string) error {
	switch runtime.GOOS {
	case "windows", "darwin":
		return nil
	}
	display := getenv("DISPLAY")
	if display == "" {
		return core.Errorf(core.CodeNotReady, "there is no display to open a window on (DISPLAY is not set)").WithHint(noScreenHint)
	}
	for _, address := range displayAddresses(display) {
		conn, err := net.DialTimeout(address.network, address.address, 3*time.Second)
		if err == nil {
			return conn.Close()
		}
	}
	return core.Errorf(core.CodeNotReady, "the display %s does not answer", display).WithHint(noScreenHint)
}

type displayAddress struct{ network, address string }

// displayAddresses are the places where the X server of a display such as ":0", "unix:1.0" or "host:10.0" may listen.
func displayAddresses(display string) []displayAddress {
	host, number, _ := strings.Cut(display, ":")
	number, _, _ = strings.Cut(number, ".")
	if host == "" || host == "unix" {
		socket := filepath.Join("/tmp/.X11-unix", "X"+number)
		return []displayAddress{{"unix", socket}, {"unix", "@" + socket}}
	}
	if filepath.IsAbs(host) { // some systems name the socket itself
		return []displayAddress{{"unix", display}, {"unix", host}}
	}
	n, err := strconv.ParseUint(number, 10, 15)
	if err != nil {
		return nil
	}
	return []displayAddress{{"tcp", net.JoinHostPort(host, strconv.FormatUint(6000+n, 10))}}
}
