package shard

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Verify reads every shard that is there and returns those that are damaged: a byte, the length, or unreadable.
// progress, if not nil, gets bytes done and in total. The error is that of ctx (core.CodeCancelled). The header
// and the manifest were verified when the model was opened.
func (m *Model) Verify(ctx context.Context, progress func(done, total int64)) (damaged []int, err error) {
	var done, total int64
	var there []int
	for i := range m.Manifest.Shards {
		if _, err := os.Stat(m.Path(i)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		there = append(there, i)
		total += m.Manifest.Shards[i].Size
	}
	advance := func(n int64) {
		if done += n; progress != nil {
			progress(done, total)
		}
	}
	for _, i := range there {
		_, err := m.hash(ctx, i, advance)
		if ctx.Err() != nil {
			return damaged, stopped(ctx, ctx.Err())
		}
		if err != nil {
			damaged = append(damaged, i)
		}
	}
	return damaged, nil
}

// VerifyShard reads a shard and checks it against the manifest. Damage is an error of code core.CodeCorrupt.
func (m *Model) VerifyShard(ctx context.Context, index int) error {
	_, err := m.hash(ctx, index, func(int64) {})
	return stopped(ctx, err)
}

// hash makes a shard's tree from its file and checks the root.
func (m *Model) hash(ctx context.Context, index int, advance func(int64)) (*Tree, error) {
	s, err := m.shard(index)
	if err != nil {
		return nil, err
	}
	if !m.Has(index) {
		return nil, core.Errorf(core.CodeCorrupt, "shard %d of model %s is missing or has the wrong length", index, m.Manifest.ModelID)
	}
	f, err := os.Open(m.Path(index))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	leaves := make([]core.Digest, Chunks(s.Size))
	buf := make([]byte, ChunkSize)
	for i := range leaves {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		chunk := buf[:chunkLen(s.Size, i)]
		if n, err := f.ReadAt(chunk, m.Manifest.Reserved+int64(i)*ChunkSize); n < len(chunk) {
			return nil, unexpected(err)
		}
		leaves[i] = Leaf(s.Size, i, chunk)
		advance(int64(len(chunk)))
	}
	tree := &Tree{size: s.Size, leaves: leaves}
	if tree.Root() != s.Hash {
		return nil, core.Errorf(core.CodeCorrupt, "shard %d of model %s is damaged", index, m.Manifest.ModelID)
	}
	return tree, nil
}

// spots is how many chunks of a shard spotCheck reads.
const spots = 8

// spotCheck looks at a shard cheaply: its stored tree must fit its hash, and chunks spread over it must fit the
// tree.
func (m *Model) spotCheck(index int) error {
	s := &m.Manifest.Shards[index]
	tree, err := readTree(m.Dir, s)
	if err != nil {
		return err
	}
	buf := make([]byte, ChunkSize)
	for k := range min(spots, len(tree.leaves)) {
		i := k * (len(tree.leaves) - 1) / max(1, min(spots, len(tree.leaves))-1)
		chunk := buf[:chunkLen(s.Size, i)]
		if n, err := m.ReadAt(index, chunk, int64(i)*ChunkSize); n < len(chunk) {
			return unexpected(err)
		}
		if Leaf(s.Size, i, chunk) != tree.leaves[i] {
			return core.Errorf(core.CodeCorrupt, "chunk %d of shard %d is damaged", i, index)
		}
	}
	return nil
}
