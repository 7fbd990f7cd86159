package shard

import (
	"encoding/json"
	"path/filepath"
)

// maxSource bounds what is read of the file that says where a model came from.
const maxSource = 1 << 16

// Origin is where the model's file was fetched from, by the manifest or the file beside it; nil if nobody knows.
func (m *Model) Origin() *Source {
	if m.Manifest.Source != nil {
		return m.Manifest.Source
	}
	text, err := readBounded(filepath.Join(m.Dir, SourceFile), maxSource)
	if err != nil {
		return nil
	}
	return decodeSource(text)
}

// decodeSource reads the file beside the manifest; nil if it makes no sense. Whoever keeps the folder may have edited it.
func decodeSource(text []byte) *Source {
	var s Source
	if json.Unmarshal(text, &s) != nil || s.RepoID == "" || !s.bounded() {
		return nil
	}
	return &s
}

func (s *Source) bounded() bool {
	return len(s.RepoID) <= maxText && len(s.Filename) <= maxText && len(s.Revision) <= maxText
}
