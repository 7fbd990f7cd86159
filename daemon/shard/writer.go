package shard

import (
	"errors"
	"os"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// flushEvery is how many chunks are written between two flushes: what a crash can lose.
const flushEvery = 64

// Writer receives the chunks of one shard in any order, from any number of sources at once. A chunk is verified
// before it is written. A new Writer goes on with every chunk that an earlier one wrote before its process was
// killed; after a power cut at least with those that had been flushed.
//
// Two files say which chunks the partial file has, by a digest per chunk, zero for a missing one. What the sidecar
// lists is on the disk. What the journal lists may not be, so it is hashed again before it is believed.
type Writer struct {
	model   *Model
	shard   *Shard
	file    *os.File
	journal *os.File

	mu      sync.Mutex // guards all below
	leaves  []core.Digest
	have    []bool
	missing int
	dirty   int // chunks written since the last flush began

	flushing   bool
	background sync.WaitGroup // the flush, so that chunks go on coming meanwhile
	err        error          // of it
}

// NewWriter opens the shard's partial file, or makes one. A shard that is there already is an error of code
// core.CodeConflict. Two Writers of one shard must not be open at the same time.
func (m *Model) NewWriter(index int) (*Writer, error) {
	s, err := m.shard(index)
	if err != nil {
		return nil, err
	}
	if m.Has(index) {
		return nil, core.Errorf(core.CodeConflict, "shard %d of model %s is here already", index, m.Manifest.ModelID)
	}
	f, err := os.OpenFile(m.Path(index)+partSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	j, err := os.OpenFile(m.Path(index)+partSuffix+".log", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	count := Chunks(s.Size)
	w := &Writer{model: m, shard: s, file: f, journal: j, leaves: make([]core.Digest, count), have: make([]bool, count), missing: count}
	if err := w.open(); err != nil {
		return nil, errors.Join(diskFull(err), f.Close(), j.Close())
	}
	return w, nil
}

// open takes over what an earlier Writer flushed, if the partial file has the length it should have.
func (w *Writer) open() error {
	info, err := w.file.Stat()
	if err != nil {
		return err
	}
	size := w.model.Manifest.Reserved + w.shard.Size
	if info.Size() == size {
		w.load()
		return w.replay()
	}
	if err := errors.Join(makeSparse(w.file), w.file.Truncate(0), w.file.Truncate(size), w.journal.Truncate(0)); err != nil {
		return err
	}
	_, err = w.journal.WriteAt(w.shard.Hash[:], 0)
	return err
}

// replay takes over what the journal lists besides, as far as the partial file really has it.
func (w *Writer) replay() error {
	text := make([]byte, (len(w.leaves)+1)*32)
	if n, _ := w.journal.ReadAt(text, 0); n < 32 || core.Digest(text) != w.shard.Hash {
		_, err := w.journal.WriteAt(w.shard.Hash[:], 0)
		return err
	}
	buf := make([]byte, ChunkSize)
	for i := range w.leaves {
		leaf := core.Digest(text[(i+1)*32:])
		if w.have[i] || leaf.IsZero() {
			continue
		}
		chunk := buf[:chunkLen(w.shard.Size, i)]
		if n, _ := w.file.ReadAt(chunk, w.offset(i)); n == len(chunk) && Leaf(w.shard.Size, i, chunk) == leaf {
			w.leaves[i], w.have[i] = leaf, true
			w.missing--
			w.dirty++
		}
	}
	return nil
}

// offset is where a chunk is in the partial file.
func (w *Writer) offset(chunk int) int64 { return w.model.Manifest.Reserved + int64(chunk)*ChunkSize }

// sidecar is the file that lists the chunks that were flushed.
func (w *Writer) sidecar() string { return w.model.Path(w.shard.Index) + partSuffix + ".have" }

func (w *Writer) load() {
	text, err := readBounded(w.sidecar(), int64(len(w.leaves)+1)*32)
	if err != nil || len(text) != (len(w.leaves)+1)*32 || core.Digest(text) != w.shard.Hash {
		return
	}
	for i := range w.leaves {
		w.leaves[i] = core.Digest(text[(i+1)*32:])
		if w.have[i] = !w.leaves[i].IsZero(); w.have[i] {
			w.missing--
		}
	}
}

// Has tells whether a chunk is there.
func (w *Writer) Has(chunk int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return chunk >= 0 && chunk < len(w.have) && w.have[chunk]
}

// Missing lists the chunks that are not there yet, in order.
func (w *Writer) Missing() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []int
	for i, have := range w.have {
		if !have {
			list = append(list, i)
		}
	}
	return list
}

// Write verifies a chunk by its proof and writes it. A bad one is an error of code core.CodeCorrupt and changes
// nothing; one that is there already is not written again.
func (w *Writer) Write(chunk int, data []byte, proof []core.Digest) error {
	leaf, err := VerifyChunk(w.shard.Hash, w.shard.Size, chunk, data, proof)
	if err != nil {
		return err
	}
	if w.Has(chunk) {
		return nil
	}
	if _, err := w.file.WriteAt(data, w.offset(chunk)); err != nil {
		return diskFull(err)
	}
	if _, err := w.journal.WriteAt(leaf[:], int64(chunk+1)*32); err != nil {
		return diskFull(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.have[chunk] {
		return w.err
	}
	w.have[chunk], w.leaves[chunk] = true, leaf
	w.missing--
	w.dirty++
	if w.dirty >= flushEvery && !w.flushing && w.missing > 0 {
		w.flushing = true
		list := w.list()
		w.background.Go(func() {
			err := w.flush(list)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.flushing, w.err = false, errors.Join(w.err, err)
		})
	}
	return w.err
}

// list is what the sidecar is to say once the chunks written so far are durable.
func (w *Writer) list() []byte {
	text := make([]byte, 0, (len(w.leaves)+1)*32)
	text = append(text, w.shard.Hash[:]...)
	for _, leaf := range w.leaves {
		text = append(text, leaf[:]...)
	}
	w.dirty = 0
	return text
}

// flush makes the chunks durable and then says so in the sidecar.
func (w *Writer) flush(list []byte) error {
	if err := w.file.Sync(); err != nil {
		return diskFull(err)
	}
	return diskFull(atomicfile.Write(w.sidecar(), list, 0o600))
}

// Finish gives the shard its name. Chunks that are missing are an error of code core.CodeNotReady.
func (w *Writer) Finish() error {
	w.background.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.missing > 0 {
		return core.Errorf(core.CodeNotReady, "shard %d lacks %d chunks", w.shard.Index, w.missing)
	}
	if w.err != nil {
		return w.err
	}
	tree, err := NewTree(w.shard.Size, w.leaves)
	if err != nil {
		return err
	}
	if tree.Root() != w.shard.Hash {
		return core.Errorf(core.CodeCorrupt, "shard %d is not what its chunks were", w.shard.Index)
	}
	if err := errors.Join(w.file.Sync(), w.file.Close(), w.journal.Close()); err != nil {
		return diskFull(err)
	}
	if err := publish(w.model.Dir, w.shard, tree); err != nil {
		return err
	}
	for _, name := range []string{w.sidecar(), w.journal.Name()} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return syncDir(w.model.Dir)
}

// Close flushes and keeps what is there for the next Writer. It must not be called after Finish.
func (w *Writer) Close() error {
	w.background.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.err
	if w.dirty > 0 {
		err = errors.Join(err, w.flush(w.list()))
	}
	return errors.Join(err, w.file.Close(), w.journal.Close())
}

// Written is how many bytes of the shard are there.
func (w *Writer) Written() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var n int64
	for i, have := range w.have {
		if have {
			n += int64(chunkLen(w.shard.Size, i))
		}
	}
	return n
}

// DropPart removes what a Writer kept of a shard that is not whole. No Writer of it may be open.
func (m *Model) DropPart(index int) error {
	if _, err := m.shard(index); err != nil {
		return err
	}
	for _, suffix := range []string{".have", ".log", ""} {
		if err := os.Remove(m.Path(index) + partSuffix + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return syncDir(m.Dir)
}
