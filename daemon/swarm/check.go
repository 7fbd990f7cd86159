package swarm

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/multiformats/go-multistream"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Check looks whether peers still answer and closes the connections on which they do not, so that they are dialled
// again. It returns at once. Whoever misses a peer calls it.
func (s *Swarm) Check(peers ...core.PeerID) {
	t, err := s.session()
	if err != nil {
		return
	}
	for _, name := range peers {
		if id, err := peerOf(name); err == nil {
			t.note(t.doubted, id)
		}
	}
}

// check closes the connections of a peer on which no answer comes in time, and tells whether there was one. Each is
// asked by itself, for libp2p sends what is new over the one that is busiest, which may be the dead one of a peer that
// is back on another.
func (t *session) check(ctx context.Context, id peer.ID, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var asked sync.WaitGroup
	var dead atomic.Bool
	for _, c := range t.host.Network().ConnsToPeer(id) {
		asked.Go(func() {
			if !silent(ctx, c) || t.ctx.Err() != nil {
				return
			}
			dead.Store(true)
			t.log.Debug("connection is dead", "peer", id, "address", c.RemoteMultiaddr())
			if err := c.Close(); err != nil {
				t.log.Debug("close a connection", "peer", id, "err", err)
			}
		})
	}
	asked.Wait()
	return dead.Load()
}

// silent tells whether nothing came back on a connection until ctx ended. A refusal is a sign of life, and an error of
// this node says nothing.
func silent(ctx context.Context, c network.Conn) bool {
	s, err := c.NewStream(network.WithAllowLimitedConn(ctx, "shoal"))
	if err != nil {
		return errors.Is(ctx.Err(), context.DeadlineExceeded)
	}
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	defer s.Reset()
	if s.SetProtocol(ping.ID) != nil {
		return false
	}
	if multistream.SelectProtoOrFail(ping.ID, s) == nil {
		var sent, got [ping.PingSize]byte
		rand.Read(sent[:]) // never fails
		if _, err := s.Write(sent[:]); err == nil {
			if _, err := io.ReadFull(s, got[:]); err == nil {
				return false
			}
		}
	}
	return errors.Is(ctx.Err(), context.DeadlineExceeded)
}
