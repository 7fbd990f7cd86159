package shard

import (
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// flushEvery is how many chunks are written between two flushes: what a crash can lose.
const flushEvery = 64

// Writer receives the chunks of one shard in any order, from any number of sources at once. A chunk is verified
// before it is written. After a crash a new Writer goes on with the chunks that had been flushed.
type Writer struct {
	model *Model
	shard *Shard
	file  *os.File

	mu      sync.Mutex // guards all below and makes flushes whole
	leaves  []core.Digest
	have    []bool
	missing int
	dirty   int // chunks written since the last flush
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
	count := Chunks(s.Size)
	w := &Writer{model: m, shard: s, file: f, leaves: make([]core.Digest, count), have: make([]bool, count), missing: count}
	if err := w.open(); err != nil {
		return nil, errors.Join(diskFull(err), f.Close())
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
		return nil
	}
	return errors.Join(makeSparse(w.file), w.file.Truncate(0), w.file.Truncate(size))
}

// sidecar is the file that says which chunks are there: a digest per chunk, zero for a missing one.
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
	if _, err := w.file.WriteAt(data, w.model.Manifest.Reserved+int64(chunk)*ChunkSize); err != nil {
		return diskFull(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.have[chunk] {
		w.have[chunk], w.leaves[chunk] = true, leaf
		w.missing--
		w.dirty++
	}
	if w.dirty < flushEvery {
		return nil
	}
	return w.flush()
}

// flush makes the chunks durable and then says so in the sidecar.
func (w *Writer) flush() error {
	if w.dirty == 0 {
		return nil
	}
	if err := w.file.Sync(); err != nil {
		return diskFull(err)
	}
	text := make([]byte, 0, (len(w.leaves)+1)*32)
	text = append(text, w.shard.Hash[:]...)
	for _, leaf := range w.leaves {
		text = append(text, leaf[:]...)
	}
	w.dirty = 0
	return diskFull(atomicfile.Write(w.sidecar(), text, 0o600))
}

// Finish gives the shard its name. Chunks that are missing are an error of code core.CodeNotReady.
func (w *Writer) Finish() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.missing > 0 {
		return core.Errorf(core.CodeNotReady, "shard %d lacks %d chunks", w.shard.Index, w.missing)
	}
	tree, err := NewTree(w.shard.Size, w.leaves)
	if err != nil {
		return err
	}
	if tree.Root() != w.shard.Hash {
		return core.Errorf(core.CodeCorrupt, "shard %d is not what its chunks were", w.shard.Index)
	}
	if err := errors.Join(w.file.Sync(), w.file.Close()); err != nil {
		return diskFull(err)
	}
	if err := publish(w.model.Dir, w.shard, tree); err != nil {
		return err
	}
	if err := os.Remove(w.sidecar()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Dir(w.sidecar()))
}

// Close flushes and keeps what is there for the next Writer. It must not be called after Finish.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.flush(), w.file.Close())
}
