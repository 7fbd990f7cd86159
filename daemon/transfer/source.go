package transfer

import (
	"context"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// Source is where pieces of a model come from: a peer, or a place that is not part of the swarm.
type Source interface {
	// Open starts a conversation, which ends with ctx.
	Open(ctx context.Context) (Session, error)
}

// Session is a conversation with a source, for one goroutine. Its errors have code core.CodeOverloaded when the
// source is busy, core.CodeNotFound when it does not have what was asked for, core.CodeCorrupt or
// core.CodeInvalidRequest when it cannot be trusted, and others when the line is bad.
type Session interface {
	// Manifest gets the signed manifest of a cut, unchecked.
	Manifest(model core.ModelID, manifest core.Digest) ([]byte, error)
	// Header gets the file's header, unchecked; it is at most of the size given.
	Header(model core.ModelID, manifest core.Digest, size int64) ([]byte, error)
	// Ask asks for chunks, which Next gives in order. It may be called again before all have come.
	Ask(model core.ModelID, manifest core.Digest, index, first, count int) error
	// Next gives the next chunk, unchecked. Its bytes are valid until the next call.
	Next() (Chunk, error)
	Close() error
}

// peerSource is a node that speaks the protocol.
type peerSource struct {
	network core.Network
	peer    core.PeerID
	down    *limit // nil for LAN peers
}

// Open implements Source.
func (p peerSource) Open(ctx context.Context) (Session, error) {
	dial, stop := context.WithTimeout(ctx, stallTime)
	defer stop()
	stream, err := p.network.Open(dial, p.peer, Protocol)
	if err != nil {
		return nil, err
	}
	s := &peerSession{stream: &patience{Stream: capped{stream, ctx, nil, p.down}}}
	s.in = wire.NewReader(s.stream, stallTime, maxChunkFrame)
	s.out = wire.NewWriter(stream, stallTime)
	s.stop = context.AfterFunc(ctx, func() { _ = stream.Reset() })
	return s, nil
}

// peerSession implements Session over a stream.
type peerSession struct {
	stream *patience
	in     *wire.Reader
	out    *wire.Writer
	stop   func() bool
}

// Close implements Session.
func (s *peerSession) Close() error {
	s.stop()
	return s.stream.Reset()
}

// timeFor is how long n bytes may take.
func timeFor(n int64) time.Duration {
	return stallTime + time.Duration(n)*time.Second/slowest
}

// Manifest implements Session.
func (s *peerSession) Manifest(model core.ModelID, manifest core.Digest) ([]byte, error) {
	return s.whole(kindManifest, model, manifest, shard.MaxManifest)
}

// Header implements Session.
func (s *peerSession) Header(model core.ModelID, manifest core.Digest, size int64) ([]byte, error) {
	return s.whole(kindHeader, model, manifest, min(size, gguf.MaxHeader+gguf.MaxAlignment))
}

func (s *peerSession) whole(kind wire.Kind, model core.ModelID, manifest core.Digest, most int64) ([]byte, error) {
	if err := s.out.Send(kind, &wire.ShardWhole{Model: model.String(), Manifest: manifest[:]}); err != nil {
		return nil, err
	}
	var size wire.ShardSize
	if err := s.control(kindSize, &size); err != nil {
		return nil, err
	}
	if size.Bytes > uint64(most) {
		return nil, core.Errorf(core.CodeInvalidRequest, "peer offers %d bytes, most are %d", size.Bytes, most)
	}
	// It grows with what really comes, not with what was promised.
	var text []byte
	for uint64(len(text)) < size.Bytes {
		body, err := s.payload(kindPart)
		if err != nil {
			return nil, err
		}
		if len(body) == 0 || uint64(len(text)+len(body)) > size.Bytes {
			return nil, core.Errorf(core.CodeInvalidRequest, "peer sends other than %d bytes", size.Bytes)
		}
		text = append(text, body...)
	}
	return text, nil
}

// Ask implements Session.
func (s *peerSession) Ask(model core.ModelID, manifest core.Digest, index, first, count int) error {
	return s.out.Send(kindChunks, &wire.ShardChunks{
		Model: model.String(), Manifest: manifest[:], Shard: uint32(index), First: uint32(first), Count: uint32(count),
	})
}

// Next implements Session.
func (s *peerSession) Next() (Chunk, error) {
	body, err := s.payload(kindChunk)
	if err != nil {
		return Chunk{}, err
	}
	return decodeChunk(body)
}

// control reads a control frame of a kind, or the refusal in its place.
func (s *peerSession) control(want wire.Kind, m *wire.ShardSize) error {
	body, err := s.payload(want)
	if err != nil {
		return err
	}
	return wire.Unmarshal(body, m)
}

// payload reads the body of a frame of a kind; a refusal in its place is its error.
func (s *peerSession) payload(want wire.Kind) ([]byte, error) {
	s.stream.until = time.Now().Add(timeFor(int64(maxChunkFrame)))
	kind, body, err := s.in.Next()
	switch {
	case err != nil:
		return nil, err
	case kind == want:
		return body, nil
	case kind != kindRefused:
		return nil, core.Errorf(core.CodeInvalidRequest, "peer sends a frame of kind %d in place of %d", kind, want)
	}
	var r wire.ShardRefused
	if err := wire.Unmarshal(body, &r); err != nil {
		return nil, err
	}
	if core.Code(r.Code) == core.CodeOverloaded {
		return nil, core.Errorf(core.CodeOverloaded, "peer is busy")
	}
	return nil, core.Errorf(core.CodeNotFound, "peer does not have it")
}
