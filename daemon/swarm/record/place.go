package record

import (
	"crypto/ed25519"

	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// The bounds of what is said about where a node is.
const (
	maxPlaces  = 16  // addresses of one node
	maxAddress = 256 // bytes of one in its binary form; those of libp2p have about 50
)

// PlaceOf says where a member is.
func PlaceOf(member core.PeerID, addresses []string) (*Place, error) {
	key, err := KeyOf(member)
	if err != nil {
		return nil, err
	}
	return &Place{Member: key, Addresses: pack(addresses)}, nil
}

// OpenPlace reads where a member is said to be. The error has code CodeCorrupt.
func OpenPlace(p *Place) (member core.PeerID, addresses []string, err error) {
	if len(p.GetMember()) != ed25519.PublicKeySize {
		return member, nil, core.Errorf(core.CodeCorrupt, "addresses of nobody")
	}
	if member, err = PeerOf(p.Member); err != nil {
		return member, nil, err
	}
	addresses, err = unpack(p.Addresses)
	return member, addresses, err
}

// pack writes addresses; what is none is left out, and so is what is too many.
func pack(list []string) (out [][]byte) {
	for _, text := range list[:min(len(list), maxPlaces)] {
		if at, err := multiaddr.NewMultiaddr(text); err == nil && len(at.Bytes()) <= maxAddress {
			out = append(out, at.Bytes())
		}
	}
	return out
}

func unpack(list [][]byte) ([]string, error) {
	if len(list) > maxPlaces {
		return nil, core.Errorf(core.CodeCorrupt, "a node has %d addresses", len(list))
	}
	return each(list, func(b []byte) (string, error) {
		if len(b) > maxAddress {
			return "", core.Errorf(core.CodeCorrupt, "an address has %d bytes", len(b))
		}
		at, err := multiaddr.NewMultiaddrBytes(b)
		if err != nil {
			return "", core.Errorf(core.CodeCorrupt, "impossible address: %w", err)
		}
		return at.String(), nil
	})
}
