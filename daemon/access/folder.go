package access

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// identityFile is in every data folder that a node has had open.
const identityFile = "identity.key"

// MakeFolder makes a data folder, or closes one that is there to everybody but its owner: it holds keys and what others
// may not read. A folder that is shared, or that has other things in it and never was a data folder, keeps its rights.
func MakeFolder(dir string) error {
	forbidden := func(err error) error {
		return core.Errorf(core.CodeForbidden, "make the data folder: %w", err).WithHint("Choose another with --data-dir.")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return forbidden(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return forbidden(err)
	}
	if info.Mode().Perm()&0o077 == 0 || info.Mode()&fs.ModeSticky != 0 || !ours(dir) {
		return nil
	}
	if err := os.Chmod(dir, 0o700); err != nil && !errors.Is(err, fs.ErrPermission) { // another's folder that we may write
		return forbidden(err)
	}
	return nil
}

// ours tells whether a folder is a data folder, or empty.
func ours(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, identityFile)); err == nil {
		return true
	}
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) == 0
}
