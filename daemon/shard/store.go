package shard

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// Config is what a Store needs.
type Config struct {
	Dir   string // folder of the models' folders; made if it is not there
	Key   Signer // signs the manifests of imported models
	Rule  Rule   // how models are cut; the zero value is DefaultRule
	Now   func() time.Time
	Space func(dir string) (int64, error) // free bytes; nil asks the system
}

// Store is the folder of all models.
type Store struct{ cfg Config }

// NewStore returns a Store; nothing is read or written yet.
func NewStore(c Config) *Store {
	if c.Rule == (Rule{}) {
		c.Rule = DefaultRule()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Space == nil {
		c.Space = freeSpace
	}
	return &Store{cfg: c}
}

// ModelDir is a model's folder.
func (s *Store) ModelDir(id core.ModelID) string { return filepath.Join(s.cfg.Dir, id.String()) }

// Open opens a model; see the function Open. A manifest of another model in its folder is core.CodeCorrupt.
func (s *Store) Open(id core.ModelID) (*Model, error) {
	m, err := Open(s.ModelDir(id))
	if err == nil && m.Manifest.ModelID != id {
		return nil, core.Errorf(core.CodeCorrupt, "folder of model %s holds model %s", id, m.Manifest.ModelID)
	}
	return m, err
}

// Problem is a model's folder that cannot be opened.
type Problem struct {
	ID  core.ModelID
	Err error
}

// Scan opens every model in the folder, in order of their ids. Folders without a manifest are left out: they are
// downloads in progress or not ours.
func (s *Store) Scan() (models []*Model, problems []Problem, err error) {
	entries, err := os.ReadDir(s.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	for _, e := range entries {
		id, err := core.ParseModelID(e.Name())
		if err != nil || !e.IsDir() {
			continue
		}
		m, err := s.Open(id)
		if err == nil {
			models = append(models, m)
		} else if core.CodeOf(err) != core.CodeNotFound {
			problems = append(problems, Problem{id, err})
		}
	}
	return models, problems, err
}

// Delete removes a model and all its files. The name goes first, so that a crash leaves no half model.
func (s *Store) Delete(id core.ModelID) error {
	dir := s.ModelDir(id)
	trash := filepath.Join(s.cfg.Dir, trashPrefix+id.String())
	if err := os.RemoveAll(trash); err != nil {
		return err
	}
	err := os.Rename(dir, trash)
	if errors.Is(err, fs.ErrNotExist) {
		return core.Errorf(core.CodeNotFound, "no model %s: %w", id, err)
	} else if err != nil {
		return err
	}
	return errors.Join(syncDir(s.cfg.Dir), os.RemoveAll(trash))
}

// Prefixes of folders that are not models; a model id never starts with a dot.
const (
	trashPrefix  = ".trash-"
	importPrefix = ".import-"
)

// Clean removes what a crash left of deleted models and of small files. Unfinished imports stay, to be resumed.
func (s *Store) Clean() error {
	entries, err := os.ReadDir(s.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(s.cfg.Dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), trashPrefix):
			err = errors.Join(err, os.RemoveAll(path))
		case e.IsDir():
			err = errors.Join(err, atomicfile.Clean(path, s.cfg.Now()), atomicfile.Clean(filepath.Join(path, windowsDir), s.cfg.Now()))
		}
	}
	return err
}
