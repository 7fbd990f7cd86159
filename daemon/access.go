package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/identity"
	"github.com/shoal-p2p/shoal/daemon/secret"
)

// Access is how a program on this PC reaches the node of a data folder.
type Access struct {
	URL   string // for example "http://127.0.0.1:8800"; empty when the folder names no running node
	Key   secret.Text
	Place string // where the key is kept: a path, or words for the keyring
}

// AccessOf tells how to reach the node of cfg.DataDir, which may run in another process, and makes the API key if
// there is none. A node that was killed leaves its URL behind, so that nobody may answer there.
func AccessOf(ctx context.Context, cfg Config) (a Access, err error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return a, core.Errorf(core.CodeForbidden, "make the data folder: %w", err).WithHint("Choose another with --data-dir.")
	}
	id, err := identity.Open(filepath.Join(cfg.DataDir, "identity.key"))
	if err != nil {
		return a, err
	}
	if a.Key, a.Place, err = apiKey(ctx, cfg, id); err != nil {
		return a, err
	}
	a.URL, err = readAddress(filepath.Join(cfg.DataDir, addressFile))
	return a, err
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

// apiKey opens the place for secrets and returns the API key and where it is.
func apiKey(ctx context.Context, cfg Config, id *identity.Identity) (secret.Text, string, error) {
	return secret.APIKey(ctx, openVault(ctx, cfg, id), cfg.DataDir)
}

// openVault opens the place for secrets.
func openVault(ctx context.Context, cfg Config, id *identity.Identity) secret.Vault {
	getenv := cfg.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	return secret.Open(ctx, secret.Config{Dir: cfg.DataDir, Owner: id.NodeID()[:16], Getenv: getenv})
}

// addressFile holds the URL of the running node's API, for the other programs of its user.
const addressFile = "address"

// announce writes the address file while the API listens.
func (n *Node) announce(ctx context.Context) error {
	select {
	case <-n.Started():
	case <-ctx.Done():
		return nil
	}
	path := n.path(addressFile)
	if err := atomicfile.Write(path, []byte(n.URL()+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the address: %w", err)
	}
	<-ctx.Done()
	return os.Remove(path)
}

// URL is where programs on this PC reach the API. It may be called after Started is closed.
func (n *Node) URL() string {
	address, ok := n.Addr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	host := address.IP.String()
	if address.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(address.Port))
}

func readAddress(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the address: %w", err)
	}
	address := strings.TrimSpace(string(text))
	u, err := url.Parse(address)
	if err == nil && u.Scheme == "http" && u.Host != "" {
		return address, nil
	}
	return "", nil // nobody but a node writes it, whole: a broken one is as good as none
}
