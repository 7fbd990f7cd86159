//go:build !linux

package main

// trayShown tells whether the desktop shows tray icons; Windows and macOS always do.
func trayShown() bool { return true }

// sessionBus tells whether programs of this session can talk to each other at all.
func sessionBus() bool { return true }
