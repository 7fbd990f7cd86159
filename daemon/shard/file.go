package shard

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// partSuffix marks files that are being written.
const partSuffix = ".part"

// writeShard writes a shard's file from the bytes that r gives, and then its tree. The file has its final name
// only when all of it is on the disk.
func writeShard(ctx context.Context, dir string, s *Shard, reserved int64, r io.ReaderAt, advance func(int64)) (*Tree, error) {
	final := filepath.Join(dir, FileName(s.Index))
	part := final + partSuffix
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	tree, err := copyChunks(ctx, f, s, reserved, r, advance)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(part))
	}
	return tree, publish(dir, s, tree)
}

// copyChunks writes the chunks after the reserved area and hashes them on the way.
func copyChunks(ctx context.Context, f *os.File, s *Shard, reserved int64, r io.ReaderAt, advance func(int64)) (*Tree, error) {
	if err := f.Truncate(reserved + s.Size); err != nil {
		return nil, err
	}
	leaves := make([]core.Digest, Chunks(s.Size))
	buf := make([]byte, ChunkSize)
	for i := range leaves {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		chunk := buf[:chunkLen(s.Size, i)]
		off := int64(i) * ChunkSize
		if n, err := r.ReadAt(chunk, off); n < len(chunk) {
			return nil, unexpected(err)
		}
		leaves[i] = Leaf(s.Size, i, chunk)
		if _, err := f.WriteAt(chunk, reserved+off); err != nil {
			return nil, err
		}
		advance(int64(len(chunk)))
	}
	return NewTree(s.Size, leaves)
}

// publish writes the tree and gives a finished part its name.
func publish(dir string, s *Shard, tree *Tree) error {
	if err := writeTree(dir, s.Index, tree); err != nil {
		return err
	}
	final := filepath.Join(dir, FileName(s.Index))
	if err := os.Rename(final+partSuffix, final); err != nil {
		return err
	}
	return syncDir(dir)
}

func writeTree(dir string, index int, tree *Tree) error {
	text := make([]byte, 0, len(tree.leaves)*len(core.Digest{}))
	for _, leaf := range tree.leaves {
		text = append(text, leaf[:]...)
	}
	return atomicfile.Write(filepath.Join(dir, treeName(index)), text, 0o600)
}

// Tree returns the tree of a shard that is there: the one stored beside it if that fits the manifest, else one
// made from the shard itself, which is an error of code core.CodeCorrupt if the shard is damaged.
func (m *Model) Tree(ctx context.Context, index int) (*Tree, error) {
	s, err := m.shard(index)
	if err != nil {
		return nil, err
	}
	if tree, err := readTree(m.Dir, s); err == nil {
		return tree, nil
	}
	tree, err := m.hash(ctx, index, func(int64) {})
	if err != nil {
		return nil, err
	}
	return tree, writeTree(m.Dir, index, tree)
}

// readTree reads the stored tree; its root proves it.
func readTree(dir string, s *Shard) (*Tree, error) {
	count := Chunks(s.Size)
	text, err := readBounded(filepath.Join(dir, treeName(s.Index)), int64(count)*32)
	if err != nil {
		return nil, err
	}
	if len(text) != count*32 {
		return nil, core.Errorf(core.CodeCorrupt, "tree of shard %d is cut short", s.Index)
	}
	leaves := make([]core.Digest, count)
	for i := range leaves {
		leaves[i] = core.Digest(text[i*32:])
	}
	tree, err := NewTree(s.Size, leaves)
	if err == nil && tree.Root() != s.Hash {
		return nil, core.Errorf(core.CodeCorrupt, "tree of shard %d does not fit its hash", s.Index)
	}
	return tree, err
}
