package runtime_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// archive is an npm package with the files of one flavour, and one file that is none of ours.
func archive(t *testing.T) []byte {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	tarball := tar.NewWriter(zip)
	for _, name := range []string{"bins/x/libllama.vulkan.v9.so", "bins/x/libggml.vulkan.v9.so", "bins/x/libggml-base.so", "bins/x/libllama-common.so", "bins/x/addon.node", "package.json"} {
		if err := tarball.WriteHeader(&tar.Header{Name: "package/" + name, Mode: 0o644, Size: int64(len(name))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tarball.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tarball.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// install runs install.sh with pins that name the archive's hash and an npm that delivers what is given.
func install(t *testing.T, pinned, delivered []byte) (cache, output string, err error) {
	t.Helper()
	dir := t.TempDir()
	cache = filepath.Join(dir, "cache")
	script, err := os.ReadFile("install.sh")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(pinned)
	for name, text := range map[string][]byte{
		"install.sh":  script,
		"pins.txt":    fmt.Appendf(nil, "# a comment\ntest-vulkan v9 @x/y 1.0.0 sha512-%s\n", base64.StdEncoding.EncodeToString(sum[:])),
		"package.tgz": delivered,
		"npm":         []byte("#!/bin/sh\ncp " + filepath.Join(dir, "package.tgz") + " .\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(dir, "install.sh"), "test-vulkan")
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "XDG_CACHE_HOME=" + cache}
	text, err := cmd.CombinedOutput()
	return cache, string(text), err
}

func TestInstall(t *testing.T) {
	good := archive(t)
	cache, output, err := install(t, good, good)
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	dir := filepath.Join(cache, "shoal", "runtime", "llama.cpp-v9-test-vulkan")
	if lines := strings.Fields(output); lines[len(lines)-1] != dir {
		t.Errorf("it printed %q, not %s", output, dir)
	}
	for name, want := range map[string]string{
		"libllama.so": "bins/x/libllama.vulkan.v9.so", "libggml.so": "bins/x/libggml.vulkan.v9.so", "libggml-base.so": "bins/x/libggml-base.so",
	} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 5 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

func TestInstallRefusesAnotherArchive(t *testing.T) {
	good := archive(t)
	cache, output, err := install(t, good, append(good[:len(good):len(good)], 0))
	if err == nil || !strings.Contains(output, "not the archive that pins.txt names") {
		t.Errorf("got %v: %s", err, output)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "shoal", "runtime", "*")); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "shoal", "runtime", ".*")); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

// TestPins holds the form of the real pins: a full SHA-512 each, and one version of llama.cpp per target.
func TestPins(t *testing.T) {
	text, err := os.ReadFile("pins.txt")
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		if len(fields) != 5 {
			t.Errorf("%q has %d fields, not 5", line, len(fields))
			continue
		}
		hash, ok := strings.CutPrefix(fields[4], "sha512-")
		if raw, err := base64.StdEncoding.DecodeString(hash); !ok || err != nil || len(raw) != sha512.Size {
			t.Errorf("%s: the integrity is no SHA-512: %v", fields[2], err)
		}
		if before, ok := versions[fields[0]]; ok && before != fields[1] {
			t.Errorf("%s has two versions of llama.cpp", fields[0])
		}
		versions[fields[0]] = fields[1]
	}
	if versions["linux-x64-cpu"] == "" || versions["linux-x64-vulkan"] != versions["linux-x64-cpu"] {
		t.Errorf("targets: %v", versions)
	}
}
