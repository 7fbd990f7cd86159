package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestFlags(t *testing.T) {
	o, err := parse([]string{"-hidden", "-listen", "127.0.0.1:0", "-runtime", "/lib", "a.gguf", "b.gguf"}, &strings.Builder{})
	if err != nil || !o.hidden || !slices.Equal(o.files, []string{"a.gguf", "b.gguf"}) {
		t.Errorf("options %+v, %v", o, err)
	}
	if want := map[string]string{"listen": "127.0.0.1:0", "runtime": "/lib"}; !maps.Equal(o.flags, want) {
		t.Errorf("settings %v, want %v", o.flags, want)
	}
}

func TestExitCodes(t *testing.T) {
	for args, want := range map[string]int{"-version": 0, "-help": 0, "-nonsense": 2} {
		var out, errOut strings.Builder
		if got := run([]string{args}, &out, &errOut); got != want {
			t.Errorf("%s ends with %d, want %d: %s", args, got, want, errOut.String())
		}
	}
}

func TestDataDirIsTheFlagThenTheVariable(t *testing.T) {
	t.Setenv("SHOAL_DATA_DIR", "/variable")
	if dir, err := dataDir(options{}); err != nil || dir != "/variable" {
		t.Errorf("%q, %v", dir, err)
	}
	if dir, err := dataDir(options{dataDir: "/flag"}); err != nil || dir != "/flag" {
		t.Errorf("%q, %v", dir, err)
	}
}
