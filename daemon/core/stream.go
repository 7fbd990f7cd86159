package core

import (
	"context"
	"io"
	"time"
)

// Stream is an ordered, reliable, two-way line to a peer.
type Stream interface {
	io.ReadWriteCloser
	// CloseWrite tells the peer that nothing more comes; reading goes on.
	CloseWrite() error
	// Reset ends both directions at once and drops what is under way.
	Reset() error
	// SetReadDeadline ends reads that last longer with os.ErrDeadlineExceeded, as SetWriteDeadline does with writes.
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	// Peer is who is at the other end; the connection has proved it.
	Peer() PeerID
}

// Network opens streams to members of the swarm and takes theirs. It is safe for concurrent use.
type Network interface {
	Self() PeerID
	// Open starts a stream that speaks the protocol. The error has code CodeNotReady when the peer cannot be reached
	// and CodeUnsupported when it does not speak the protocol.
	Open(ctx context.Context, to PeerID, protocol string) (Stream, error)
	// Handle sets who takes the streams of a protocol; nil takes none. The handler runs in a goroutine of its own
	// and owns the stream.
	Handle(protocol string, handler func(Stream))
}
