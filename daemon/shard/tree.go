package shard

import (
	"encoding/binary"
	"math/bits"

	"github.com/shoal-p2p/shoal/daemon/core"
	"lukechampine.com/blake3/guts"
)

// ChunkSize is the unit in which shards travel and are verified, in bytes. The last chunk of a shard may be
// shorter.
const ChunkSize = 1 << 20

// Tree is the BLAKE3 tree of some bytes down to its chunks. Its root is the BLAKE3 hash of the bytes, so other
// programs can check a shard too.
type Tree struct {
	size   int64
	leaves []core.Digest // one per chunk: its chaining value, or the root if there is one chunk only
}

// Chunks is how many chunks size bytes have: at least one.
func Chunks(size int64) int { return int(max(1, (size+ChunkSize-1)/ChunkSize)) }

// chunkLen is the length of a chunk of size bytes.
func chunkLen(size int64, index int) int {
	return int(min(ChunkSize, size-int64(index)*ChunkSize))
}

// Leaf is the hash of one chunk of size bytes.
func Leaf(size int64, index int, chunk []byte) core.Digest {
	node := chunkNode(chunk, uint64(index)*(ChunkSize/guts.ChunkSize))
	if Chunks(size) == 1 {
		node.Flags |= guts.FlagRoot
	}
	return digest(guts.ChainingValue(node))
}

// chunkNode hashes a chunk whose first kibibyte has the given number. Sixteen kibibytes are hashed at once.
func chunkNode(p []byte, counter uint64) guts.Node {
	const lane = guts.MaxSIMD * guts.ChunkSize
	if len(p) <= lane {
		var buf [lane]byte
		n := copy(buf[:], p)
		return guts.CompressBuffer(&buf, n, &guts.IV, counter, 0)
	}
	if len(p) == 2*lane {
		left := guts.CompressBuffer((*[lane]byte)(p), lane, &guts.IV, counter, 0)
		right := guts.CompressBuffer((*[lane]byte)(p[lane:]), lane, &guts.IV, counter+guts.MaxSIMD, 0)
		return parent(guts.ChainingValue(left), guts.ChainingValue(right))
	}
	half := leftPart(len(p))
	left := chunkNode(p[:half], counter)
	right := chunkNode(p[half:], counter+uint64(half/guts.ChunkSize))
	return parent(guts.ChainingValue(left), guts.ChainingValue(right))
}

// leftPart is the share of the left child of n > 1 things: the largest power of two below n.
func leftPart(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

func parent(left, right [8]uint32) guts.Node { return guts.ParentNode(left, right, &guts.IV, 0) }

// NewTree makes the tree of size bytes from the leaves of all their chunks.
func NewTree(size int64, leaves []core.Digest) (*Tree, error) {
	if size < 0 || len(leaves) != Chunks(size) {
		return nil, core.Errorf(core.CodeCorrupt, "tree of %d bytes has %d chunks", size, len(leaves))
	}
	return &Tree{size: size, leaves: leaves}, nil
}

// Root is the BLAKE3 hash of the bytes.
func (t *Tree) Root() core.Digest {
	if len(t.leaves) == 1 {
		return t.leaves[0]
	}
	return subtree(t.leaves, guts.FlagRoot)
}

// subtree is the hash over some leaves; flags go to its top node.
func subtree(leaves []core.Digest, flags uint32) core.Digest {
	if len(leaves) == 1 {
		return leaves[0]
	}
	half := leftPart(len(leaves))
	return join(subtree(leaves[:half], 0), subtree(leaves[half:], 0), flags)
}

func join(left, right core.Digest, flags uint32) core.Digest {
	node := parent(words(left), words(right))
	node.Flags |= flags
	return digest(guts.ChainingValue(node))
}

// Proof returns the hashes that lead from a chunk to the root, nearest first; at most 28 for any size allowed.
func (t *Tree) Proof(index int) []core.Digest { return proof(t.leaves, index) }

func proof(leaves []core.Digest, index int) []core.Digest {
	if len(leaves) == 1 {
		return nil
	}
	half := leftPart(len(leaves))
	if index < half {
		return append(proof(leaves[:half], index), subtree(leaves[half:], 0))
	}
	return append(proof(leaves[half:], index-half), subtree(leaves[:half], 0))
}

// VerifyChunk checks that chunk is the one at index among size bytes whose hash is root. It returns the chunk's
// leaf, or an error of code core.CodeCorrupt.
func VerifyChunk(root core.Digest, size int64, index int, chunk []byte, proof []core.Digest) (core.Digest, error) {
	count := Chunks(size)
	if index < 0 || index >= count || len(chunk) != chunkLen(size, index) {
		return core.Digest{}, core.Errorf(core.CodeCorrupt, "chunk %d of %d has the wrong length", index, count)
	}
	leaf := Leaf(size, index, chunk)
	if top, ok := climb(leaf, index, count, proof, guts.FlagRoot); !ok || top != root {
		return core.Digest{}, core.Errorf(core.CodeCorrupt, "chunk %d of %d has the wrong hash", index, count)
	}
	return leaf, nil
}

// climb folds a proof from a leaf at index among count leaves to their common hash.
func climb(leaf core.Digest, index, count int, proof []core.Digest, flags uint32) (core.Digest, bool) {
	if count == 1 {
		return leaf, len(proof) == 0
	}
	if len(proof) == 0 {
		return leaf, false
	}
	half, last := leftPart(count), len(proof)-1
	if index < half {
		left, ok := climb(leaf, index, half, proof[:last], 0)
		return join(left, proof[last], flags), ok
	}
	right, ok := climb(leaf, index-half, count-half, proof[:last], 0)
	return join(proof[last], right, flags), ok
}

func digest(cv [8]uint32) (d core.Digest) {
	for i, w := range cv {
		binary.LittleEndian.PutUint32(d[4*i:], w)
	}
	return d
}

func words(d core.Digest) (cv [8]uint32) {
	for i := range cv {
		cv[i] = binary.LittleEndian.Uint32(d[4*i:])
	}
	return cv
}
