// Package record holds what nodes of a swarm tell each other about themselves and about who belongs: signed
// statements and their bounds. Everything decoded here comes from strangers.
package record

import (
	"crypto/ed25519"
	"crypto/sha256"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/identity"
)

// MaxSize is the most bytes of one signed statement; with what is around it it fits a control frame.
const MaxSize = 60 << 10

// Network tells one swarm from another in what is signed, without giving its key away.
type Network [32]byte

// NetworkOf derives the name of a swarm from its key and its founder.
func NetworkOf(key [32]byte, founder core.PeerID) Network {
	h := sha256.New()
	h.Write([]byte("shoal network 1\n"))
	h.Write(key[:])
	h.Write([]byte(founder.String()))
	return Network(h.Sum(nil))
}

// kind tells statements apart, so that none passes for another.
type kind string

const (
	admission    kind = "shoal admission 1\n"
	announcement kind = "shoal announcement 1\n"
)

func signedText(k kind, net Network, payload []byte) []byte {
	text := append([]byte(k), net[:]...)
	return append(text, payload...)
}

func sign(key *identity.Identity, k kind, net Network, body proto.Message) (*Signed, error) {
	payload, err := proto.Marshal(body)
	if err != nil {
		return nil, core.Errorf(core.CodeInternal, "encode a statement: %w", err)
	}
	if len(payload) > MaxSize {
		return nil, core.Errorf(core.CodeTooLarge, "statement has %d bytes", len(payload))
	}
	return &Signed{PublicKey: key.Public(), Payload: payload, Signature: key.Sign(signedText(k, net, payload))}, nil
}

// verify checks who signed s and reads it into body.
func verify(s *Signed, k kind, net Network, body proto.Message) (core.PeerID, error) {
	if len(s.GetPublicKey()) != ed25519.PublicKeySize || len(s.GetPayload()) > MaxSize ||
		!ed25519.Verify(s.PublicKey, signedText(k, net, s.Payload), s.GetSignature()) {
		return core.PeerID{}, core.Errorf(core.CodeCorrupt, "the signature of a statement is wrong")
	}
	if err := proto.Unmarshal(s.Payload, body); err != nil {
		return core.PeerID{}, core.Errorf(core.CodeCorrupt, "a signed statement cannot be read: %w", err)
	}
	return PeerOf(s.PublicKey)
}

// PeerOf names the peer that has an Ed25519 public key.
func PeerOf(public ed25519.PublicKey) (core.PeerID, error) {
	key, err := crypto.UnmarshalEd25519PublicKey(public)
	if err != nil {
		return core.PeerID{}, core.Errorf(core.CodeCorrupt, "public key: %w", err)
	}
	id, err := peer.IDFromPublicKey(key)
	if err != nil {
		return core.PeerID{}, core.Errorf(core.CodeCorrupt, "public key: %w", err)
	}
	return core.ParsePeerID(id.String())
}

// KeyOf is the public key inside a peer's name. The error has code CodeInvalidRequest.
func KeyOf(id core.PeerID) (ed25519.PublicKey, error) {
	p, err := peer.Decode(id.String())
	if err != nil {
		return nil, core.Errorf(core.CodeInvalidRequest, "peer id: %w", err)
	}
	key, err := p.ExtractPublicKey()
	if err != nil || key.Type() != crypto.Ed25519 {
		return nil, core.Errorf(core.CodeInvalidRequest, "peer id holds no Ed25519 key")
	}
	raw, err := key.Raw()
	if err != nil {
		return nil, core.Errorf(core.CodeInvalidRequest, "peer id: %w", err)
	}
	return raw, nil
}

// maxText is the most runes of a text that a stranger chose.
const maxText = 64

// Plain makes a stranger's text fit to show: at most 64 runes, nothing that controls a terminal or turns the writing
// direction.
func Plain(s string) string { return core.Plain(s, maxText) }
