// Package identity holds the key pair that makes this node itself: its name among peers and its signature.
package identity

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// pemType marks the key file; its body is the 32-byte Ed25519 seed.
const pemType = "SHOAL IDENTITY SEED"

// maxKeyFile bounds what is read of the key file.
const maxKeyFile = 4096

// Identity is an Ed25519 key pair. Its private half is never printed.
type Identity struct{ key ed25519.PrivateKey }

// Open reads the key file at path, or makes a new key there, readable by the owner only. A damaged file is an error
// of code CodeCorrupt and is left as it is: a new key would be a new node.
func Open(path string) (*Identity, error) {
	data, err := atomicfile.Read(path, maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return create(path)
	}
	if err != nil && core.CodeOf(err) != core.CodeTooLarge {
		return nil, fmt.Errorf("identity: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemType || len(block.Bytes) != ed25519.SeedSize {
		return nil, core.Errorf(core.CodeCorrupt, "identity: %s is not a key file", path).
			WithHint("Put back a copy of the file, or move it away to become a new node.")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return &Identity{ed25519.NewKeyFromSeed(block.Bytes)}, nil
}

func create(path string) (*Identity, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: key.Seed()})
	if err := atomicfile.Write(path, text, 0o600); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return &Identity{key}, nil
}

// NodeID names the node: its public key in 64 hexadecimal digits.
func (i *Identity) NodeID() string { return hex.EncodeToString(i.Public()) }

// Public returns the public key.
func (i *Identity) Public() ed25519.PublicKey { return i.key.Public().(ed25519.PublicKey) }

// Private returns the private key, for the one library that must hold it: the swarm's secure channels.
func (i *Identity) Private() ed25519.PrivateKey { return i.key }

// Sign signs message.
func (i *Identity) Sign(message []byte) []byte { return ed25519.Sign(i.key, message) }

// Shared is the secret that X25519 makes of this key pair and another's public key of 32 bytes.
func (i *Identity) Shared(public []byte) ([]byte, error) {
	half := sha512.Sum512(i.key.Seed()) // its first half is the scalar of the Ed25519 key, and X25519 clamps it alike
	own, err := ecdh.X25519().NewPrivateKey(half[:32])
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	other, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	secret, err := own.ECDH(other)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return secret, nil
}

// String returns the node's id, so that printing an Identity never shows its key.
func (i *Identity) String() string { return i.NodeID() }

// Verify tells whether signature is the one of message by the node with that id.
func Verify(nodeID string, message, signature []byte) bool {
	key, err := hex.DecodeString(nodeID)
	return err == nil && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, signature)
}
