package library

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// maxRawText is how many bytes of a long text value are shown, and maxRaw how many values: a header may have a million.
const (
	maxRawText = 200
	maxRaw     = 1024
)

// Metadata returns what the model's header says. Without a header it is an error of code CodeInvalidRequest.
//
// A header may be 64 MiB, and reading one takes several times its size of memory: the answer, which is small, is kept
// until the file changes, and at most two headers are read at once.
func (l *Library) Metadata(ctx context.Context, id core.ModelID) (admin.Metadata, error) {
	m, err := l.Find(id)
	if err != nil {
		return admin.Metadata{}, err
	}
	if out, ok := m.described(); ok {
		return out, nil
	}
	select {
	case l.readers <- struct{}{}:
	case <-ctx.Done():
		return admin.Metadata{}, core.Errorf(core.CodeCancelled, "read the header of %s: %w", id, ctx.Err())
	}
	defer func() { <-l.readers }()
	if out, ok := m.described(); ok { // somebody read it meanwhile
		return out, nil
	}
	stamp := m.headerStamp()
	f, err := m.header()
	if errors.Is(err, fs.ErrNotExist) {
		return admin.Metadata{}, core.Errorf(core.CodeInvalidRequest, "model %s has no header file here", id)
	}
	if err != nil {
		return admin.Metadata{}, err
	}
	out := describe(m, f)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.about, m.aboutOf = &out, stamp
	return out, nil
}

// described is the answer that is kept, if the header's file is still what it was.
func (m *Model) described() (admin.Metadata, bool) {
	stamp := m.headerStamp()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.about == nil || stamp != m.aboutOf || stamp == (headerStamp{}) {
		return admin.Metadata{}, false
	}
	return *m.about, true
}

// headerStamp changes when a header's file does; it is zero for a file that is not there.
type headerStamp struct{ size, changed int64 }

func (m *Model) headerStamp() headerStamp {
	info, err := os.Stat(filepath.Join(m.Dir, shard.HeaderFile))
	if err != nil {
		return headerStamp{}
	}
	return headerStamp{info.Size(), info.ModTime().UnixNano()}
}

func readHeader(path string, size int64) (*gguf.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	defer f.Close()
	return gguf.Read(f, size)
}

func describe(m *Model, f *gguf.File) admin.Metadata {
	var out admin.Metadata
	out.ModelID = m.ID.String()
	out.General.Name = m.Name()
	out.General.Architecture = f.Architecture()
	out.General.ArchitectureSupported = m.Traits.Supported
	fileType, _ := f.Uint("general.file_type")
	out.General.FileType = int(fileType)
	out.General.Quantization = f.Quantization()

	arch := func(key string) int { n, _ := f.ArchUint(key); return int(n) }
	out.Model.ContextLength = arch("context_length")
	out.Model.BlockCount = arch("block_count")
	out.Model.EmbeddingLength = arch("embedding_length")
	out.Model.HeadCount = arch("attention.head_count")
	out.Model.HeadCountKV = arch("attention.head_count_kv")
	if out.Model.HeadCountKV == 0 {
		out.Model.HeadCountKV = out.Model.HeadCount
	}
	out.Model.RopeDimensionCount = arch("rope.dimension_count")
	out.Model.RopeFreqBase = number(f, "rope.freq_base")
	out.Model.LayerNormRMSEpsilon = number(f, "attention.layer_norm_rms_epsilon")
	out.Model.VocabSize = m.Traits.Vocab

	out.Tokenizer.Model, _ = f.String("tokenizer.ggml.model")
	out.Tokenizer.Pre, _ = f.String("tokenizer.ggml.pre")
	out.Tokenizer.EOSTokenID = token(f, "eos_token_id")
	out.Tokenizer.BOSTokenID = token(f, "bos_token_id")
	out.Tokenizer.PaddingTokenID = token(f, "padding_token_id")
	out.Tensors.Count = len(f.Tensors)
	out.Tensors.DataOffset = f.DataOffset
	out.Raw = raw(f)
	return out
}

func token(f *gguf.File, key string) *int {
	n, ok := f.Uint("tokenizer.ggml." + key)
	if !ok {
		return nil
	}
	id := int(n)
	return &id
}

// raw lists every value in order of the keys, without the vocabulary.
func raw(f *gguf.File) []admin.MetadataKV {
	out := make([]admin.MetadataKV, 0, min(len(f.KVs), maxRaw))
	for _, kv := range f.KVs[:min(len(f.KVs), maxRaw)] {
		if v := reflect.ValueOf(kv.Value); v.Kind() == reflect.Slice {
			if strings.HasPrefix(kv.Key, "tokenizer.") {
				continue
			}
			out = append(out, admin.MetadataKV{Key: kv.Key, Value: fmt.Sprintf("[array of %d items]", v.Len())})
			continue
		}
		out = append(out, admin.MetadataKV{Key: kv.Key, Value: shorten(kv.Value)})
	}
	slices.SortFunc(out, func(a, b admin.MetadataKV) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// shorten cuts long text at the end of a letter, and writes what JSON has no number for as a word.
func shorten(v any) any {
	switch n := v.(type) {
	case float32:
		if !finite(float64(n)) {
			return fmt.Sprint(n)
		}
	case float64:
		if !finite(n) {
			return fmt.Sprint(n)
		}
	}
	s, ok := v.(string)
	if !ok || len(s) <= maxRawText {
		return v
	}
	return strings.ToValidUTF8(s[:maxRawText], "") + "…"
}

// header reads the GGUF header of a model.
func (m *Model) header() (*gguf.File, error) {
	return readHeader(filepath.Join(m.Dir, shard.HeaderFile), m.Manifest.Size)
}

func finite(n float64) bool { return !math.IsNaN(n) && !math.IsInf(n, 0) }

// number is a float of the header; what is no number is 0, since JSON has no word for it.
func number(f *gguf.File, key string) float64 {
	n, _ := f.Float(f.Architecture() + "." + key)
	if !finite(n) {
		return 0
	}
	return n
}
