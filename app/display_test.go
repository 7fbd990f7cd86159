package main

import (
	"slices"
	"testing"
)

func TestDisplayAddresses(t *testing.T) {
	for display, want := range map[string][]displayAddress{
		":0":            {{"unix", "/tmp/.X11-unix/X0"}, {"unix", "@/tmp/.X11-unix/X0"}},
		":12.1":         {{"unix", "/tmp/.X11-unix/X12"}, {"unix", "@/tmp/.X11-unix/X12"}},
		"unix:3":        {{"unix", "/tmp/.X11-unix/X3"}, {"unix", "@/tmp/.X11-unix/X3"}},
		"far.away:10.0": {{"tcp", "far.away:6010"}},
		"far.away:x":    nil,
		"nonsense":      nil,
	} {
		if got := displayAddresses(display); !slices.Equal(got, want) {
			t.Errorf("display %q is at %v, want %v", display, got, want)
		}
	}
}

func TestDisplayThatDoesNotAnswer(t *testing.T) {
	err := checkDisplay(func(string) string { return ":59999" })
	if err == nil {
		t.Skip("this system needs no DISPLAY")
	}
}
