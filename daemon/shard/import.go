package shard

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
	"golang.org/x/sync/errgroup"
	"lukechampine.com/blake3"
)

// Import says what to import.
type Import struct {
	ID       core.ModelID            // the zero value makes the id from the file's name
	Path     string                  // a GGUF file; it is left as it is
	Source   *Source                 // where the file came from, if that is known
	Rule     Rule                    // how the file is cut; the zero value is the Store's
	Progress func(done, total int64) // called from one goroutine, once per chunk; may be nil
	// Swap is called when the file takes the place of a damaged folder, with all of it cut: it calls swap when nobody
	// has files of that folder open. nil calls swap at once.
	Swap func(swap func() error) error
}

// Import cuts a GGUF file into shards. Memory use does not grow with the file. When it is stopped, even by force,
// the next Import of the same file goes on after the last finished shard. A file that has been imported already
// gives the model that is there, with shards it lacks cut again; another file under the same id is an error of
// code core.CodeConflict, unless what is there is damaged: then the file takes its place, once all of it is cut. Too
// little space is core.CodeDiskFull before anything is written or taken away.
func (s *Store) Import(ctx context.Context, in Import) (*Model, error) {
	if in.Progress == nil {
		in.Progress = func(int64, int64) {}
	}
	if in.Rule == (Rule{}) {
		in.Rule = s.cfg.Rule
	}
	if in.Swap == nil {
		in.Swap = func(swap func() error) error { return swap() }
	}
	j, err := s.newJob(in)
	if err != nil {
		return nil, err
	}
	defer j.src.Close()
	unlock, err := j.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	old, err := s.Open(j.manifest.ModelID)
	switch core.CodeOf(err) {
	case "":
		return j.again(ctx, old)
	case core.CodeNotFound, core.CodeCorrupt: // of a damaged one nothing is needed: the new file has all of it
		j.damaged = core.CodeOf(err) == core.CodeCorrupt
		return j.fresh(ctx)
	default:
		return nil, core.Errorf(core.CodeConflict, "model %s is there and cannot be opened: %w", j.manifest.ModelID, err)
	}
}

// job is one import.
type job struct {
	store    *Store
	in       Import
	src      *os.File
	info     os.FileInfo
	header   []byte // the file up to its tensors
	file     *gguf.File
	plan     *plan
	manifest *Manifest
	stage    string // folder the model is built in
	damaged  bool   // a damaged folder has the model's name
	done     int64  // bytes cut so far
}

func (s *Store) newJob(in Import) (j *job, err error) {
	id := in.ID
	if id.IsZero() {
		if id, err = core.ModelIDFromFile(filepath.Base(in.Path)); err != nil {
			return nil, err
		}
	}
	src, err := os.Open(in.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, core.Errorf(core.CodeNotFound, "no file %s: %w", filepath.Base(in.Path), err)
	} else if err != nil {
		return nil, core.Errorf(core.CodeInvalidRequest, "open file to import: %w", err)
	}
	j = &job{store: s, in: in, src: src, stage: filepath.Join(s.cfg.Dir, importPrefix+id.String())}
	if err := j.inspect(id); err != nil {
		src.Close()
		return nil, err
	}
	return j, nil
}

// inspect reads the header and lays the shards out.
func (j *job) inspect(id core.ModelID) (err error) {
	if j.info, err = j.src.Stat(); err != nil {
		return err
	}
	if !j.info.Mode().IsRegular() || j.info.Size() > maxFileSize {
		return core.Errorf(core.CodeInvalidRequest, "%s is not a regular file", filepath.Base(j.in.Path))
	}
	if j.file, err = gguf.Read(j.src, j.info.Size()); err != nil {
		return err
	}
	if err := isModel(j.file); err != nil {
		return err
	}
	if n, ok := j.file.Uint("split.count"); ok && n > 1 {
		return core.Errorf(core.CodeUnsupported, "the file is one of %d parts; join them with llama-gguf-split first", n)
	}
	if j.plan, err = layOut(j.file, j.in.Rule); err != nil {
		return err
	}
	if err := j.plan.checkLayers(j.file); err != nil {
		return err
	}
	if j.manifest, err = describe(j.file, j.plan, j.in.Rule, j.info.Size()); err != nil {
		return err
	}
	j.header = make([]byte, j.file.DataOffset)
	if _, err := j.src.ReadAt(j.header, 0); err != nil {
		return err
	}
	j.manifest.ModelID, j.manifest.Source = id, j.in.Source
	j.manifest.HeaderHash = blake3.Sum256(j.header)
	return nil
}

// lock keeps other imports of the same model out, also those of other processes.
func (j *job) lock() (unlock func(), err error) {
	if err := os.MkdirAll(j.store.cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	l := flock.New(j.stage + ".lock")
	ok, err := l.TryLock()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, core.Errorf(core.CodeConflict, "model %s is being imported already", j.manifest.ModelID)
	}
	return func() { _ = l.Unlock() }, nil
}

// fresh imports a model that is not there. The folder gets its final name when everything in it is durable.
func (j *job) fresh(ctx context.Context) (*Model, error) {
	state, err := j.resume()
	if err != nil {
		return nil, err
	}
	if err := j.checkSpace(state); err != nil {
		return nil, err
	}
	if err := j.cutAll(ctx, state); err != nil {
		return nil, diskFull(err)
	}
	if err := j.finish(); err != nil {
		return nil, diskFull(err)
	}
	return j.store.Open(j.manifest.ModelID)
}

// slack is left free besides the model itself, for its small files and the database.
const slack = 16 << 20

func (j *job) checkSpace(state *progress) error {
	need := int64(slack) + j.manifest.HeaderSize
	for i, s := range j.manifest.Shards {
		if state.Roots[i].IsZero() {
			need += s.Size + j.manifest.Reserved
		}
	}
	return j.needSpace(need)
}

func (j *job) needSpace(need int64) error {
	free, err := j.store.cfg.Space(j.store.cfg.Dir)
	if err != nil {
		return err
	}
	if free < need {
		return core.Errorf(core.CodeDiskFull, "%d more bytes of disk space are needed to import %s", need-free, j.manifest.ModelID)
	}
	return nil
}

// cutAll cuts the missing shards, while the whole file is hashed and the bytes between tensors are looked at.
func (j *job) cutAll(ctx context.Context, state *progress) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		j.manifest.SHA256, err = hashFile(ctx, j.src, j.info.Size())
		return err
	})
	g.Go(func() (err error) {
		j.manifest.Gaps, err = findGaps(ctx, j.src, j.manifest, j.file)
		return err
	})
	g.Go(func() error {
		for i := range j.manifest.Shards {
			if err := j.cutOne(ctx, i, state); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return stopped(ctx, err)
	}
	return j.unchanged()
}

// cutOne cuts a shard unless it is finished, and writes down that it is.
func (j *job) cutOne(ctx context.Context, i int, state *progress) error {
	s := &j.manifest.Shards[i]
	if s.Hash = state.Roots[i]; !s.Hash.IsZero() {
		j.advance(s.Size)
		return nil
	}
	root, err := j.cut(ctx, j.stage, i)
	if err != nil {
		return err
	}
	s.Hash, state.Roots[i] = root, root
	return j.save(state)
}

// cut writes one shard into dir.
func (j *job) cut(ctx context.Context, dir string, i int) (core.Digest, error) {
	s := &j.manifest.Shards[i]
	tree, err := writeShard(ctx, dir, s, j.manifest.Reserved, newPacked(j.src, s, j.file.Alignment()), j.advance)
	if err != nil {
		return core.Digest{}, err
	}
	return tree.Root(), nil
}

func (j *job) advance(n int64) {
	j.done += n
	var total int64
	for i := range j.manifest.Shards {
		total += j.manifest.Shards[i].Size
	}
	j.in.Progress(j.done, total)
}

// unchanged makes sure that nobody wrote to the file meanwhile.
func (j *job) unchanged() error {
	now, err := os.Stat(j.in.Path)
	if err != nil {
		return err
	}
	if now.Size() != j.info.Size() || !now.ModTime().Equal(j.info.ModTime()) {
		return core.Errorf(core.CodeConflict, "%s changed while it was imported", filepath.Base(j.in.Path))
	}
	return nil
}

// finish signs the manifest and gives the folder its name.
func (j *job) finish() error {
	j.manifest.Time = j.store.cfg.Now()
	if err := j.manifest.Sign(j.store.cfg.Key); err != nil {
		return err
	}
	text, err := j.manifest.Encode()
	if err != nil {
		return err
	}
	if _, err := DecodeManifest(text); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(j.stage, HeaderFile), j.header, 0o600); err != nil {
		return err
	}
	if s := j.in.Source; s != nil {
		source, err := json.MarshalIndent(s, "", "\t")
		if err == nil {
			err = atomicfile.Write(filepath.Join(j.stage, SourceFile), source, 0o600)
		}
		if err != nil {
			return err
		}
	}
	if err := atomicfile.Write(filepath.Join(j.stage, ManifestFile), text, 0o600); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(j.stage, progressFile)); err != nil {
		return err
	}
	place := func() error { return os.Rename(j.stage, j.store.ModelDir(j.manifest.ModelID)) }
	if !j.damaged {
		return errors.Join(place(), syncDir(j.store.cfg.Dir))
	}
	return j.in.Swap(func() error {
		if err := j.store.Delete(j.manifest.ModelID); err != nil {
			return err
		}
		return errors.Join(place(), syncDir(j.store.cfg.Dir))
	})
}

// again handles a model that is there: the same file changes nothing but brings back missing shards.
func (j *job) again(ctx context.Context, old *Model) (*Model, error) {
	conflict := core.Errorf(core.CodeConflict, "model %s is there already and is another file", old.Manifest.ModelID)
	if old.Manifest.Size != j.info.Size() || old.Manifest.HeaderHash != j.manifest.HeaderHash {
		return nil, conflict
	}
	sum, err := hashFile(ctx, j.src, j.info.Size())
	if err != nil {
		return nil, stopped(ctx, err)
	}
	if sum != old.Manifest.SHA256 {
		return nil, conflict
	}
	j.manifest, j.plan = old.Manifest, old.plan
	return old, diskFull(j.restore(ctx, old))
}

// restore cuts the shards that old lacks.
func (j *job) restore(ctx context.Context, old *Model) error {
	var missing []int
	need := int64(slack)
	for i, s := range old.Manifest.Shards {
		if old.Has(i) {
			j.advance(s.Size)
			continue
		}
		missing = append(missing, i)
		need += s.Size + old.Manifest.Reserved
	}
	if len(missing) == 0 {
		return nil
	}
	if err := j.needSpace(need); err != nil {
		return err
	}
	for _, i := range missing {
		root, err := j.cut(ctx, old.Dir, i)
		if err != nil {
			return stopped(ctx, err)
		}
		if root != old.Manifest.Shards[i].Hash {
			return core.Errorf(core.CodeCorrupt, "shard %d does not have the hash of the manifest", i)
		}
	}
	return nil
}

// stopped gives the end of ctx its code.
func stopped(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return core.Errorf(core.CodeCancelled, "stopped: %w", err)
	}
	return err
}

// diskFull gives the error of a full disk its code.
func diskFull(err error) error {
	if err != nil && isDiskFull(err) {
		return core.Errorf(core.CodeDiskFull, "the disk is full: %w", err)
	}
	return err
}
