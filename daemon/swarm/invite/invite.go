// Package invite writes and reads invite codes: swarm:// and the base64url of a sealed message. The key that seals
// the message stands in front of it, so the seal keeps addresses out of sight and finds every damage, but whoever has
// the code can open it: an invite is to be treated like a password until it is used.
package invite

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
	"google.golang.org/protobuf/proto"

	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/swarm/record"
)

// Scheme starts every invite code.
const Scheme = "swarm://"

// The bounds of a code.
const (
	maxCode      = 8 << 10
	maxAddresses = 16 // of the issuer, and as many anchors
	idSize       = 16
)

// Secret is what proves that somebody was given an invite.
type Secret [16]byte

// Hash is what the issuer keeps of a secret.
func (s Secret) Hash() []byte {
	h := sha256.Sum256(append([]byte("shoal invite 1\n"), s[:]...))
	return h[:]
}

// Invite is what a code holds.
type Invite struct {
	Network    record.Network // name of the swarm; the zero value is the one made of the key
	NetworkKey [32]byte
	Founder    core.PeerID           // who made the network
	Issuer     core.PeerID           // who wrote the invite and lets its finder in
	Addresses  []multiaddr.Multiaddr // of the issuer
	Anchors    []multiaddr.Multiaddr // each ends in the anchor's peer id
	ID         string                // 32 hexadecimal digits
	Secret     Secret
	Expires    time.Time // whole seconds
}

// NewID makes the id and the secret of an invite.
func NewID() (string, Secret) {
	var id, secret [idSize]byte
	rand.Read(id[:]) // never fails
	rand.Read(secret[:])
	return hex.EncodeToString(id[:]), secret
}

// Encode writes the code of an invite.
func Encode(i Invite) (string, error) {
	body := &record.InviteBody{NetworkKey: i.NetworkKey[:], Secret: i.Secret[:], Expires: i.Expires.Unix()}
	if i.Network != record.NetworkOf(i.NetworkKey, i.Founder) && i.Network != (record.Network{}) {
		body.Network = i.Network[:]
	}
	var err error
	if body.Id, err = hex.DecodeString(i.ID); err != nil {
		return "", core.Errorf(core.CodeInternal, "invite id: %w", err)
	}
	if body.Founder, err = record.KeyOf(i.Founder); err != nil {
		return "", err
	}
	if body.Issuer, err = record.KeyOf(i.Issuer); err != nil {
		return "", err
	}
	body.Addresses, body.Anchors = pack(i.Addresses), pack(i.Anchors)
	plain, err := proto.Marshal(body)
	if err != nil {
		return "", core.Errorf(core.CodeInternal, "encode an invite: %w", err)
	}
	return seal(plain)
}

func pack(list []multiaddr.Multiaddr) [][]byte {
	var out [][]byte
	for _, a := range list[:min(len(list), maxAddresses)] {
		out = append(out, a.Bytes())
	}
	return out
}

func seal(plain []byte) (string, error) {
	head := make([]byte, chacha20poly1305.KeySize+chacha20poly1305.NonceSize)
	rand.Read(head)
	aead, err := chacha20poly1305.New(head[:chacha20poly1305.KeySize])
	if err != nil {
		return "", core.Errorf(core.CodeInternal, "seal an invite: %w", err)
	}
	sealed := aead.Seal(head, head[chacha20poly1305.KeySize:], plain, []byte(Scheme))
	return Scheme + base64.RawURLEncoding.EncodeToString(sealed), nil
}

// Decode reads a code. The error has code CodeInvalidRequest for a text that is no code, and CodeCorrupt for a code
// that lost or changed characters.
func Decode(code string) (Invite, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(code), Scheme)
	if !ok || len(text) > maxCode {
		return Invite{}, core.Errorf(core.CodeInvalidRequest, "that is not an invite code: one starts with %s", Scheme)
	}
	i, err := open(strings.Join(strings.Fields(text), "")) // mail programs break long lines
	if err != nil {
		return Invite{}, core.Errorf(core.CodeCorrupt, "the invite code is damaged: characters are missing or changed").
			WithHint("Copy the whole code again, from " + Scheme + " to its end.")
	}
	return i, nil
}

var errDamaged = errors.New("damaged invite")

func open(text string) (Invite, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	const head = chacha20poly1305.KeySize + chacha20poly1305.NonceSize
	if err != nil || len(data) < head {
		return Invite{}, errDamaged
	}
	aead, err := chacha20poly1305.New(data[:chacha20poly1305.KeySize])
	if err != nil {
		return Invite{}, err
	}
	plain, err := aead.Open(nil, data[chacha20poly1305.KeySize:head], data[head:], []byte(Scheme))
	if err != nil {
		return Invite{}, err
	}
	var body record.InviteBody
	if err := proto.Unmarshal(plain, &body); err != nil {
		return Invite{}, err
	}
	return read(&body)
}

// read checks every part of an opened code.
func read(body *record.InviteBody) (i Invite, err error) {
	if len(body.NetworkKey) != len(i.NetworkKey) || len(body.Secret) != len(i.Secret) || len(body.Id) != idSize {
		return Invite{}, errDamaged
	}
	i = Invite{NetworkKey: [32]byte(body.NetworkKey), Secret: Secret(body.Secret), ID: hex.EncodeToString(body.Id)}
	i.Expires = time.Unix(body.Expires, 0)
	if i.Founder, err = record.PeerOf(body.Founder); err != nil {
		return Invite{}, err
	}
	switch len(body.Network) {
	case 0:
	case len(i.Network):
		i.Network = record.Network(body.Network)
	default:
		return Invite{}, errDamaged
	}
	if i.Issuer, err = record.PeerOf(body.Issuer); err != nil {
		return Invite{}, err
	}
	if i.Addresses, err = unpack(body.Addresses); err != nil {
		return Invite{}, err
	}
	i.Anchors, err = unpack(body.Anchors)
	return i, err
}

func unpack(list [][]byte) ([]multiaddr.Multiaddr, error) {
	if len(list) > maxAddresses {
		return nil, errDamaged
	}
	var out []multiaddr.Multiaddr
	for _, b := range list {
		a, err := multiaddr.NewMultiaddrBytes(b)
		if err != nil || len(a) == 0 {
			return nil, errDamaged
		}
		out = append(out, a)
	}
	return out, nil
}
