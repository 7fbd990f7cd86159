// Package secret keeps what must not be read by others: in the keyring of the operating system, and where there is
// none (a server, a locked keyring) in files that only the owner can read.
package secret

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// ErrNotFound says that there is no secret of that name.
var ErrNotFound = errors.New("secret not found")

// Vault keeps secrets by name. It is safe for concurrent use.
type Vault interface {
	Get(ctx context.Context, name string) (Text, error) // ErrNotFound when there is none
	Set(ctx context.Context, name string, value Text) error
	Delete(ctx context.Context, name string) error // deleting what is not there is no error
	// Place says in words where secrets are, for the log and the screen.
	Place() string
}

// Config says where secrets may be kept.
type Config struct {
	Dir     string        // folder for files; it must exist
	Owner   string        // tells the secrets of several nodes of one user apart
	Timeout time.Duration // longest wait for the keyring, which may wait for a person; 0 is 5 s
	Getenv  func(string) string
}

// Open returns the keyring if it works, else a file encrypted with a key that only the owner can read.
func Open(ctx context.Context, cfg Config) Vault {
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if keyringPossible(cfg.Getenv) {
		k := &keyringVault{service: "shoal", owner: cfg.Owner, timeout: cfg.Timeout}
		if k.probe(ctx) == nil {
			return k
		}
	}
	return openFile(cfg.Dir)
}

// apiKeyName is the name of the API key in the keyring; apiKeyFile is the file that holds it elsewhere.
const (
	apiKeyName = "api_key"
	apiKeyFile = "api_key"
)

// APIKey returns the node's API key and where it is kept, and makes a new key at the first start. A key in the file
// dir/api_key wins, so that an operator can set one; without it the key is in the keyring if v is one, else it is put
// in that file.
func APIKey(ctx context.Context, v Vault, dir string) (key Text, place string, err error) {
	path := filepath.Join(dir, apiKeyFile)
	key, err = readKeyFile(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return key, path, err
	}
	if _, ok := v.(*keyringVault); !ok {
		key = Random()
		return key, path, atomicfile.Write(path, []byte(key.Reveal()+"\n"), 0o600)
	}
	key, err = v.Get(ctx, apiKeyName)
	if errors.Is(err, ErrNotFound) {
		key = Random()
		err = v.Set(ctx, apiKeyName, key)
	}
	return key, v.Place(), err
}

// minKey is the fewest characters of an API key set by hand, and maxKey the most bytes of its file.
const (
	minKey = 16
	maxKey = 4096
)

func readKeyFile(path string) (Text, error) {
	data, err := atomicfile.Read(path, maxKey)
	if err != nil {
		return Text{}, fmt.Errorf("api key: %w", err)
	}
	key := strings.TrimSpace(strings.TrimPrefix(string(data), "\ufeff")) // editors on Windows write a mark in front
	if len(key) < minKey || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Text{}, core.Errorf(core.CodeInvalidRequest, "api key: %s must hold %d or more printable characters", path, minKey).
			WithHint("Delete the file to get a new key.")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return Text{}, fmt.Errorf("api key: %w", err)
	}
	return NewText(key), nil
}
