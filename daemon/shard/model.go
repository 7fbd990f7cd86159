package shard

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
	"lukechampine.com/blake3"
)

// Names of the files in a model's folder.
const (
	ManifestFile = "manifest.json"
	HeaderFile   = "gguf_header.bin"
	SourceFile   = "hf_source.json"
	windowsDir   = "windows"
	lockFile     = ".lock"
)

// FileName is the name of a shard's file in the model's folder.
func FileName(index int) string { return fmt.Sprintf("shard_%03d.bin", index) }

// treeName is the name of a shard's leaf hashes; a missing one is made again from the shard.
func treeName(index int) string { return fmt.Sprintf("shard_%03d.tree", index) }

// Model is a model's folder. Its methods are safe for concurrent use, but deleting and writing shards are the
// caller's to keep apart from reading them.
type Model struct {
	Dir      string
	Manifest *Manifest
	Header   *gguf.File
	plan     *plan
}

// Open reads a model's manifest and header and checks one against the other; it does not look at the shards.
// Errors have code core.CodeNotFound, core.CodeCorrupt or core.CodeUnsupported.
func Open(dir string) (*Model, error) {
	text, err := readBounded(filepath.Join(dir, ManifestFile), MaxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, core.Errorf(core.CodeNotFound, "no model in %s: %w", filepath.Base(dir), err)
	} else if err != nil {
		return nil, err
	}
	m, err := DecodeManifest(text)
	if err != nil {
		return nil, err
	}
	header, err := readBounded(filepath.Join(dir, HeaderFile), m.HeaderSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, core.Errorf(core.CodeCorrupt, "model %s has no header: %w", m.ModelID, err)
	} else if err != nil {
		return nil, err
	}
	return newModel(dir, m, header)
}

// newModel checks the header's bytes against the manifest.
func newModel(dir string, m *Manifest, header []byte) (*Model, error) {
	if int64(len(header)) != m.HeaderSize || blake3.Sum256(header) != m.HeaderHash {
		return nil, core.Errorf(core.CodeCorrupt, "header of model %s is damaged", m.ModelID)
	}
	f, err := gguf.Read(bytes.NewReader(header), m.Size)
	if err != nil {
		return nil, err
	}
	if err := m.CheckHeader(f); err != nil {
		return nil, err
	}
	p, err := layOut(f, m.Rule)
	if err != nil {
		return nil, err
	}
	return &Model{Dir: dir, Manifest: m, Header: f, plan: p}, nil
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	b, err := atomicfile.Read(path, limit)
	if core.CodeOf(err) == core.CodeTooLarge {
		return nil, core.Errorf(core.CodeCorrupt, "%s is larger than %d bytes", filepath.Base(path), limit)
	}
	return b, err
}

// Path is where a shard's file is, or would be.
func (m *Model) Path(index int) string { return filepath.Join(m.Dir, FileName(index)) }

// Has tells whether a shard's file is there in full length. Verify tells whether it is sound.
func (m *Model) Has(index int) bool {
	if _, err := m.shard(index); err != nil {
		return false
	}
	info, err := os.Stat(m.Path(index))
	return err == nil && info.Mode().IsRegular() && info.Size() == m.Manifest.Reserved+m.Manifest.Shards[index].Size
}

// shard returns a shard of the manifest; an index that is not there is an error of code core.CodeNotFound.
func (m *Model) shard(index int) (*Shard, error) {
	if index < 0 || index >= len(m.Manifest.Shards) {
		return nil, core.Errorf(core.CodeNotFound, "model %s has no shard %d", m.Manifest.ModelID, index)
	}
	return &m.Manifest.Shards[index], nil
}

// Present lists the shards that are there, in order.
func (m *Model) Present() []int {
	var list []int
	for i := range m.Manifest.Shards {
		if m.Has(i) {
			list = append(list, i)
		}
	}
	return list
}

// Complete tells whether every shard is there.
func (m *Model) Complete() bool { return len(m.Present()) == len(m.Manifest.Shards) }

// ReadAt reads bytes of a shard that is there, off bytes after its reserved area, as peers are sent them.
func (m *Model) ReadAt(index int, p []byte, off int64) (int, error) {
	if _, err := m.shard(index); err != nil {
		return 0, err
	}
	f, err := atomicfile.Open(m.Path(index))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.ReadAt(p, m.Manifest.Reserved+off)
}

// DeleteShard removes a shard's files. A shard that is not there is an error of code core.CodeNotFound.
func (m *Model) DeleteShard(index int) error {
	if _, err := m.shard(index); err != nil {
		return err
	}
	err := os.Remove(m.Path(index))
	if errors.Is(err, fs.ErrNotExist) {
		return core.Errorf(core.CodeNotFound, "shard %d of model %s is not here: %w", index, m.Manifest.ModelID, err)
	}
	if treeErr := os.Remove(filepath.Join(m.Dir, treeName(index))); !errors.Is(treeErr, fs.ErrNotExist) {
		err = errors.Join(err, treeErr)
	}
	return errors.Join(err, syncDir(m.Dir))
}
