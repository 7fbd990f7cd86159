//go:build !windows

package access

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFolderIsClosedToOthers by what was in it before.
func TestFolderIsClosedToOthers(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		mode  os.FileMode
		want  os.FileMode
	}{
		"new":               {nil, 0, 0o700},
		"empty":             {nil, 0o755, 0o700},
		"a data folder":     {[]string{identityFile, "x"}, 0o755, 0o700},
		"closed already":    {[]string{identityFile}, 0o500, 0o500},
		"somebody's":        {[]string{"x"}, 0o755, 0o755},
		"shared with a bit": {[]string{identityFile}, 0o777 | os.ModeSticky, 0o777},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		if c.mode != 0 {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			for _, f := range c.files {
				if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(dir, c.mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := MakeFolder(dir); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != c.want {
			t.Errorf("%s: %v, %v; want %o", name, info.Mode(), err, c.want)
		}
	}
}
