package shard_test

import (
	"math/rand/v2"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/shard"
	"lukechampine.com/blake3"
)

// bytesOf makes n bytes that are the same for the same seed.
func bytesOf(n int, seed uint64) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = src.Read(b)
	return b
}

// chunkOf is a chunk of data.
func chunkOf(data []byte, i int) []byte {
	return data[i*shard.ChunkSize : min(len(data), (i+1)*shard.ChunkSize)]
}

func treeOf(t testing.TB, data []byte) *shard.Tree {
	t.Helper()
	leaves := make([]core.Digest, shard.Chunks(int64(len(data))))
	for i := range leaves {
		leaves[i] = shard.Leaf(int64(len(data)), i, chunkOf(data, i))
	}
	tree, err := shard.NewTree(int64(len(data)), leaves)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestRootIsTheBLAKE3Hash(t *testing.T) {
	sizes := []int{
		0, 1, 63, 64, 1023, 1024, 1025, 5000, 16 << 10, 16<<10 + 1, 32 << 10, 33 << 10, 100_000,
		1<<20 - 1, 1 << 20, 1<<20 + 1, 2 << 20, 3<<20 + 77, 5 << 20, 8 << 20, 9<<20 + 1,
	}
	for _, n := range sizes {
		data := bytesOf(n, uint64(n))
		if got, want := treeOf(t, data).Root(), core.Digest(blake3.Sum256(data)); got != want {
			t.Errorf("%d bytes: root %s, BLAKE3 %s", n, got, want)
		}
	}
}

func TestProofs(t *testing.T) {
	for _, n := range []int{0, 10, 1 << 20, 1<<20 + 1, 2 << 20, 3<<20 + 5, 7 << 20, 8<<20 + 9} {
		data := bytesOf(n, 7)
		tree, size := treeOf(t, data), int64(n)
		for i := range shard.Chunks(size) {
			chunk, proof := chunkOf(data, i), tree.Proof(i)
			if _, err := shard.VerifyChunk(tree.Root(), size, i, chunk, proof); err != nil {
				t.Errorf("%d bytes, chunk %d: %v", n, i, err)
			}
			refused(t, "other index", tree.Root(), size, i+1, chunk, proof)
			refused(t, "negative index", tree.Root(), size, -1, chunk, proof)
			refused(t, "longer proof", tree.Root(), size, i, chunk, append(tree.Proof(i), core.Digest{}))
			refused(t, "short chunk", tree.Root(), size, i, chunk[:len(chunk)/2+0*n], proof, n == 0)
			if len(proof) > 0 {
				refused(t, "shorter proof", tree.Root(), size, i, chunk, proof[1:])
				proof[len(proof)-1][3] ^= 1
				refused(t, "flipped proof", tree.Root(), size, i, chunk, proof)
				proof[len(proof)-1][3] ^= 1
			}
			if len(chunk) > 0 {
				chunk[len(chunk)/2] ^= 4
				refused(t, "flipped bit", tree.Root(), size, i, chunk, proof)
				chunk[len(chunk)/2] ^= 4
			}
		}
	}
}

func refused(t *testing.T, what string, root core.Digest, size int64, i int, chunk []byte, proof []core.Digest, skip ...bool) {
	t.Helper()
	if len(skip) > 0 && skip[0] {
		return
	}
	if _, err := shard.VerifyChunk(root, size, i, chunk, proof); core.CodeOf(err) != core.CodeCorrupt {
		t.Errorf("%s of chunk %d: %v", what, i, err)
	}
}

func TestTreeOfTheWrongNumberOfLeaves(t *testing.T) {
	if _, err := shard.NewTree(5<<20, make([]core.Digest, 4)); err == nil {
		t.Error("accepted")
	}
}

// BenchmarkVerify is verification on one core: chunk by chunk with a proof, as they come from a peer.
func BenchmarkVerify(b *testing.B) {
	data := bytesOf(64<<20, 1)
	tree := treeOf(b, data)
	root := tree.Root()
	proofs := make([][]core.Digest, 64)
	for i := range proofs {
		proofs[i] = tree.Proof(i)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		for i, proof := range proofs {
			if _, err := shard.VerifyChunk(root, int64(len(data)), i, chunkOf(data, i), proof); err != nil {
				b.Fatal(err)
			}
		}
	}
}
