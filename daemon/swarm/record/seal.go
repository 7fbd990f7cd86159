package record

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/identity"
)

// A network key sealed to members is a list of entries, one for each: 16 bytes that name the member and the key, which
// ChaCha20-Poly1305 seals with what X25519 makes of the member's key and one that lives for this list only.
const (
	tagSize   = 16
	entrySize = tagSize + 32 + chacha20poly1305.Overhead
	maxSealed = 1000 * entrySize
)

// tag names a member in a list of sealed keys.
func tag(member core.PeerID) [tagSize]byte {
	sum := sha256.Sum256([]byte("shoal sealed key tag 1\n" + member.String()))
	return [tagSize]byte(sum[:])
}

// sealTo seals a key to members, in the order of their tags, and returns the public half of the key made for it.
func sealTo(key [32]byte, members []core.PeerID) (ephemeral, sealed []byte, err error) {
	once, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, core.Errorf(core.CodeInternal, "make a key: %w", err)
	}
	for _, m := range members {
		public, err := KeyOf(m)
		if err != nil {
			return nil, nil, err
		}
		to, err := ecdh.X25519().NewPublicKey(montgomery(public))
		if err != nil {
			return nil, nil, core.Errorf(core.CodeInvalidRequest, "the key of %s: %w", m, err)
		}
		shared, err := once.ECDH(to)
		if err != nil {
			return nil, nil, core.Errorf(core.CodeInvalidRequest, "the key of %s: %w", m, err)
		}
		name := tag(m)
		aead, err := sealer(shared, once.PublicKey().Bytes())
		if err != nil {
			return nil, nil, err
		}
		sealed = append(sealed, name[:]...)
		sealed = aead.Seal(sealed, make([]byte, aead.NonceSize()), key[:], name[:])
	}
	return once.PublicKey().Bytes(), sealed, nil
}

// unseal opens the entry of a member; it is false when there is none that opens.
func unseal(self *identity.Identity, name core.PeerID, ephemeral, sealed []byte) (key [32]byte, ok bool) {
	mine := tag(name)
	for entry := range slices.Chunk(sealed, entrySize) {
		if len(entry) != entrySize || [tagSize]byte(entry[:tagSize]) != mine {
			continue
		}
		shared, err := self.Shared(ephemeral)
		if err != nil {
			return key, false
		}
		aead, err := sealer(shared, ephemeral)
		if err != nil {
			return key, false
		}
		plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), entry[tagSize:], mine[:])
		if err != nil || len(plain) != len(key) {
			return key, false
		}
		return [32]byte(plain), true
	}
	return key, false
}

func sealer(shared, ephemeral []byte) (interface {
	NonceSize() int
	Seal(dst, nonce, plain, data []byte) []byte
	Open(dst, nonce, sealed, data []byte) ([]byte, error)
}, error,
) {
	key := sha256.Sum256(slices.Concat([]byte("shoal sealed key 1\n"), ephemeral, shared))
	aead, err := chacha20poly1305.New(key[:])
	if err != nil {
		return nil, core.Errorf(core.CodeInternal, "seal a key: %w", err)
	}
	return aead, nil
}

// montgomery turns an Ed25519 public key into the X25519 key of the same pair: u = (1+y)/(1-y).
func montgomery(public []byte) []byte {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	bytes := slices.Clone(public)
	bytes[31] &= 0x7f // the sign of x
	slices.Reverse(bytes)
	y, one := new(big.Int).SetBytes(bytes), big.NewInt(1)
	inverse := new(big.Int).ModInverse(new(big.Int).Mod(new(big.Int).Sub(one, y), p), p)
	if inverse == nil { // y is 1: no key that anybody has
		return make([]byte, 32)
	}
	u := new(big.Int).Mul(new(big.Int).Add(one, y), inverse)
	out := u.Mod(u, p).FillBytes(make([]byte, 32))
	slices.Reverse(out)
	return out
}
