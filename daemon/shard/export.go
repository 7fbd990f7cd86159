package shard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Export writes the original GGUF file, byte for byte, to path, which must not exist (core.CodeConflict). The file
// gets its name when its SHA-256 is the manifest's; otherwise the error has code core.CodeCorrupt. Missing shards
// are core.CodeNotReady. progress may be nil.
func (m *Model) Export(ctx context.Context, path string, progress func(done, total int64)) error {
	if !m.Complete() {
		return core.Errorf(core.CodeNotReady, "model %s has %d of %d shards here", m.Manifest.ModelID, len(m.Present()), len(m.Manifest.Shards))
	}
	if _, err := os.Lstat(path); err == nil {
		return core.Errorf(core.CodeConflict, "%s exists already", filepath.Base(path))
	}
	if free, err := freeSpace(filepath.Dir(path)); err == nil && free < m.Manifest.Size {
		return core.Errorf(core.CodeDiskFull, "%d more bytes of disk space are needed", m.Manifest.Size-free)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".export-*")
	if err != nil {
		return core.Errorf(core.CodeInvalidRequest, "export: %w", err)
	}
	err = m.export(ctx, f, progress)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return diskFull(errors.Join(stopped(ctx, err), os.Remove(f.Name())))
	}
	return syncDir(filepath.Dir(path))
}

func (m *Model) export(ctx context.Context, w io.Writer, progress func(done, total int64)) error {
	sum := sha256.New()
	out := &exporter{ctx: ctx, w: io.MultiWriter(w, sum), total: m.Manifest.Size, progress: progress, buf: make([]byte, ChunkSize)}
	if err := m.copyOriginal(out); err != nil {
		return err
	}
	if core.Digest(sum.Sum(nil)) != m.Manifest.SHA256 {
		return core.Errorf(core.CodeCorrupt, "model %s is damaged: the file would not be the original", m.Manifest.ModelID)
	}
	return nil
}

// segment is a run of the original file's bytes and where they are now.
type segment struct {
	offset, size int64
	src          io.ReaderAt
	at           int64 // in src
}

// copyOriginal writes all segments in the order of the original, and zeros between them.
func (m *Model) copyOriginal(out *exporter) error {
	header, err := os.Open(filepath.Join(m.Dir, HeaderFile))
	if err != nil {
		return err
	}
	defer header.Close()
	segments := []segment{{0, m.Manifest.HeaderSize, header, 0}}
	for _, g := range m.Manifest.Gaps {
		segments = append(segments, segment{g.Offset, int64(len(g.Bytes)), bytes.NewReader(g.Bytes), 0})
	}
	seen := make(map[string]bool)
	for i := range m.Manifest.Shards {
		f, err := os.Open(m.Path(i))
		if err != nil {
			return err
		}
		defer f.Close()
		s := &m.Manifest.Shards[i]
		at := starts(s.Tensors, m.Header.Alignment())
		for k, t := range s.Tensors {
			if !seen[t.Name] {
				segments = append(segments, segment{t.Offset, t.Size, f, m.Manifest.Reserved + at[k]})
			}
			seen[t.Name] = true
		}
	}
	slices.SortFunc(segments, func(a, b segment) int {
		if a.offset != b.offset {
			return int(min(max(a.offset-b.offset, -1), 1))
		}
		return int(min(max(a.size-b.size, -1), 1)) // an empty tensor may lie where another starts
	})
	for _, s := range segments {
		if err := out.segment(s); err != nil {
			return err
		}
	}
	return out.zeros(m.Manifest.Size)
}

// exporter writes a file from front to back.
type exporter struct {
	ctx      context.Context
	w        io.Writer
	done     int64
	total    int64
	progress func(done, total int64)
	buf      []byte
}

func (e *exporter) segment(s segment) error {
	if err := e.zeros(s.offset); err != nil {
		return err
	}
	if e.done != s.offset {
		return core.Errorf(core.CodeCorrupt, "two parts of the file overlap at %d", s.offset)
	}
	for read := int64(0); read < s.size; {
		b := e.buf[:min(int64(len(e.buf)), s.size-read)]
		if n, err := s.src.ReadAt(b, s.at+read); n < len(b) {
			return unexpected(err)
		}
		if err := e.write(b); err != nil {
			return err
		}
		read += int64(len(b))
	}
	return nil
}

// zeros writes zeros up to an offset.
func (e *exporter) zeros(to int64) error {
	for e.done < to {
		b := e.buf[:min(int64(len(e.buf)), to-e.done)]
		clear(b)
		if err := e.write(b); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) write(b []byte) error {
	if err := e.ctx.Err(); err != nil {
		return err
	}
	if _, err := e.w.Write(b); err != nil {
		return err
	}
	if e.done += int64(len(b)); e.progress != nil {
		e.progress(e.done, e.total)
	}
	return nil
}
