package library

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// maxRawText is how many bytes of a long text value are shown.
const maxRawText = 200

// Metadata returns what the model's header says. Without a header it is an error of code CodeInvalidRequest.
func (l *Library) Metadata(_ context.Context, id core.ModelID) (admin.Metadata, error) {
	m, err := l.Find(id)
	if err != nil {
		return admin.Metadata{}, err
	}
	f, err := m.header()
	if errors.Is(err, fs.ErrNotExist) {
		return admin.Metadata{}, core.Errorf(core.CodeInvalidRequest, "model %s has no header file here", id)
	}
	if err != nil {
		return admin.Metadata{}, err
	}
	return describe(m, f), nil
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
	out.General.Name, _ = f.String("general.name")
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
	out.Model.RopeFreqBase, _ = f.Float(f.Architecture() + ".rope.freq_base")
	out.Model.LayerNormRMSEpsilon, _ = f.Float(f.Architecture() + ".attention.layer_norm_rms_epsilon")
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
	out := make([]admin.MetadataKV, 0, len(f.KVs))
	for _, kv := range f.KVs {
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

// shorten cuts long text at the end of a letter.
func shorten(v any) any {
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
