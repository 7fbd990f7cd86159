// Package access is how the programs of this PC reach the node: the API key, the place it is kept in, and the file
// that names the address.
package access

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/secret"
)

// Access is how a program on this PC reaches the node of a data folder.
type Access struct {
	URL   string // for example "http://127.0.0.1:8800"; empty when the folder names no running node
	Key   secret.Text
	Place string // where the key is kept: a path, or words for the keyring
}

// Of tells how to reach the node of a data folder, which may run in another process, and makes the API key if there is
// none. A node that was killed leaves its URL behind, so that nobody may answer there. getenv tells whether there is a
// keyring; nil is os.Getenv.
func Of(ctx context.Context, dataDir string, getenv func(string) string) (a Access, err error) {
	if err := MakeFolder(dataDir); err != nil {
		return a, err
	}
	id, err := identity.Open(filepath.Join(dataDir, identityFile))
	if err != nil {
		return a, err
	}
	if a.Key, a.Place, err = secret.APIKey(ctx, Vault(ctx, dataDir, getenv, id), dataDir); err != nil {
		return a, err
	}
	a.URL, err = readAddress(dataDir)
	return a, err
}

// Vault opens the place for secrets of a data folder: the keyring, or a file where there is none. getenv tells whether
// there is a keyring; nil is os.Getenv.
func Vault(ctx context.Context, dataDir string, getenv func(string) string, id *identity.Identity) secret.Vault {
	if getenv == nil {
		getenv = os.Getenv
	}
	return secret.Open(ctx, secret.Config{Dir: dataDir, Owner: id.NodeID()[:16], Getenv: getenv})
}

// Curl is a command that works as it stands and asks any model. It reads the key where it is kept, so that the key
// itself appears neither on a screen nor in a log; keyCommand is a command that prints it, for a key in the keyring.
func (a Access) Curl(keyCommand string) string {
	if filepath.IsAbs(a.Place) {
		keyCommand = "cat " + ShellWord(a.Place)
	}
	return "curl -sS " + a.URL + `/v1/chat/completions -H "Authorization: Bearer $(` + keyCommand + `)" ` +
		`-H "Content-Type: application/json" ` +
		`-d '{"model":"auto","temperature":0,"messages":[{"role":"user","content":"What is Shoal?"}]}'`
}

// ShellWord quotes a path for a POSIX shell where it must be.
func ShellWord(path string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+", r)
	}
	if path != "" && strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
