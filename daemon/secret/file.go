package secret

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Files of a fileVault. The key is beside the box: this guards against a copy of the one file (a backup, an upload,
// a support bundle), not against somebody who can read the owner's files.
const (
	boxFile = "secrets.box"
	keyFile = "secrets.key"
	maxBox  = 4 << 20
)

// fileVault is a JSON object of secrets sealed with XChaCha20-Poly1305: 24 bytes of nonce, then the box. Neither file
// is there before there is a secret.
type fileVault struct {
	dir string
	mu  sync.Mutex // held while a file is read or replaced
}

func openFile(dir string) *fileVault { return &fileVault{dir: dir} }

// key reads the key of the box; with create, it makes one if there is none.
func (v *fileVault) key(create bool) ([]byte, error) {
	path := filepath.Join(v.dir, keyFile)
	key, err := atomicfile.Read(path, chacha20poly1305.KeySize)
	if create && errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, chacha20poly1305.KeySize)
		rand.Read(key) // never fails: the program ends if the system has no randomness
		err = atomicfile.Write(path, key, 0o600)
	}
	if err != nil && core.CodeOf(err) != core.CodeTooLarge {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	if len(key) != chacha20poly1305.KeySize {
		return nil, core.Errorf(core.CodeCorrupt, "secrets: %s is damaged", path)
	}
	return key, nil
}

// Get implements Vault.
func (v *fileVault) Get(_ context.Context, name string) (Text, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	all, err := v.read()
	if err != nil {
		return Text{}, err
	}
	value, ok := all[name]
	if !ok {
		return Text{}, ErrNotFound
	}
	return NewText(value), nil
}

// Set implements Vault.
func (v *fileVault) Set(_ context.Context, name string, value Text) error {
	return v.change(func(all map[string]string) { all[name] = value.Reveal() })
}

// Delete implements Vault.
func (v *fileVault) Delete(_ context.Context, name string) error {
	return v.change(func(all map[string]string) { delete(all, name) })
}

// Place implements Vault.
func (v *fileVault) Place() string {
	return filepath.Join(v.dir, boxFile) + " (there is no keyring here)"
}

func (v *fileVault) change(fn func(map[string]string)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	all, err := v.read()
	if err != nil {
		return err
	}
	fn(all)
	plain, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	key, err := v.key(true)
	if err != nil {
		return err
	}
	box, err := seal(key, plain)
	if err != nil {
		return err
	}
	if len(box) > maxBox {
		return core.Errorf(core.CodeTooLarge, "secrets: more than %d bytes", maxBox)
	}
	return atomicfile.Write(filepath.Join(v.dir, boxFile), box, 0o600)
}

func (v *fileVault) read() (map[string]string, error) {
	box, err := atomicfile.Read(filepath.Join(v.dir, boxFile), maxBox)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	key, err := v.key(false)
	if err != nil {
		return nil, err
	}
	plain, err := unseal(key, box)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	if err := json.Unmarshal(plain, &all); err != nil {
		return nil, core.Errorf(core.CodeCorrupt, "secrets: the box holds no JSON object")
	}
	return all, nil
}

func seal(key, plain []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, nil), nil
}

func unseal(key, box []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	if len(box) < aead.NonceSize() || len(box) > maxBox {
		return nil, core.Errorf(core.CodeCorrupt, "secrets: the box is damaged")
	}
	plain, err := aead.Open(nil, box[:aead.NonceSize()], box[aead.NonceSize():], nil)
	if err != nil {
		return nil, core.Errorf(core.CodeCorrupt, "secrets: the box is damaged, or is of another key")
	}
	return plain, nil
}
