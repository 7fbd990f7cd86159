package shard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
)

// hashFile is the SHA-256 of the first size bytes of r.
func hashFile(ctx context.Context, r io.ReaderAt, size int64) (core.Digest, error) {
	h, buf := sha256.New(), make([]byte, ChunkSize)
	for off := int64(0); off < size; off += ChunkSize {
		if err := ctx.Err(); err != nil {
			return core.Digest{}, err
		}
		n := min(ChunkSize, size-off)
		if got, err := r.ReadAt(buf[:n], off); int64(got) < n {
			return core.Digest{}, unexpected(err)
		}
		h.Write(buf[:n])
	}
	return core.Digest(h.Sum(nil)), nil
}

// findGaps reads what no tensor covers and returns what of it is not zero.
func findGaps(ctx context.Context, r io.ReaderAt, m *Manifest, f *gguf.File) (gaps []Gap, err error) {
	end, kept := m.HeaderSize, 0
	look := func(to int64) error {
		buf := make([]byte, min(max(to-end, 0), ChunkSize))
		for ; end < to; end += int64(len(buf)) {
			if err := ctx.Err(); err != nil {
				return err
			}
			buf = buf[:min(int64(len(buf)), to-end)]
			if n, err := r.ReadAt(buf, end); n < len(buf) {
				return unexpected(err)
			}
			if len(bytes.Trim(buf, "\x00")) == 0 {
				continue
			}
			if kept += len(buf); kept > maxGapBytes {
				return core.Errorf(core.CodeUnsupported, "the file has more than %d bytes that belong to no tensor", maxGapBytes)
			}
			gaps = append(gaps, Gap{Offset: end, Bytes: bytes.Clone(buf)})
		}
		return nil
	}
	for _, t := range f.ByOffset() {
		if err := look(f.DataOffset + t.Offset); err != nil {
			return nil, err
		}
		end = f.DataOffset + t.Offset + t.Size()
	}
	return gaps, look(m.Size)
}
