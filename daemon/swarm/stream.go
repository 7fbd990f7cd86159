package swarm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// stream is a libp2p stream for the rest of Shoal.
type stream struct {
	network.Stream
	peer core.PeerID
}

// Peer implements core.Stream.
func (s stream) Peer() core.PeerID { return s.peer }

// Read implements core.Stream.
func (s stream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	return n, late(err)
}

// Write implements core.Stream.
func (s stream) Write(p []byte) (int, error) {
	n, err := s.Stream.Write(p)
	return n, late(err)
}

// late gives a deadline that is over the error that it has everywhere; over TCP libp2p has one of its own.
func late(err error) error {
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: %w", os.ErrDeadlineExceeded, err)
	}
	return err
}

// Open implements core.Network.
func (s *Swarm) Open(ctx context.Context, to core.PeerID, name string) (core.Stream, error) {
	t, err := s.session()
	if err != nil {
		return nil, err
	}
	return t.open(ctx, to, name)
}

func (t *session) open(ctx context.Context, to core.PeerID, name string) (core.Stream, error) {
	id, err := peerOf(to)
	if err != nil {
		return nil, err
	}
	if t.host.Network().Connectedness(id) == network.NotConnected {
		if err := t.call(ctx, id, to, true); err != nil {
			return nil, core.Errorf(core.CodeNotReady, "peer %s cannot be reached: %w", to, err)
		}
	}
	s, err := t.host.NewStream(network.WithAllowLimitedConn(ctx, "shoal"), id, protocol.ID(name))
	if _, ok := errors.AsType[multistream.ErrNotSupported[protocol.ID]](err); ok {
		return nil, core.Errorf(core.CodeUnsupported, "peer %s does not speak %s: %w", to, name, err)
	}
	if err != nil {
		return nil, core.Errorf(core.CodeNotReady, "peer %s cannot be reached: %w", to, err)
	}
	return stream{s, to}, nil
}

// Handle implements core.Network. Only streams of members are given to the handler.
func (s *Swarm) Handle(name string, handler func(core.Stream)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if handler == nil {
		delete(s.handlers, name)
	} else {
		s.handlers[name] = handler
	}
	if s.current != nil {
		s.current.handle(name, handler)
	}
}

func (t *session) handle(name string, handler func(core.Stream)) {
	if handler == nil {
		t.host.RemoveStreamHandler(protocol.ID(name))
		return
	}
	t.host.SetStreamHandler(protocol.ID(name), t.guard.wrap(func(s network.Stream) {
		id, err := nameOf(s.Conn().RemotePeer())
		if err != nil {
			s.Reset()
			return
		}
		handler(stream{s, id})
	}))
}
