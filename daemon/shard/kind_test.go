package shard_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
	"github.com/shoal-p2p/shoal/daemon/gguf"
	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// TestFilesThatAreNoModel checks that each is refused in words that say what it is, before anything is written.
func TestFilesThatAreNoModel(t *testing.T) {
	for name, c := range map[string]struct {
		change func(m *gguftest.Model)
		want   string
	}{
		"projector":    {func(m *gguftest.Model) { m.File.Set("general.type", "mmproj") }, "projector"},
		"adapter":      {func(m *gguftest.Model) { m.File.Set("general.type", "adapter") }, "adapter"},
		"measurements": {func(m *gguftest.Model) { m.File.Set("general.type", "imatrix") }, "measurements"},
		"vocabulary":   {func(m *gguftest.Model) { m.File.Set("general.type", "vocab") }, "vocabulary only"},
		"no weights":   {func(m *gguftest.Model) { m.File.Tensors = nil }, "vocabulary only"},
		"encoder":      {func(m *gguftest.Model) { m.File.Set("general.architecture", "bert") }, "encoder (bert)"},
		"no tokenizer": {func(m *gguftest.Model) { m.File.Set("tokenizer.ggml.model", "no_vocab") }, "no tokenizer"},
		"1,024 layers": {func(m *gguftest.Model) { m.File.Set("llama.block_count", uint32(1024)) }, "nothing of layer"},
	} {
		m, err := gguftest.New(gguftest.Config{Name: "m", Layers: 2})
		if err != nil {
			t.Fatal(err)
		}
		c.change(m)
		path := filepath.Join(t.TempDir(), "m.gguf")
		write := m.WriteFile
		if len(m.File.Tensors) == 0 { // as llama.cpp's own: nothing after the header, not even what fills its last line
			write = func(path string) error {
				header, err := gguf.Marshal(m.File)
				return errors.Join(err, os.WriteFile(path, header, 0o600))
			}
		}
		if err := write(path); err != nil {
			t.Fatal(err)
		}
		s := newStore(t)
		_, err = s.Import(context.Background(), shard.Import{Path: path})
		if code := core.CodeOf(err); (code != core.CodeUnsupported && code != core.CodeCorrupt) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if models, problems, err := s.Scan(); len(models)+len(problems) > 0 || err != nil {
			t.Errorf("%s: %d models, %d problems, %v", name, len(models), len(problems), err)
		}
	}
}
