package transfer

import (
	"bytes"
	"encoding/binary"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"github.com/shoal-p2p/shoal/daemon/swarm/wire"
)

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func framed(kind wire.Kind, body []byte) []byte {
	return append(append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), byte(kind)), body...)
}

func modelID(t testing.TB, s string) core.ModelID {
	t.Helper()
	id, err := core.ParseModelID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// FuzzDecodeChunk: what is accepted is within bounds and encodes to the same bytes.
func FuzzDecodeChunk(f *testing.F) {
	f.Add(append(appendHead(nil, 7, []core.Digest{{1}, {2}}), "data"...))
	f.Add([]byte{0, 0, 0, 0, 255})
	f.Add([]byte{255, 255, 255, 255, 0, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := decodeChunk(body)
		if err != nil {
			if core.CodeOf(err) != core.CodeInvalidRequest {
				t.Fatal(err)
			}
			return
		}
		if len(c.Data) > shard.ChunkSize || len(c.Proof) > maxProof || !bytes.Equal(append(appendHead(nil, c.Index, c.Proof), c.Data...), body) {
			t.Fatalf("%d bytes became chunk %d with %d hashes and %d bytes", len(body), c.Index, len(c.Proof), len(c.Data))
		}
	})
}

// FuzzDecodeWant: what is accepted is within bounds.
func FuzzDecodeWant(f *testing.F) {
	d := core.Digest{1}
	f.Add(byte(kindManifest), marshal(f, &wire.ShardWhole{Model: "m", Manifest: d[:]}))
	f.Add(byte(kindChunks), marshal(f, &wire.ShardChunks{Model: "m", Manifest: d[:], Shard: 3, First: 4, Count: 5}))
	f.Add(byte(9), []byte{})
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		w, err := decodeWant(wire.Kind(kind), body)
		if err != nil {
			if core.CodeOf(err) != core.CodeInvalidRequest {
				t.Fatal(err)
			}
			return
		}
		if w.model.IsZero() || w.count > maxRequest || w.first < 0 || w.shard < 0 || w.shard >= 4096 || (wire.Kind(kind) == kindChunks) != (w.count > 0) {
			t.Fatalf("accepted %+v", w)
		}
	})
}
