package shard

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
)

// Stamp is what a shard's file looks like without being read. The bytes that count have not been written to as long as
// it stays the same; a loader's header is written without changing it.
type Stamp struct {
	Size    int64
	Changed time.Time
}

// Stamp looks at a shard's file.
func (m *Model) Stamp(index int) (Stamp, error) {
	if _, err := m.shard(index); err != nil {
		return Stamp{}, err
	}
	info, err := os.Stat(m.Path(index))
	if err != nil {
		return Stamp{}, err
	}
	return Stamp{info.Size(), info.ModTime()}, nil
}

// Gentle reading rests after each chunk, so many times as long as the chunk took and mostRest at most.
const (
	restFactor = 3
	mostRest   = time.Second
)

// VerifyShardGently is VerifyShard at a pace that leaves the disk and the processor to others.
func (m *Model) VerifyShardGently(ctx context.Context, index int) error {
	last := time.Now()
	rest := time.NewTimer(0)
	defer rest.Stop()
	_, err := m.hash(ctx, index, func(int64) {
		rest.Reset(min(restFactor*time.Since(last), mostRest))
		select {
		case <-rest.C:
		case <-ctx.Done():
		}
		last = time.Now()
	})
	return stopped(ctx, err)
}

// Demote takes its name from a shard that is damaged. A Writer goes on with the chunks of it that are sound.
func (m *Model) Demote(index int) error {
	s, err := m.shard(index)
	if err != nil {
		return err
	}
	part := m.Path(index) + partSuffix
	journal := append([]byte(nil), s.Hash[:]...)
	if tree, err := readTree(m.Dir, s); err == nil { // without it, nothing tells which chunks are sound
		for _, leaf := range tree.leaves {
			journal = append(journal, leaf[:]...)
		}
	}
	if err := os.Remove(part + ".have"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := atomicfile.Write(part+".log", journal, 0o600); err != nil {
		return diskFull(err)
	}
	if err := os.Rename(m.Path(index), part); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(m.Dir, treeName(index))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(m.Dir)
}

// Sound tells whether a chunk is the one that the tree was made of.
func (t *Tree) Sound(index int, chunk []byte) bool {
	return index >= 0 && index < len(t.leaves) && len(chunk) == chunkLen(t.size, index) && Leaf(t.size, index, chunk) == t.leaves[index]
}
