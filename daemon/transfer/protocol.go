package transfer

import (
	"encoding/binary"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

// Kinds of frames.
const (
	kindManifest wire.Kind = 1 // wire.ShardWhole
	kindHeader   wire.Kind = 2 // wire.ShardWhole
	kindChunks   wire.Kind = 3 // wire.ShardChunks
	kindSize     wire.Kind = 4 // wire.ShardSize
	kindRefused  wire.Kind = 5 // wire.ShardRefused

	kindPart  = wire.FirstPayload     // bytes of a manifest or header
	kindChunk = wire.FirstPayload + 1 // a chunk
)

// Chunk is a chunk of a shard with the hashes that lead to the shard's root.
type Chunk struct {
	Index int // in the shard
	Proof []core.Digest
	Data  []byte
}

// chunkHead is what comes before the proof: u32 index, little-endian, and u8 number of hashes.
const chunkHead = 5

// maxChunkFrame bounds the body of a chunk's frame.
const maxChunkFrame = chunkHead + maxProof*len(core.Digest{}) + shard.ChunkSize

// appendHead encodes all of a chunk but its data.
func appendHead(b []byte, index int, proof []core.Digest) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(index))
	b = append(b, byte(len(proof)))
	for i := range proof {
		b = append(b, proof[i][:]...)
	}
	return b
}

// decodeChunk reads the body of a chunk's frame. Its data is a part of body. The error has code
// core.CodeInvalidRequest.
func decodeChunk(body []byte) (Chunk, error) {
	if len(body) < chunkHead || len(body) > maxChunkFrame || body[4] > maxProof {
		return Chunk{}, core.Errorf(core.CodeInvalidRequest, "chunk has a bad head")
	}
	index, count := binary.LittleEndian.Uint32(body), int(body[4])
	rest := body[chunkHead:]
	if index > 1<<28 || len(rest) < count*len(core.Digest{}) || len(rest)-count*len(core.Digest{}) > shard.ChunkSize {
		return Chunk{}, core.Errorf(core.CodeInvalidRequest, "chunk has a bad length")
	}
	c := Chunk{Index: int(index), Proof: make([]core.Digest, count)}
	for i := range c.Proof {
		c.Proof[i] = core.Digest(rest)
		rest = rest[len(core.Digest{}):]
	}
	c.Data = rest
	return c, nil
}

// want is a checked request.
type want struct {
	model        core.ModelID
	manifest     core.Digest
	shard        int
	first, count int // chunks
}

func parseWant(model string, manifest []byte) (w want, err error) {
	if w.model, err = core.ParseModelID(model); err != nil {
		return w, err
	}
	if len(manifest) != len(w.manifest) {
		return w, core.Errorf(core.CodeInvalidRequest, "digest of a manifest has %d bytes", len(manifest))
	}
	w.manifest = core.Digest(manifest)
	return w, nil
}

// decodeWant reads the body of a request. The error has code core.CodeInvalidRequest.
func decodeWant(kind wire.Kind, body []byte) (want, error) {
	switch kind {
	case kindManifest, kindHeader:
		var m wire.ShardWhole
		if err := wire.Unmarshal(body, &m); err != nil {
			return want{}, err
		}
		return parseWant(m.Model, m.Manifest)
	case kindChunks:
		var m wire.ShardChunks
		if err := wire.Unmarshal(body, &m); err != nil {
			return want{}, err
		}
		w, err := parseWant(m.Model, m.Manifest)
		if err == nil && (m.Count < 1 || m.Count > maxRequest || m.First > 1<<28 || m.Shard >= 4096) {
			err = core.Errorf(core.CodeInvalidRequest, "%d chunks from %d of shard %d", m.Count, m.First, m.Shard)
		}
		w.shard, w.first, w.count = int(m.Shard), int(m.First), int(m.Count)
		return w, err
	}
	return want{}, core.Errorf(core.CodeInvalidRequest, "frame of kind %d", kind)
}

// patience is a stream whose reads end at a time that is set for a whole frame, so that a peer that sends a byte now
// and then cannot hold it open.
type patience struct {
	core.Stream
	until time.Time
}

// SetReadDeadline implements core.Stream.
func (p *patience) SetReadDeadline(t time.Time) error {
	if t.After(p.until) {
		t = p.until
	}
	return p.Stream.SetReadDeadline(t)
}
