package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Regular refuses what is there under a name and is no file: to open a pipe would wait for its other end, and a device
// never ends. What is not there is no error. The error has code core.CodeCorrupt.
func Regular(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode().IsRegular() {
		return nil //nolint:nilerr // opening it says what is wrong
	}
	what := "a device"
	switch mode := info.Mode(); {
	case mode.IsDir():
		what = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		what = "a pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	}
	return core.Errorf(core.CodeCorrupt, "%s is %s, not a file", path, what).WithHint("Move it away and start again.")
}

// Open opens a file for reading; see Regular.
func Open(path string) (*os.File, error) {
	if err := Regular(path); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// Read reads a whole file of at most limit bytes; a larger one is an error of code core.CodeTooLarge. See Regular.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, core.Errorf(core.CodeTooLarge, "%s is larger than %d bytes", path, limit)
	}
	return data, nil
}

// leftoverAge is how old a temporary file must be to count as left by a process that was killed: another process of
// this user may be writing one now.
const leftoverAge = time.Minute

// Clean removes the temporary files of dir that killed processes left.
func Clean(dir string, now time.Time) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if !isTemporary(e) {
			continue
		}
		if info, look := e.Info(); look == nil && now.Sub(info.ModTime()) >= leftoverAge {
			if gone := os.Remove(filepath.Join(dir, e.Name())); !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
	}
	return err
}

// isTemporary tells whether Write made a file: a dot, the name, a dot, digits and the suffix.
func isTemporary(e fs.DirEntry) bool {
	name, ok := strings.CutSuffix(e.Name(), suffix)
	i := strings.LastIndexByte(name, '.')
	return ok && e.Type().IsRegular() && i > 1 && name[0] == '.' && i+1 < len(name) && strings.Trim(name[i+1:], "0123456789") == ""
}
