package shard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
)

// split numbers one file of a window.
type split struct {
	no, count, tensors int
}

func (s split) set(f *gguf.File) {
	f.Set("split.no", uint16(s.no))
	f.Set("split.count", uint16(s.count))
	f.Set("split.tensors.count", int32(s.tensors))
}

// padKey is a string that fills a shard's header up to the reserved size.
const padKey = "shoal.pad"

// splitHeader is the header for a shard's file whose first listed layers are numbered from firstLayer on.
func splitHeader(f *gguf.File, tensors []*gguf.Tensor, firstLayer int, s split) *gguf.File {
	h := &gguf.File{Version: 3}
	h.Set("general.architecture", f.Architecture())
	if align, ok := f.Value("general.alignment"); ok {
		h.Set("general.alignment", align)
	}
	s.set(h)
	h.Set(padKey, "")
	for _, t := range tensors {
		c := *t
		if l, ok := layerOf(t.Name); ok {
			rest := t.Name[strings.IndexByte(t.Name[len("blk."):], '.')+len("blk."):]
			c.Name = fmt.Sprintf("blk.%d%s", l-firstLayer, rest)
		}
		h.Tensors = append(h.Tensors, c)
	}
	h.Pack()
	return h
}

// writeShard fills a shard's reserved area, unless it holds the right bytes already.
func (w *window) writeShard(i int, s split) error {
	h := splitHeader(w.model.Header, w.listed(i), w.plan.Layers.First, s)
	bare, err := gguf.Marshal(h)
	if err != nil {
		return err
	}
	reserved := w.model.Manifest.Reserved
	// bare ends with padding to the alignment; the longer header ends with the same and so has reserved bytes.
	spare := reserved - int64(len(bare))
	if spare < 0 {
		return core.Errorf(core.CodeInternal, "header of shard %d does not fit its %d bytes", i, reserved)
	}
	h.Set(padKey, strings.Repeat(" ", int(spare)))
	if bare, err = gguf.Marshal(h); err != nil {
		return err
	}
	return replaceFront(w.model.Path(i), bare, reserved)
}

// replaceFront makes header the first bytes of the file at path, which says no word of that in its time of change.
func replaceFront(path string, header []byte, reserved int64) error {
	if int64(len(header)) != reserved {
		return core.Errorf(core.CodeInternal, "header has %d bytes instead of %d", len(header), reserved)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	old := make([]byte, reserved)
	if _, err = f.ReadAt(old, 0); err != nil || bytes.Equal(old, header) {
		return errors.Join(err, f.Close())
	}
	_, err = f.WriteAt(header, 0)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Chtimes(path, time.Time{}, info.ModTime()) // see Stamp
}

// ensureFile makes sure that the file at path is header and then zeros up to size bytes. A file that is right
// stays untouched: a worker may have it mapped.
func ensureFile(path string, header []byte, size int64) error {
	if sameFile(path, header, size) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".window.*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(header)
	if err == nil && size > int64(len(header)) {
		if err = makeSparse(f); err == nil {
			err = f.Truncate(size)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func sameFile(path string, header []byte, size int64) bool {
	f, err := atomicfile.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() != size {
		return false
	}
	got := make([]byte, len(header))
	_, err = io.ReadFull(f, got)
	return err == nil && bytes.Equal(got, header)
}
