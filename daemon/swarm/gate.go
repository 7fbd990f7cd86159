package swarm

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"golang.org/x/crypto/chacha20poly1305"
)

// networkKey is the secret that makes a swarm private.
type networkKey [32]byte

// derive makes a key for one purpose from the network key.
func (k networkKey) derive(purpose string) [32]byte {
	return sha256.Sum256(append([]byte("shoal "+purpose+" 1\n"), k[:]...))
}

// tag names the swarm in the open, for example in multicast DNS, without giving its key away.
func (k networkKey) tag() string {
	d := k.derive("tag")
	return hex.EncodeToString(d[:8])
}

// secureTCP is the Noise handshake with the network key in its prologue: with another key both ends compute other
// message keys and the handshake fails at the first sealed message.
func secureTCP(k networkKey) any {
	prologue := k.derive("noise")
	return func(id protocol.ID, private crypto.PrivKey, muxers []upgrader.StreamMuxer) (*noise.SessionTransport, error) {
		t, err := noise.New(id, private, muxers)
		if err != nil {
			return nil, err
		}
		return t.WithSessionOptions(noise.Prologue(prologue[:]))
	}
}

// sealedConn seals every datagram with the network key below QUIC. A datagram that does not open is dropped before
// QUIC sees it, so a stranger gets no answer at all.
type sealedConn struct {
	net.PacketConn
	aead    cipher.AEAD
	buffers sync.Pool // *[maxDatagram]byte
}

// maxDatagram is the most bytes of a datagram on the wire.
const maxDatagram = 2048

func sealPackets(k networkKey, inner net.PacketConn) (*sealedConn, error) {
	key := k.derive("datagram")
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return nil, err
	}
	c := &sealedConn{PacketConn: inner, aead: aead}
	c.buffers.New = func() any { return new([maxDatagram]byte) }
	return c, nil
}

// ReadFrom returns the next datagram that opens.
func (c *sealedConn) ReadFrom(p []byte) (int, net.Addr, error) {
	buf := c.buffers.Get().(*[maxDatagram]byte)
	defer c.buffers.Put(buf)
	for {
		n, from, err := c.PacketConn.ReadFrom(buf[:])
		if err != nil {
			return 0, from, err
		}
		if plain, ok := c.open(buf[:n]); ok && len(plain) <= len(p) {
			return copy(p, plain), from, nil
		}
	}
}

func (c *sealedConn) open(sealed []byte) ([]byte, bool) {
	if len(sealed) < c.aead.NonceSize()+c.aead.Overhead() {
		return nil, false
	}
	nonce, body := sealed[:c.aead.NonceSize()], sealed[c.aead.NonceSize():]
	plain, err := c.aead.Open(body[:0], nonce, body, nil)
	return plain, err == nil
}

// WriteTo seals p and sends it.
func (c *sealedConn) WriteTo(p []byte, to net.Addr) (int, error) {
	buf := c.buffers.Get().(*[maxDatagram]byte)
	defer c.buffers.Put(buf)
	nonce := buf[:c.aead.NonceSize()]
	rand.Read(nonce) // never fails
	if _, err := c.PacketConn.WriteTo(c.aead.Seal(nonce, nonce, p, nil), to); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetReadBuffer passes on what QUIC asks for.
func (c *sealedConn) SetReadBuffer(bytes int) error {
	if inner, ok := c.PacketConn.(interface{ SetReadBuffer(int) error }); ok {
		return inner.SetReadBuffer(bytes)
	}
	return nil
}

// SetWriteBuffer passes on what QUIC asks for.
func (c *sealedConn) SetWriteBuffer(bytes int) error {
	if inner, ok := c.PacketConn.(interface{ SetWriteBuffer(int) error }); ok {
		return inner.SetWriteBuffer(bytes)
	}
	return nil
}
