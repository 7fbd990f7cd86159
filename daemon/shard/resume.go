package shard

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/shoal-p2p/shoal/daemon/atomicfile"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// progress is what survives a crash: which file is imported and which of its shards are finished.
type progress struct {
	Size   int64         `json:"size"`
	Time   time.Time     `json:"time"` // of the file's last change
	Header core.Digest   `json:"header"`
	Rule   Rule          `json:"rule"`
	Roots  []core.Digest `json:"roots"` // one per shard; zero for those not finished
}

const progressFile = "import.json"

// resume opens the stage. What it holds of another file, or of this one before it changed, is thrown away.
func (j *job) resume() (*progress, error) {
	want := progress{
		Size: j.info.Size(), Time: j.info.ModTime().UTC(), Header: j.manifest.HeaderHash, Rule: j.in.Rule,
		Roots: make([]core.Digest, len(j.manifest.Shards)),
	}
	var got progress
	text, err := readBounded(filepath.Join(j.stage, progressFile), MaxManifest)
	if err == nil && json.Unmarshal(text, &got) == nil && got.Size == want.Size && got.Time.Equal(want.Time) &&
		got.Header == want.Header && got.Rule == want.Rule && len(got.Roots) == len(want.Roots) {
		j.keepSound(&got)
		return &got, nil
	}
	if err := os.RemoveAll(j.stage); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(j.stage, 0o700); err != nil {
		return nil, err
	}
	return &want, j.save(&want)
}

// keepSound forgets finished shards that do not stand a cheap look: length, tree and a few chunks.
func (j *job) keepSound(state *progress) {
	m := &Model{Dir: j.stage, Manifest: j.manifest}
	for i := range state.Roots {
		s := &j.manifest.Shards[i]
		s.Hash = state.Roots[i]
		if sound := m.Has(i) && m.spotCheck(i) == nil; !sound {
			state.Roots[i] = core.Digest{}
		}
		s.Hash = core.Digest{}
	}
}

func (j *job) save(state *progress) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(j.stage, progressFile), text, 0o600)
}
