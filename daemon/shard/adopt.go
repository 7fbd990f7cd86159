package shard

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Adopt makes the folder of a model whose manifest and header came from elsewhere; it has no shards yet. Both are
// checked as by Open, and that the file has all its layers. A model that is there already with the same cut is opened and
// keeps its manifest; another is an error of code core.CodeConflict. In a damaged folder both are put right, and what is
// there of its shards is kept for Writers, which look at each chunk.
func (s *Store) Adopt(manifest, header []byte) (*Model, error) {
	m, err := DecodeManifest(manifest)
	if err != nil {
		return nil, err
	}
	dir := s.ModelDir(m.ModelID)
	fresh, err := newModel(dir, m, header)
	if err != nil {
		return nil, err
	}
	if err := fresh.plan.checkLayers(fresh.Header); err != nil {
		return nil, err
	}
	old, err := s.Open(m.ModelID)
	switch core.CodeOf(err) {
	case "":
		return sameCut(old, m)
	case core.CodeNotFound:
	case core.CodeCorrupt:
		if err := fresh.salvage(); err != nil {
			return nil, err
		}
	default:
		return nil, core.Errorf(core.CodeConflict, "model %s is there and cannot be opened: %w", m.ModelID, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// The manifest comes last: without it the folder is no model.
	err = atomicfile.Write(filepath.Join(dir, HeaderFile), header, 0o600)
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, ManifestFile), manifest, 0o600)
	}
	return fresh, diskFull(errors.Join(err, syncDir(s.cfg.Dir)))
}

// salvage makes a damaged folder one of a model without shards: what is in shards by their length is demoted, the rest
// is removed.
func (m *Model) salvage() error {
	if err := os.Remove(filepath.Join(m.Dir, ManifestFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(filepath.Join(m.Dir, windowsDir)); err != nil {
		return err
	}
	for _, index := range m.Present() {
		if err := m.Demote(index); err != nil {
			return err
		}
	}
	left, err := filepath.Glob(filepath.Join(m.Dir, "shard_*.bin"))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

func sameCut(old *Model, m *Manifest) (*Model, error) {
	a, err := old.Manifest.Digest()
	if err != nil {
		return nil, err
	}
	b, err := m.Digest()
	if err != nil {
		return nil, err
	}
	if a != b {
		return nil, core.Errorf(core.CodeConflict, "model %s is there already and is another file or cut", m.ModelID)
	}
	return old, nil
}

// Free is how many bytes may still be written to the disk of the models' folder.
func (s *Store) Free() (int64, error) {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return 0, err
	}
	return s.cfg.Space(s.cfg.Dir)
}

// OpenHeader opens the original file's header, of Manifest.HeaderSize bytes.
func (m *Model) OpenHeader() (*os.File, error) { return os.Open(filepath.Join(m.Dir, HeaderFile)) }
