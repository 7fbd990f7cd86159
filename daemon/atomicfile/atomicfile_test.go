package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestWriteReplacesWholeFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	for _, text := range []string{"a long first text", "short"} {
		if err := Write(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Fatalf("got %q, %v; want %q", got, err, text)
		}
	}
	if fi, _ := os.Stat(path); fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", fi.Mode().Perm())
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 1 {
		t.Errorf("temporary files stay behind: %v", left)
	}
}

func TestWriteFailureLeavesOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("x"), 0o600); err == nil {
		t.Fatal("a non-empty folder was replaced")
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 1 {
		t.Errorf("temporary files stay behind: %v", left)
	}
}

func TestReadIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for size, want := range map[int]core.Code{0: "", 10: "", 11: core.CodeTooLarge} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if data, err := Read(path, 10); core.CodeOf(err) != want || err == nil && len(data) != size {
			t.Errorf("%d bytes: %d, %v", size, len(data), err)
		}
	}
	if _, err := Read(filepath.Dir(path), 10); core.CodeOf(err) != core.CodeCorrupt || !strings.Contains(err.Error(), "a folder") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Read(path+"x", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

func TestCleanRemovesWhatKilledProcessesLeft(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	keep := []string{"key", ".key.tmp", "key.123.tmp", ".key.12a.tmp", ".tmp", "..tmp", ".x..tmp"}
	for _, name := range append([]string{".key.123.tmp", ".config.toml.bak.9.tmp"}, keep...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".dir.1.tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Clean(dir, now); err != nil { // another process may be writing them
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != len(keep)+3 {
		t.Errorf("at once %d are left, want %d", len(left), len(keep)+3)
	}
	if err := Clean(dir, now.Add(leftoverAge+time.Second)); err != nil {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(dir)
	if len(left) != len(keep)+1 {
		t.Errorf("later %v are left, want %v and a folder", left, keep)
	}
	if err := Clean(filepath.Join(dir, "none"), now); err != nil {
		t.Errorf("no folder: %v", err)
	}
}
